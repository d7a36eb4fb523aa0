"""From where a device stands to the rate of its link: 3GPP's street canyon, noise and capacity.

Sources: 3GPP TR 38.901, "Study on channel model for frequencies from 0.5 to 100 GHz": path loss of
UMi - Street Canyon in table 7.4.1-1, the probability of a line of sight in table 7.4.2-1; compared
with what ns-3 (ThreeGppUmiStreetCanyonPropagationLossModel and its model of sight) and Sionna
(UMiScenario) make of them: the same formulas and figures, but that Sionna takes the exact speed of
light. Capacity after Shannon, "A Mathematical Theory of Communication" (1948), attenuated and
capped as link simulators do it (3GPP TR 36.942, annex A; SHARC has the same 0.4 up and 0.6 down).
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LIGHT_METRES_PER_SECOND = 3.0e8
"""As TR 38.901 rounds it in its breakpoint distance."""

NOISE_DBM_PER_HERTZ = 10 * math.log10(1.380649e-23 * 290 * 1e3)
"""Thermal noise at 290 K: Boltzmann's constant times the temperature, -173.98 dBm/Hz."""

SIGHT_SHADOWING_DB, HIDDEN_SHADOWING_DB = 4.0, 7.82
"""Standard deviations of shadow fading with and without a line of sight (table 7.4.1-1)."""

_ENVIRONMENT_METRES = 1.0
_LEAST_METRES = 10.0
_CERTAIN_METRES = 18.0
_SIGHT_METRES = 36.0
_REFERENCE_HEIGHT_METRES = 1.5


def find_breakpoint(carrier_hertz: float, station_metres: float, device_metres: float) -> float:
    """Return the distance beyond which the ground's echo makes the loss steeper, in metres.

    Parameters
    ----------
    carrier_hertz : float
    station_metres, device_metres : float
        Heights of the antennas; 1 m of both is taken for the street's own clutter.

    Notes
    -----
    4 h'BS h'UT fc / c, note 1 of table 7.4.1-1.
    """
    heights = (station_metres - _ENVIRONMENT_METRES) * (device_metres - _ENVIRONMENT_METRES)
    return 4 * heights * carrier_hertz / LIGHT_METRES_PER_SECOND


def find_sight_loss(
    distance_metres: Floats, carrier_hertz: float, station_metres: float, device_metres: float
) -> Floats:
    """Return the path loss with a line of sight, in dB.

    Parameters
    ----------
    distance_metres : ndarray of float64
        Along the ground; below 10 m, where the model has no figures, it is taken to be 10 m.
    carrier_hertz, station_metres, device_metres : float
    """
    ground = np.maximum(distance_metres, _LEAST_METRES)
    rise = station_metres - device_metres
    slant, carrier = np.hypot(ground, rise), 20 * math.log10(carrier_hertz / 1e9)
    turn = find_breakpoint(carrier_hertz, station_metres, device_metres)
    near = 32.4 + 21 * np.log10(slant) + carrier
    far = 32.4 + 40 * np.log10(slant) + carrier - 9.5 * math.log10(turn**2 + rise**2)
    return np.asarray(np.where(ground <= turn, near, far), dtype=np.float64)


def find_hidden_loss(
    distance_metres: Floats, carrier_hertz: float, station_metres: float, device_metres: float
) -> Floats:
    """Return the path loss without a line of sight, in dB.

    Parameters
    ----------
    distance_metres, carrier_hertz, station_metres, device_metres
        As for `find_sight_loss`, whose loss it never falls below.
    """
    slant = np.hypot(np.maximum(distance_metres, _LEAST_METRES), station_metres - device_metres)
    hidden = (
        35.3 * np.log10(slant)
        + 22.4
        + 21.3 * math.log10(carrier_hertz / 1e9)
        - 0.3 * (device_metres - _REFERENCE_HEIGHT_METRES)
    )
    sight = find_sight_loss(distance_metres, carrier_hertz, station_metres, device_metres)
    return np.maximum(hidden, sight)


def find_sight_probability(distance_metres: Floats) -> Floats:
    """Return the probability of a line of sight (table 7.4.2-1).

    Parameters
    ----------
    distance_metres : ndarray of float64
        Along the ground.
    """
    ground = np.maximum(distance_metres, _CERTAIN_METRES)
    near = _CERTAIN_METRES / ground
    return np.asarray(near + np.exp(-ground / _SIGHT_METRES) * (1 - near), dtype=np.float64)


def find_noise(bandwidth_hertz: float, noise_figure_db: float) -> float:
    """Return the noise of a receiver, in dBm.

    Parameters
    ----------
    bandwidth_hertz, noise_figure_db : float
    """
    return NOISE_DBM_PER_HERTZ + 10 * math.log10(bandwidth_hertz) + noise_figure_db


def find_efficiency(
    snr_db: Floats, *, attenuation: float, floor_bits_per_hertz: float, cap_bits_per_hertz: float
) -> Floats:
    """Return the spectral efficiency of a link, in bits per second and hertz.

    Parameters
    ----------
    snr_db : ndarray of float64
    attenuation : float
        Share of Shannon's capacity that a real link reaches.
    floor_bits_per_hertz : float
        Of the sturdiest scheme, repeated until it comes through: a link never gets slower.
    cap_bits_per_hertz : float
        Of the densest scheme.
    """
    shannon = attenuation * np.log2(1 + 10 ** (snr_db / 10))
    return np.clip(shannon, floor_bits_per_hertz, cap_bits_per_hertz)
