"""Radio links of moving devices: positions, sight, shadows and fading as rates."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from onnxsplit.simulation.bands import BANDS, Band
from onnxsplit.simulation.channels import (
    HIDDEN_SHADOWING_DB,
    SIGHT_SHADOWING_DB,
    find_efficiency,
    find_hidden_loss,
    find_noise,
    find_sight_loss,
    find_sight_probability,
)
from onnxsplit.simulation.fading import (
    HIDDEN_SHADOW_METRES,
    SIGHT_CORRELATION_METRES,
    SIGHT_SHADOW_METRES,
    decide,
    draw_along,
    draw_fading,
    to_ratio,
)

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

State = Literal["good", "normal", "poor"]
Fading = Literal["by-sight", "rayleigh", "rician", "none"]

STATES: tuple[State, ...] = ("good", "normal", "poor")
FADINGS: tuple[Fading, ...] = ("by-sight", "rayleigh", "rician", "none")

BITS_PER_BYTE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Radio:
    """What the links of all devices to the station are made of.

    Parameters
    ----------
    band : Band
    state : str
        ``good``: every device sees the station; ``poor``: none does; ``normal``: as likely as TR
        38.901 says at its distance.
    fading : str
        ``rayleigh``, ``rician``, ``none``, or ``by-sight``: Rician with a line of sight, Rayleigh
        without.
    rician_factor_db : float
        The default is the mean of TR 38.901, table 7.5-6, for UMi, as Sionna has it.
    extra_loss_db : float
        Such as that of a wall, on both ways.
    uplink_attenuation, downlink_attenuation : float
        Share of Shannon's capacity that is reached; the defaults are those of TR 36.942, annex A.
    floor_bits_per_hertz, cap_bits_per_hertz : float
        Spectral efficiencies of the sturdiest and the densest scheme: by default 0.0586 (QPSK, code
        rate 30/1024: 3GPP TS 38.214, table 5.2.2.1-4) and 7.4063 (256QAM, 948/1024: table
        5.1.3.1-2); compared with copies of these tables in public simulators.
    station_metres, device_metres : float
        Heights of the antennas; the defaults are those of TR 38.901 for UMi.
    """

    band: Band = field(default_factory=lambda: BANDS["n78"])
    state: State = "normal"
    fading: Fading = "by-sight"
    rician_factor_db: float = 9.0
    extra_loss_db: float = 0.0
    uplink_attenuation: float = 0.4
    downlink_attenuation: float = 0.6
    floor_bits_per_hertz: float = 0.0586
    cap_bits_per_hertz: float = 7.4063
    station_metres: float = 10.0
    device_metres: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTable:
    """Rates of every device in every epoch.

    Parameters
    ----------
    up_bytes_per_second, down_bytes_per_second : ndarray of float64, shape (epochs, devices)
    at_floor : ndarray of bool, shape (epochs, devices)
        The link, one way at least, is as slow as it can get.
    """

    up_bytes_per_second: Floats
    down_bytes_per_second: Floats
    at_floor: Bools


def measure_distances(positions: Floats) -> tuple[Floats, Floats]:
    """Return distances from the station, and how far devices came since the epoch before.

    Parameters
    ----------
    positions : ndarray of float64, shape (epochs, devices, 2)

    Returns
    -------
    ndarray of float64, shape (epochs, devices)
    ndarray of float64, shape (epochs, devices)
        Along a straight line; the first row is 0.
    """
    moved = np.zeros(positions.shape[:2])
    moved[1:] = np.linalg.norm(np.diff(positions, axis=0), axis=2)
    return np.linalg.norm(positions, axis=2), moved


def draw_radio_links(
    radio: Radio,
    positions: Floats,
    *,
    sight: np.random.Generator,
    shadow: np.random.Generator,
    fading: np.random.Generator,
) -> LinkTable:
    """Draw the links of devices on their ways.

    Parameters
    ----------
    radio : Radio
    positions : ndarray of float64, shape (epochs, devices, 2)
    sight, shadow, fading : numpy.random.Generator
        Of their own, so that a change of one leaves the others' draws alone.

    Notes
    -----
    Shadows and lines of sight last as far as they reach; fading is drawn anew for each epoch and
    way, and holds for all of it. There is no interference.
    """
    distances, moved = measure_distances(positions)
    normal = draw_along(sight, moved, SIGHT_CORRELATION_METRES)
    sees = _find_sight(radio, distances, normal)
    spread = np.where(sees, SIGHT_SHADOWING_DB, HIDDEN_SHADOWING_DB)
    reach = np.where(sees, SIGHT_SHADOW_METRES, HIDDEN_SHADOW_METRES)
    losses = spread * draw_along(shadow, moved, reach) + radio.extra_loss_db
    band = radio.band
    gains = band.device_gain_db + band.station_gain_db
    rates, floors = [], []
    up, down = radio.uplink_attenuation, radio.downlink_attenuation
    for carrier, power, noise, attenuation in (
        (band.uplink_hertz, band.device_power_dbm, band.station_noise_db, up),
        (band.downlink_hertz, band.station_power_dbm, band.device_noise_db, down),
    ):
        path = _find_loss(radio, distances, sees, carrier)
        faded = 10 * np.log10(_fade(radio, fading, sees))
        snr = power + gains - path - losses + faded - find_noise(band.bandwidth_hertz, noise)
        efficiency = find_efficiency(
            snr,
            attenuation=attenuation,
            floor_bits_per_hertz=radio.floor_bits_per_hertz,
            cap_bits_per_hertz=radio.cap_bits_per_hertz,
        )
        floors.append(efficiency <= radio.floor_bits_per_hertz)
        rates.append(band.bandwidth_hertz * efficiency / BITS_PER_BYTE)
    return LinkTable(
        up_bytes_per_second=rates[0],
        down_bytes_per_second=rates[1],
        at_floor=floors[0] | floors[1],
    )


def _find_sight(radio: Radio, distances: Floats, normal: Floats) -> Bools:
    """Tell which devices see the station."""
    if radio.state == "normal":
        return decide(normal, find_sight_probability(distances))
    return np.full(distances.shape, radio.state == "good")


def _find_loss(radio: Radio, distances: Floats, sees: Bools, carrier: float) -> Floats:
    """Return the path loss of each device, in dB."""
    heights = (radio.station_metres, radio.device_metres)
    return np.where(
        sees,
        find_sight_loss(distances, carrier, *heights),
        find_hidden_loss(distances, carrier, *heights),
    )


def _fade(radio: Radio, generator: np.random.Generator, sees: Bools) -> Floats:
    """Draw the gains of small-scale fading of one way."""
    factor = np.full(sees.shape, to_ratio(radio.rician_factor_db))
    if radio.fading == "rayleigh":
        factor[:] = 0.0
    if radio.fading == "by-sight":
        factor[~sees] = 0.0
    gains = draw_fading(generator, sees.shape, factor)
    return np.ones(sees.shape) if radio.fading == "none" else gains
