"""Scenario files: TOML, every figure with its unit; what is wrong is told with line and key."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnxsplit.errors import UsageError
from onnxsplit.objectives import InferenceLatency, TrainingDelay
from onnxsplit.simulation.bands import BANDS
from onnxsplit.simulation.boards import BOARDS
from onnxsplit.simulation.mobility import Mobility, RandomWaypoint, Static
from onnxsplit.simulation.quantities import (
    parse_compute,
    parse_decibels,
    parse_frequency,
    parse_length,
    parse_power,
    parse_speed,
)
from onnxsplit.simulation.radio import FADINGS, STATES, Fading, Radio, State
from onnxsplit.simulation.scenarios import (
    SCHEDULES,
    SELECTIONS,
    DeviceGroup,
    Edge,
    Machine,
    ModelSpec,
    Scenario,
    Schedule,
    Selection,
    SimulatedObjective,
    Timeline,
)
from onnxsplit.simulation.sections import Section, open_document
from onnxsplit.simulation.traces import LAYOUTS, Trace, read_trace
from onnxsplit.tiers import Link
from onnxsplit.units import parse_duration, parse_rate, parse_size

SCENARIO_SCHEMA = "onnxsplit.scenario/1"

POLICIES = (
    "ours",
    "ours-edge",
    "device-only",
    "server-only",
    "edge-only",
    "oss",
    "regression",
    "chain",
    "qdmp",
    "dads",
)
"""Every policy, ours first."""

EDGE_POLICIES = frozenset({"ours-edge", "edge-only"})
"""Those that need an edge tier."""

_SIDES = ("server", "device")
_DEFAULT_SEEDS = 5
_FLOOR_BYTES_PER_SECOND = 1250.0


def read_scenario(path: Path, overrides: Sequence[str] = ()) -> Scenario:
    """Read a scenario.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        ``KEY=VALUE``: a dotted key such as ``channel.band``, and the value in its place.

    Raises
    ------
    UsageError
        The file can't be read, a key is unknown or missing, or a value makes no sense; the message
        names line and key.
    """
    top = open_document(path, overrides)
    top.choice("schema", (SCENARIO_SCHEMA,))
    folder = path.parent
    edge = _read_edge(top, folder)
    objective, private_depth = _read_objective(top.table("objective"))
    if edge is not None and isinstance(objective, TrainingDelay):
        top.fail("edge", "training is planned for a device and a server; leave the edge out.")
    network, mobility, trip, floor = _read_network(top, folder)
    model = _read_model(top.table("model"), folder)
    if model.input_bytes and isinstance(objective, TrainingDelay):
        top.table("model").fail("input_bytes", "it is priced for latency alone; leave it out.")
    scenario = Scenario(
        name=top.text("name", path.stem),
        model=model,
        objective=objective,
        server=_read_machine(top.table("server"), folder, "server"),
        devices=_read_devices(top, folder),
        timeline=_read_timeline(top.table("time")),
        network=network,
        mobility=mobility,
        round_trip_seconds=trip,
        floor_bytes_per_second=floor,
        edge=edge,
        private_depth=private_depth,
        policies=_read_policies(top, has_edge=edge is not None),
        seeds=_read_seeds(top),
    )
    top.close()
    return scenario


def _read_model(section: Section, folder: Path) -> ModelSpec:
    """Read ``[model]``."""
    sizes = section.table("input_bytes")
    spec = ModelSpec(
        file=_find(section, "file", folder),
        profile=_read_profile(section, folder) or "local",
        profiled_on=_read_peak(section),
        shapes=section.shapes("shapes"),
        dims=section.sizes("dims"),
        input_bytes={name: sizes.parse(name, parse_size) for name in sizes.values},
        threads=section.integer("threads") if section.has("threads") else None,
    )
    section.close()
    return spec


def _read_peak(section: Section) -> float | None:
    """Read the published peak of the machine that was profiled: a board's name, or a rate."""
    if not section.has("profiled_on"):
        return None
    board = BOARDS.get(section.text("profiled_on"))
    return board.flops_per_second if board else section.parse("profiled_on", parse_compute)


def _read_machine(section: Section, folder: Path, name: str) -> Machine:
    """Read how fast a machine is."""
    machine = Machine(name=name, profile=_read_profile(section, folder))
    given = [key for key in ("board", "speed") if section.has(key)]
    if len(given) > 1:
        section.fail("speed", "give a board or a speed, not both.")
    if "board" in given:
        machine = replace(machine, board=BOARDS[section.choice("board", tuple(BOARDS))])
    if "speed" in given:
        machine = replace(machine, speed=section.number("speed"))
    section.close()
    return machine


def _read_devices(top: Section, folder: Path) -> tuple[DeviceGroup, ...]:
    """Read every ``[[devices]]``."""
    groups: list[DeviceGroup] = []
    for section in top.tables("devices"):
        name = section.text("name")
        if any(group.machine.name == name for group in groups):
            section.fail("name", f"{name!r} is the name of other devices already.")
        count = section.integer("count", 1)
        groups.append(DeviceGroup(machine=_read_machine(section, folder, name), count=count))
    return tuple(groups)


