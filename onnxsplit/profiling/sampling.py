"""How many runs are enough, and which of their times counts.

Times of one program on one machine are a lowest time plus disturbances that only ever add: other
processes, interrupts, a cold cache. The 20th percentile keeps clear of both the disturbances and
the luckiest run; minima of short blocks of runs tell how sure the low end is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxsplit.errors import UsageError

QUANTILE = 0.2
"""The quantile of a kernel's or a model's times that counts as its time."""

BLOCK_RUNS = 3
"""Consecutive runs whose minimum is one sample of the low end."""

# Two-sided 95 % quantiles of Student's t distribution for 1, 2, ... degrees of freedom.
_STUDENT_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_NORMAL_95 = 1.960


def low_quantile(seconds: Sequence[float]) -> float:
    """Return the 20th percentile of at least one time, interpolated between neighbours."""
    return float(np.quantile(np.asarray(seconds, dtype=np.float64), QUANTILE))


def relative_interval(seconds: Sequence[float]) -> float | None:
    """Return the half width of the 95 % interval of the low end, relative to it.

    The low end is the mean of the minima of consecutive blocks of `BLOCK_RUNS` runs. The interval
    is Student's t, which takes the minima for independent and nearly normal.

    Returns
    -------
    float or None
        None while there are fewer than two whole blocks, or if the low end is zero.
    """
    minima = [
        min(seconds[start : start + BLOCK_RUNS])
        for start in range(0, len(seconds) - BLOCK_RUNS + 1, BLOCK_RUNS)
    ]
    if len(minima) < 2 or not any(minima):  # noqa: PLR2004 - a spread needs two samples
        return None
    freedom = len(minima) - 1
    student = _STUDENT_95[freedom - 1] if freedom <= len(_STUDENT_95) else _NORMAL_95
    return float(student * np.std(minima, ddof=1) / math.sqrt(len(minima)) / np.mean(minima))


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """When to stop measuring.

    Parameters
    ----------
    budget_seconds : float
        Time after which the runs so far have to do.
    interval : float
        Relative half width of the 95 % interval at which the low end counts as known.
    settled_runs : int
        Runs before which the interval is not trusted.
    least_runs : int
        Runs that the budget must not cut short ...
    fewest_runs : int
        ... unless even twice the budget is spent; then these few are enough.
    most_runs : int
        Runs after which there is nothing more to learn.
    agreement : float
        Share by which the whole and the sum of its kernels may differ before both are measured
        once more.

    Raises
    ------
    UsageError
        The budget is not positive.
    """

    budget_seconds: float = 10.0
    interval: float = 0.02
    settled_runs: int = 8 * BLOCK_RUNS
    least_runs: int = 5
    fewest_runs: int = 3
    most_runs: int = 300
    agreement: float = 0.08

    def __post_init__(self) -> None:
        """Refuse a budget in which nothing can be measured."""
        if not self.budget_seconds > 0:
            raise UsageError(
                f"The measuring budget is {self.budget_seconds!r} s; it must be positive."
            )

    def is_met(self, seconds: Sequence[float], elapsed_seconds: float) -> bool:
        """Tell whether these times, measured in that time, are enough."""
        runs = len(seconds)
        if runs >= self.most_runs:
            return True
        if elapsed_seconds >= self.budget_seconds and runs >= self.least_runs:
            return True
        if elapsed_seconds >= 2 * self.budget_seconds and runs >= self.fewest_runs:
            return True
        return runs >= self.settled_runs and self._is_settled(seconds)

    def _is_settled(self, seconds: Sequence[float]) -> bool:
        """Tell whether the interval is narrow enough."""
        interval = relative_interval(seconds)
        return interval is not None and interval <= self.interval
