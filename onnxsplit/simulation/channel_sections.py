"""What a scenario file says of the network: channel and mobility, or a trace."""

from dataclasses import replace
from pathlib import Path

from onnxsplit.errors import UsageError
from onnxsplit.simulation.bands import BANDS
from onnxsplit.simulation.mobility import Mobility, RandomWaypoint, Static
from onnxsplit.simulation.quantities import (
    parse_decibels,
    parse_frequency,
    parse_length,
    parse_power,
    parse_speed,
)
from onnxsplit.simulation.radio import FADINGS, STATES, Fading, Radio, State
from onnxsplit.simulation.sections import Section, find_file
from onnxsplit.simulation.traces import LAYOUTS, Trace, read_trace
from onnxsplit.units import parse_duration, parse_rate

_FLOOR_BYTES_PER_SECOND = 1250.0
_MOST_HERTZ = 100e9
_LEAST_EFFICIENCY = 1e-6
_WIDEST_METRES = 7000.0
"""Corners are then within the 5 km from the station for which TR 38.901 gives the path loss."""
_MOST_CROSSINGS = 1000.0


def read_network(top: Section, folder: Path) -> tuple[Radio | Trace, Mobility | None, float, float]:
    """Read ``[channel]`` with ``[mobility]``, or ``[trace]``."""
    if top.has("trace"):
        for other in ("channel", "mobility"):
            if top.has(other):
                top.fail(other, "a trace takes its place; leave one of them out.")
        return _read_trace(top.table("trace"), folder)
    section = top.table("channel")
    trip = section.quantity("round_trip", parse_duration, 0.005)
    radio = _read_radio(section)
    section.close()
    return radio, _read_mobility(top.table("mobility")), trip, _FLOOR_BYTES_PER_SECOND


def _read_trace(section: Section, folder: Path) -> tuple[Trace, None, float, float]:
    """Read ``[trace]``."""
    path = find_file(section, "file", folder)
    layout = section.choice("layout", tuple(LAYOUTS))
    share = section.number("up_per_down") if section.has("up_per_down") else None
    trip = section.quantity("round_trip", parse_duration, 0.05)
    floor = section.quantity("floor", parse_rate, _FLOOR_BYTES_PER_SECOND)
    section.close()
    try:
        return read_trace(path, layout, share), None, trip, floor
    except UsageError as error:
        section.fail("file", str(error))


def _read_radio(section: Section) -> Radio:
    """Read ``[channel]``."""
    band = BANDS[section.choice("band", tuple(BANDS))]
    band = replace(
        band,
        uplink_hertz=section.quantity("uplink_carrier", _parse_carrier, band.uplink_hertz),
        downlink_hertz=section.quantity("downlink_carrier", _parse_carrier, band.downlink_hertz),
        bandwidth_hertz=section.quantity("bandwidth", _parse_bandwidth, band.bandwidth_hertz),
        device_power_dbm=section.quantity("device_power", parse_power, band.device_power_dbm),
        station_power_dbm=section.quantity("station_power", parse_power, band.station_power_dbm),
        device_gain_db=section.quantity("device_gain", parse_decibels, band.device_gain_db),
        station_gain_db=section.quantity("station_gain", parse_decibels, band.station_gain_db),
        device_noise_db=section.quantity("device_noise", parse_decibels, band.device_noise_db),
        station_noise_db=section.quantity("station_noise", parse_decibels, band.station_noise_db),
    )
    usual = Radio()
    state = section.choice("state", STATES, usual.state)
    fading = section.choice("fading", FADINGS, usual.fading)
    radio = Radio(
        band=band,
        state=_pick_state(state),
        fading=_pick_fading(fading),
        rician_factor_db=section.quantity("rician_factor", parse_decibels, usual.rician_factor_db),
        extra_loss_db=section.quantity("extra_loss", parse_decibels, usual.extra_loss_db),
        uplink_attenuation=_read_share(section, "uplink_attenuation", usual.uplink_attenuation),
        downlink_attenuation=_read_share(
            section, "downlink_attenuation", usual.downlink_attenuation
        ),
        floor_bits_per_hertz=section.number("least_efficiency", usual.floor_bits_per_hertz),
        cap_bits_per_hertz=section.number("greatest_efficiency", usual.cap_bits_per_hertz),
        station_metres=_read_height(section, "station_height", usual.station_metres),
        device_metres=_read_height(section, "device_height", usual.device_metres),
    )
    if radio.floor_bits_per_hertz < _LEAST_EFFICIENCY:
        section.fail("least_efficiency", f"give at least {_LEAST_EFFICIENCY:g} bit/s/Hz.")
    if radio.floor_bits_per_hertz > radio.cap_bits_per_hertz:
        section.fail("least_efficiency", "it must not exceed greatest_efficiency.")
    return radio


