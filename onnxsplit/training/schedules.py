"""Learning-rate schedules: one number for each step, the same for both halves."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from onnxsplit.errors import UsageError

ScheduleName = Literal["constant", "step", "cosine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSchedule:
    """How the learning rate goes.

    Parameters
    ----------
    rate : float
        The base.
    name : str
        ``constant``; ``step``, times `factor` every `every` steps; or ``cosine``, down to 0 after
        `total` steps.
    warmup : int
        Steps over which the rate rises in equal amounts to where the schedule then starts.
    every : int
        Of ``step``.
    factor : float
        Of ``step``.
    total : int
        Steps of the whole training, of ``cosine``.

    Raises
    ------
    UsageError
        A number makes no sense.

    Examples
    --------
    >>> schedule = RateSchedule(rate=0.1, name="step", every=10, factor=0.5, warmup=2)
    >>> [round(schedule.at(step), 4) for step in (1, 2, 3, 12, 13)]
    [0.05, 0.1, 0.1, 0.1, 0.05]
    """

    rate: float
    name: ScheduleName = "constant"
    warmup: int = 0
    every: int = 0
    factor: float = 0.1
    total: int = 0

    def __post_init__(self) -> None:
        """Refuse schedules that no training can follow."""
        if self.name not in get_args(ScheduleName):
            raise UsageError(
                f"The schedule {self.name!r} is unknown; give {', '.join(get_args(ScheduleName))}."
            )
        if not 0 < self.rate < math.inf:
            raise UsageError(f"The learning rate is {self.rate}; give a number over 0.")
        if self.warmup < 0:
            raise UsageError(f"The warm-up takes {self.warmup} steps; give 0 or more.")
        if self.name == "step" and (self.every < 1 or not 0 < self.factor <= 1):
            raise UsageError(
                f"The rate is to fall by the factor {self.factor} every {self.every} steps; give a"
                " factor from 0 to 1 and at least one step."
            )
        if self.name == "cosine" and self.total < 1:
            raise UsageError("A cosine schedule must know how many steps there are in all.")

    def at(self, step: int) -> float:
        """Return the rate of a step, counted from 1."""
        if step <= self.warmup:
            return self.rate * step / self.warmup
        done = step - 1 - self.warmup
        if self.name == "step":
            return float(self.rate * self.factor ** (done // self.every))
        if self.name == "cosine":
            share = min(1.0, done / max(1, self.total - self.warmup))
            return self.rate * 0.5 * (1 + math.cos(math.pi * share))
        return self.rate

    def to_json(self) -> dict[str, Any]:
        """Return the schedule as a checkpoint holds it."""
        return {
            "rate": self.rate,
            "name": self.name,
            "warmup": self.warmup,
            "every": self.every,
            "factor": self.factor,
            "total": self.total,
        }
