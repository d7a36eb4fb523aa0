"""What varies by chance: small-scale fading, and shadows and lines of sight that last a while."""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SIGHT_CORRELATION_METRES = 50.0
"""How far one sees the same (3GPP TR 38.901, table 7.6.3.1-2, UMi: LOS/NLOS state).

A public MATLAB simulator has the same figure; ns-3 and Sionna have none.
"""

SIGHT_SHADOW_METRES, HIDDEN_SHADOW_METRES = 10.0, 13.0
"""How far a shadow reaches with and without a line of sight (3GPP TR 38.901, table 7.5-6, UMi).

As ns-3 and Sionna have it.
"""


def draw_fading(
    generator: np.random.Generator, shape: tuple[int, ...], rician_factor: Floats
) -> Floats:
    """Draw power gains of small-scale fading, 1 on average.

    Parameters
    ----------
    generator : numpy.random.Generator
    shape : tuple of int
    rician_factor : ndarray of float64
        Power of the direct way over that of all others; 0 is Rayleigh fading.

    Notes
    -----
    The squared magnitude of a direct part and a circular Gaussian one (Tse and Viswanath,
    "Fundamentals of Wireless Communication", section 2.4.2). Both ways of a link fade on their own.
    """
    direct = np.sqrt(rician_factor / (rician_factor + 1))
    spread = np.sqrt(0.5 / (rician_factor + 1))
    real, imaginary = generator.standard_normal((2, *shape))
    return np.asarray((direct + spread * real) ** 2 + (spread * imaginary) ** 2, dtype=np.float64)


def draw_along(
    generator: np.random.Generator, moved_metres: Floats, correlation_metres: float | Floats
) -> Floats:
    """Draw standard normal numbers that stay alike as long as a device hardly moves.

    Parameters
    ----------
    generator : numpy.random.Generator
    moved_metres : ndarray of float64, shape (epochs, devices)
        How far each device has come since the epoch before; the first row is not read.
    correlation_metres : float or ndarray of float64, shape (epochs, devices)
        Distance over which the correlation falls to 1/e.

    Notes
    -----
    A first-order autoregressive process (Gudmundson, "Correlation model for shadow fading in mobile
    radio systems", Electronics Letters, 1991).
    """
    fresh = generator.standard_normal(moved_metres.shape)
    kept = np.exp(-moved_metres / correlation_metres)
    values = np.empty_like(fresh)
    values[0] = fresh[0]
    for epoch in range(1, len(fresh)):
        stays = kept[epoch]
        values[epoch] = stays * values[epoch - 1] + np.sqrt(1 - stays**2) * fresh[epoch]
    return values


def decide(normal: Floats, probability: Floats) -> Bools:
    """Turn standard normal numbers into events of some probability.

    Parameters
    ----------
    normal, probability : ndarray of float64
    """
    return np.asarray(ndtr(normal) < probability, dtype=np.bool_)


def to_ratio(decibels: float) -> float:
    """Return a ratio of powers given in dB.

    Examples
    --------
    >>> to_ratio(20.0)
    100.0
    """
    return math.pow(10.0, decibels / 10)