def _read_share(section: Section, key: str, default: float) -> float:
    """Read the share of Shannon's capacity of one way; ``attenuation`` gives it for both."""
    both = section.number("attenuation") if section.has("attenuation") else default
    share = section.number(key, both)
    if share > 1:
        section.fail(
            key if section.has(key) else "attenuation",
            f"{share:g} is more than Shannon's capacity; give at most 1.",
        )
    return share


def _read_height(section: Section, key: str, default: float) -> float:
    """Read the height of an antenna."""
    metres = section.quantity(key, parse_length, default)
    if metres <= 1:
        section.fail(key, "the model needs antennas higher than 1 m.")
    return metres


def _parse_carrier(text: str) -> float:
    """Read a carrier for which the path loss has figures."""
    hertz = parse_frequency(text)
    if not 0.5e9 <= hertz <= 100e9:  # noqa: PLR2004 - the range of TR 38.901
        raise UsageError(f"The carrier {text!r} is outside 0.5 to 100 GHz, where the model holds.")
    return hertz


def _parse_bandwidth(text: str) -> float:
    """Read a bandwidth."""
    hertz = parse_frequency(text)
    if not 0 < hertz <= _MOST_HERTZ:
        raise UsageError(f"The bandwidth {text!r} is no band's; write such as '20 MHz'.")
    return hertz


def _pick_state(word: str) -> State:
    """Return a word that was checked as what it is."""
    return next(known for known in STATES if known == word)


def _pick_fading(word: str) -> Fading:
    """Return a word that was checked as what it is."""
    return next(known for known in FADINGS if known == word)


def _read_mobility(section: Section) -> Mobility:
    """Read ``[mobility]``."""
    kind = section.choice("kind", ("static", "random-waypoint"), "random-waypoint")
    side = section.quantity("side", parse_length, 200.0)
    if not 0 < side <= _WIDEST_METRES:
        section.fail(
            "side",
            f"{side:g} m is nothing, or wider than the {_WIDEST_METRES:g} m within which the path"
            " loss of TR 38.901 holds.",
        )
    if kind == "static":
        section.close()
        return Static(side_metres=side)
    slowest = section.quantity("slowest", parse_speed, 0.5)
    fastest = section.quantity("fastest", parse_speed, 2.0)
    pause = section.quantity("pause", parse_duration, 30.0)
    section.close()
    try:
        return RandomWaypoint(
            side_metres=side,
            slowest_metres_per_second=slowest,
            fastest_metres_per_second=fastest,
            pause_seconds=pause,
        )
    except UsageError as error:
        section.fail("slowest" if section.has("slowest") else "fastest", str(error))


def check_pace(top: Section, mobility: Mobility | None, interval_seconds: float) -> None:
    """Refuse walks that would take ages to follow, and where no epoch knows of the one before.

    Parameters
    ----------
    top : Section
    mobility : Mobility or None
    interval_seconds : float
        From one epoch's beginning to the next.

    Raises
    ------
    UsageError
        A device could cross the area a thousand times from one epoch to the next.
    """
    if not isinstance(mobility, RandomWaypoint):
        return
    metres = mobility.fastest_metres_per_second * interval_seconds
    if metres > _MOST_CROSSINGS * mobility.side_metres:
        top.table("mobility").fail(
            "fastest",
            f"devices would come {metres:g} m from one epoch to the next, over {_MOST_CROSSINGS:g}"
            " times the width of the area; make them slower, the area wider, or time.interval"
            " shorter.",
        )
