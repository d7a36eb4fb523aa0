"""Means over seeds, with how sure they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95

_ROUND_OFF = 1e-12
"""Relative differences that come from floats alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its confidence interval.

    Parameters
    ----------
    mean : float
    half_width : float or None
        Of the 95 % interval; None where one value alone tells nothing of it.
    """

    mean: float
    half_width: float | None = None

    @property
    def low(self) -> float | None:
        """Where the interval begins."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """Where the interval ends."""
        return None if self.half_width is None else self.mean + self.half_width

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as files hold it."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


def estimate(values: Floats) -> Estimate:
    """Estimate a mean from values of independent seeds.

    Parameters
    ----------
    values : ndarray of float64, shape (seeds,)

    Notes
    -----
    Student's t interval: exact for normal values, close for means of many epochs.
    """
    count = len(values)
    mean = float(values.mean())
    if count == 1:
        return Estimate(mean=mean)
    spread = float(values.std(ddof=1) / np.sqrt(count))
    if spread <= _ROUND_OFF * abs(mean):
        spread = 0.0
    quantile = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
    return Estimate(mean=mean, half_width=quantile * spread)