def _read_edge(top: Section, folder: Path) -> Edge | None:
    """Read ``[edge]``, where there is one."""
    if not top.has("edge"):
        return None
    section = top.table("edge")
    backhaul = Link(
        up_bytes_per_second=section.parse("uplink", parse_rate),
        down_bytes_per_second=section.parse("downlink", parse_rate),
        round_trip_seconds=section.parse("round_trip", parse_duration),
    )
    return Edge(machine=_read_machine(section, folder, "edge"), backhaul=backhaul)


def _read_objective(section: Section) -> tuple[SimulatedObjective, int]:
    """Read ``[objective]``: what is minimised, and how deep what leaves a device must lie."""
    kind = section.choice("kind", (TrainingDelay.name, InferenceLatency.name))
    objective: SimulatedObjective = InferenceLatency()
    if kind == TrainingDelay.name:
        side = section.choice("labels_at", _SIDES, "server")
        objective = TrainingDelay(
            iterations=section.integer("iterations", 1),
            labels_at="device" if side == "device" else "server",
            label_bytes=section.parse("label_bytes", parse_size)
            if section.has("label_bytes")
            else None,
            frozen=section.texts("frozen", ()),
        )
    private_depth = section.integer("private_depth", 0, least=0)
    section.close()
    return objective, private_depth


def _read_timeline(section: Section) -> Timeline:
    """Read ``[time]``."""
    usual = Timeline()
    selection = section.choice("selection", SELECTIONS, usual.selection)
    schedule = section.choice("schedule", SCHEDULES, usual.schedule)
    timeline = Timeline(
        epochs=section.integer("epochs", usual.epochs),
        interval_seconds=_read_interval(section, usual.interval_seconds),
        per_epoch=section.integer("per_epoch", usual.per_epoch),
        selection=_pick_selection(selection),
        schedule=_pick_schedule(schedule),
    )
    section.close()
    return timeline


def _read_interval(section: Section, default: float) -> float:
    """Read the time between two epochs."""
    seconds = section.quantity("interval", parse_duration, default)
    if seconds <= 0:
        section.fail("interval", "epochs need some time between their beginnings.")
    return seconds


def _pick_selection(word: str) -> Selection:
    """Return a word that was checked as what it is."""
    return next(known for known in SELECTIONS if known == word)


def _pick_schedule(word: str) -> Schedule:
    """Return a word that was checked as what it is."""
    return next(known for known in SCHEDULES if known == word)


def _read_network(
    top: Section, folder: Path
) -> tuple[Radio | Trace, Mobility | None, float, float]:
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
    path = _find(section, "file", folder)
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
        attenuation=section.number("attenuation", usual.attenuation),
        floor_bits_per_hertz=section.number("least_efficiency", usual.floor_bits_per_hertz),
        cap_bits_per_hertz=section.number("greatest_efficiency", usual.cap_bits_per_hertz),
        station_metres=_read_height(section, "station_height", usual.station_metres),
        device_metres=_read_height(section, "device_height", usual.device_metres),
    )
    if radio.floor_bits_per_hertz > radio.cap_bits_per_hertz:
        section.fail("least_efficiency", "it must not exceed greatest_efficiency.")
    return radio


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
    if hertz <= 0:
        raise UsageError(f"The bandwidth {text!r} is nothing; write such as '20 MHz'.")
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
    try:
        mobility: Mobility = Static(side_metres=side)
        if kind == "random-waypoint":
            mobility = RandomWaypoint(
                side_metres=side,
                slowest_metres_per_second=section.quantity("slowest", parse_speed, 0.5),
                fastest_metres_per_second=section.quantity("fastest", parse_speed, 2.0),
                pause_seconds=section.quantity("pause", parse_duration, 30.0),
            )
    except UsageError as error:
        section.fail("slowest" if section.has("slowest") else "side", str(error))
    section.close()
    return mobility


def _read_policies(top: Section, *, has_edge: bool) -> tuple[str, ...]:
    """Read which policies are compared; all that fit if nobody says."""
    fitting = tuple(name for name in POLICIES if has_edge or name not in EDGE_POLICIES)
    names = top.texts("policies", fitting)
    for name in names:
        if name not in fitting:
            reason = "needs an [edge]" if name in POLICIES else f"is none of {', '.join(fitting)}"
            top.fail("policies", f"{name!r} {reason}.")
    return tuple(name for name in fitting if name in {"ours", *names})


def _read_seeds(top: Section) -> tuple[int, ...]:
    """Read how many seeds there are, and the first of them."""
    count, first = top.integer("seeds", _DEFAULT_SEEDS), top.integer("first_seed", 0, least=0)
    return tuple(range(first, first + count))


def _read_profile(section: Section, folder: Path) -> str | None:
    """Read a profile's file, or ``local``."""
    if not section.has("profile"):
        return None
    if section.text("profile") == "local":
        return "local"
    return str(_find(section, "profile", folder))


def _find(section: Section, key: str, folder: Path) -> Path:
    """Read a path relative to the scenario's folder."""
    # What was typed beside the file is meant from where it was typed.
    path = Path(section.text(key)) if section.is_overridden(key) else folder / section.text(key)
    if not path.is_file():
        section.fail(key, f"there is no file {path}.")
    return path
