"""The loop: epochs of steps, with evaluation and checkpoints, from any step on."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from onnxsplit.errors import UsageError
from onnxsplit.training.data import Batch, TrainingData
from onnxsplit.training.device import DeviceHalf, StepFigures
from onnxsplit.training.ports import ServerPort
from onnxsplit.training.results import EpochFigures
from onnxsplit.training.schedules import RateSchedule
from onnxsplit.training.scores import Score, Tally

Watch = Callable[["Standing", StepFigures], None]
"""Called after every step."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """Where a training stands; what a checkpoint keeps beside the halves' states.

    Parameters
    ----------
    step : int
        Steps that are done.
    epoch : int
        Of the next step, counted from 1.
    place : int
        Batches of it that are done.
    tally : Tally
        Its score so far.
    """

    step: int = 0
    epoch: int = 1
    place: int = 0
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a training goes through.

    Parameters
    ----------
    data : TrainingData
    evaluation : TrainingData or None
    schedule : RateSchedule
    epochs : int
    most_steps : int or None
        End after so many in all, wherever that is.
    """

    data: TrainingData
    evaluation: TrainingData | None
    schedule: RateSchedule
    epochs: int
    most_steps: int | None = None


def run_course(
    device: DeviceHalf,
    server: ServerPort,
    course: Course,
    standing: Standing,
    watch: Watch,
) -> Iterator[EpochFigures]:
    """Train, and yield each epoch that is finished.

    Parameters
    ----------
    device : DeviceHalf
    server : ServerPort
    course : Course
    standing : Standing
        Where to begin; it moves on with every step.
    watch : callable

    Raises
    ------
    UsageError
        The data has no batches, or the loss is no number any more.
    OnnxSplitError
        A half fails.
    """
    while standing.epoch <= course.epochs and not _is_over(course, standing):
        started, seconds, steps, rate = time.perf_counter(), dict[str, float](), 0, 0.0
        is_whole = False
        for batch in islice(course.data.epoch(standing.epoch), standing.place, None):
            rate = course.schedule.at(standing.step + 1)
            figures = device.step(server, batch, rate, standing.step + 1)
            check_loss(figures, standing.step + 1)
            steps += 1
            _take(standing, figures, seconds)
            watch(standing, figures)
            if _is_over(course, standing):
                break
        else:
            is_whole = True
        if not standing.place:
            raise UsageError("The data has no batches, so there is nothing to learn from.")
        seconds["total"] = time.perf_counter() - started
        figures_of_epoch = EpochFigures(
            epoch=standing.epoch,
            steps=steps,
            score=standing.tally.total(),
            evaluation=score_data(device, server, course.evaluation),
            learning_rate=rate,
            seconds=seconds,
        )
        if is_whole:
            standing.epoch, standing.place, standing.tally = standing.epoch + 1, 0, Tally()
        yield figures_of_epoch


def score_data(device: DeviceHalf, server: ServerPort, data: TrainingData | None) -> Score | None:
    """Score all of some data without learning from it."""
    if data is None:
        return None
    tally = Tally()
    for batch in data.epoch(0):
        tally.add(_evaluate(device, server, batch))
    return tally.total()


def _evaluate(device: DeviceHalf, server: ServerPort, batch: Batch) -> Score:
    """Score one batch."""
    return device.evaluate(server, batch)


def check_loss(figures: StepFigures, step: int) -> None:
    """Stop where there is nothing left to learn from.

    Raises
    ------
    UsageError
        The loss is no number any more.
    """
    if not math.isfinite(figures.score.loss):
        raise UsageError(
            f"The loss is {figures.score.loss} at step {step}: the training has diverged, or the"
            " data holds values that are not finite. Lower the learning rate, or give --warmup;"
            " checkpoints of earlier steps stay as they are."
        )


def _take(standing: Standing, figures: StepFigures, seconds: dict[str, float]) -> None:
    """Move on by a step."""
    standing.step += 1
    standing.place += 1
    standing.tally.add(figures.score)
    for stage, spent in figures.seconds.items():
        seconds[stage] = seconds.get(stage, 0.0) + spent


def _is_over(course: Course, standing: Standing) -> bool:
    """Tell whether the most steps are done."""
    return course.most_steps is not None and standing.step >= course.most_steps
