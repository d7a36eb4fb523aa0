"""What a caller says of a training, once for the command line and for Python."""

from dataclasses import dataclass
from typing import TypedDict

from onnxsplit.errors import UsageError, suggest
from onnxsplit.training.rounds import SCHEMES, Scheme
from onnxsplit.training.schedules import RateSchedule, ScheduleName


class TrainingWishes(TypedDict, total=False):
    """Keyword arguments of calls that train; `TrainingRequest` says what they mean."""

    epochs: int
    steps: int | None
    batch_size: int | None
    learning_rate: float
    schedule: ScheduleName
    warmup: int
    decay_every: int
    decay_factor: float
    shuffle: bool
    seed: int
    clients: int
    scheme: Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What a caller says of a training.

    Parameters
    ----------
    epochs : int
        In all, those before a resumption included.
    steps : int or None
        End after so many steps in all.
    batch_size : int or None
        32, or what the model is made for.
    learning_rate : float
    schedule : str
        ``constant``, ``step`` or ``cosine``.
    warmup : int
        Steps.
    decay_every : int
        Epochs between two falls of ``step``.
    decay_factor : float
    shuffle : bool
    seed : int
    clients : int
        Among which the data is divided evenly, if it was not given for each.
    scheme : str
        How several clients learn; see `onnxsplit.training.rounds`.
    """

    epochs: int = 1
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float = 0.01
    schedule: ScheduleName = "constant"
    warmup: int = 0
    decay_every: int = 30
    decay_factor: float = 0.1
    shuffle: bool = True
    seed: int = 0
    clients: int = 1
    scheme: Scheme = "sequential"

    def __post_init__(self) -> None:
        """Refuse trainings without an end or a beginning."""
        if self.epochs < 1:
            raise UsageError(f"The number of epochs is {self.epochs}; give at least 1.")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"The number of steps is {self.steps}; give at least 1.")
        if self.clients < 1:
            raise UsageError(f"The number of clients is {self.clients}; give at least 1.")
        if self.scheme not in SCHEMES:
            raise UsageError(f"There is no scheme {self.scheme!r}. {suggest(self.scheme, SCHEMES)}")

    def plan_rates(self, batches: int | None) -> RateSchedule:
        """Return the learning-rate schedule, in steps.

        Raises
        ------
        UsageError
            It counts in epochs, and the data does not tell how many batches one has.
        """
        if self.schedule != "constant" and batches is None:
            raise UsageError(
                f"The schedule {self.schedule} must know how many batches an epoch has, and the"
                " iterable has no length; give a list, or a constant rate."
            )
        return RateSchedule(
            rate=self.learning_rate,
            name=self.schedule,
            warmup=self.warmup,
            every=self.decay_every * (batches or 0) if self.schedule == "step" else 0,
            factor=self.decay_factor,
            total=self.epochs * (batches or 0) if self.schedule == "cosine" else 0,
        )
