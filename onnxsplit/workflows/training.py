"""``train``: a bundle's halves learn together, here in one process."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions
from onnxsplit.errors import BundleError, ChecksumMismatchError, UsageError
from onnxsplit.model.bundle import StoredBundle, check_files, read_bundle
from onnxsplit.model.publication import check_place
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from onnxsplit.training.data import TrainingData
from onnxsplit.training.device import DeviceHalf, StepFigures
from onnxsplit.training.loop import Course, Standing, run_course
from onnxsplit.training.ports import ServerPort
from onnxsplit.training.reading import DataSource, open_data
from onnxsplit.training.results import EpochFigures, TrainingResult
from onnxsplit.training.schedules import RateSchedule, ScheduleName
from onnxsplit.training.scores import Tally
from onnxsplit.training.section import TrainingSection
from onnxsplit.workflows.trained import write_trained


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

    def __post_init__(self) -> None:
        """Refuse trainings without an end or a beginning."""
        if self.epochs < 1:
            raise UsageError(f"The number of epochs is {self.epochs}; give at least 1.")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"The number of steps is {self.steps}; give at least 1.")

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


def train(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    folder: str | os.PathLike[str],
    data: DataSource,
    *,
    evaluation: DataSource | None = None,
    output: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    force: bool = False,
    threads: int | None = None,
    provider: str | None = None,
    progress: Progress | None = None,
    **wishes: Unpack[TrainingWishes],
) -> TrainingResult:
    """Train both halves of a bundle in this process.

    Parameters
    ----------
    folder : path
        What `cut` wrote with training stages.
    data : path, mapping of str to array, or iterable of batches
        An ``.npz`` file or a folder of them, with an array for each model input and one named
        ``label``; arrays; or batches.
    evaluation : the same, optional
        Scored after each epoch.
    output : path, optional
        Folder for the trained bundle; ``<bundle>.trained`` beside it if not given.
    checkpoint : path, optional
        Folder in which to keep where the training stands: after each epoch, and each
        `checkpoint_every` steps.
    checkpoint_every : int, optional
    resume : bool
        Go on from the checkpoint; without one that is there, begin.
    force : bool
        Replace what is in the output folder, whatever it is.
    threads, provider
        How to run.
    progress : Progress, optional
    **wishes
        As in `TrainingRequest`: epochs, batches, learning rate, shuffling.

    Returns
    -------
    TrainingResult

    Raises
    ------
    BundleError
        The bundle has no training stages, or a file is missing or changed.
    UsageError
        The data does not fit, an option is wrong, or the checkpoint is of another training.
    ParityError
        The trained halves differ from the trained whole.
    OutputError
        The output or the checkpoint can't be written.
    """
    progress = progress or SilentProgress()
    request = TrainingRequest(**wishes)
    options = EngineOptions(provider=provider or CPU_PROVIDER, threads=threads or 0)
    progress.report("reading the bundle")
    bundle = read_bundle(Path(folder))
    section = read_section(bundle)
    check_files(bundle.folder, bundle.manifest)
    target = Path(output) if output is not None else _name_output(bundle.folder)
    check_place(target.resolve(), target, {"the bundle": bundle.folder})
    course = _plan_course(section, data, evaluation, request)
    device = section.open_device(bundle.folder, options)
    server = section.open_server(bundle.folder, options)
    keeper = Keeper(
        folder=None if checkpoint is None else Path(checkpoint),
        every=checkpoint_every,
        section=section,
        request=request,
        schedule=course.schedule,
    )
    try:
        standing = keeper.resume(device, server) if resume else Standing()
        epochs, last = _follow(device, server, course, standing, keeper, progress)
        written = write_trained(
            bundle,
            section,
            {**device.read_state(), **server.read_state()},
            target,
            options,
            progress,
            steps=standing.step,
            force=force,
        )
    finally:
        device.close()
        server.close()
    result = TrainingResult(
        epochs=tuple(epochs),
        steps=standing.step,
        predicted=predict_step(bundle.manifest.plan),
        measured=_measure_step(epochs, section),
        output=str(written.stored.folder),
        model=str(written.model),
        checkpoint=None if keeper.folder is None else str(keeper.folder),
        parity=written.parity.to_json(),
        notes=section.notes,
    )
    if last is None:
        return result
    return replace(
        result,
        sent_bytes=last.sent_bytes,
        received_bytes=last.received_bytes,
        saved_bytes=last.saved_bytes,
    )


def read_section(bundle: StoredBundle) -> TrainingSection:
    """Return a bundle's training section.

    Raises
    ------
    BundleError
        It has none, or it is malformed.
    """
    if bundle.manifest.training is None:
        raise BundleError(
            f"{bundle.folder} has no training stages; cut the model with --objective training and"
            " --loss."
        )
    return TrainingSection.from_json(bundle.manifest.training)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Writes checkpoints and goes on from them.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    every : int or None
        Steps between two checkpoints within an epoch.
    section : TrainingSection
    request : TrainingRequest
    schedule : RateSchedule
    """

    folder: Path | None
    every: int | None
    section: TrainingSection
    request: TrainingRequest
    schedule: RateSchedule

    def resume(self, device: DeviceHalf, server: ServerPort) -> Standing:
        """Bring both halves to where the checkpoint stands.

        Raises
        ------
        UsageError
            No folder is known, or the checkpoint was made with other options.
        ChecksumMismatchError
            It is of another bundle.
        """
        if self.folder is None:
            raise UsageError("--resume goes on from a checkpoint; name its folder by --checkpoint.")
        if not self.folder.exists():
            return Standing()
        kept = read_checkpoint(self.folder)
        if kept.bundle != self.section.fingerprint:
            raise ChecksumMismatchError(
                f"The checkpoint {self.folder} belongs to another bundle; train that one, or begin"
                " anew without --resume."
            )
        self._check_options(kept)
        on_device, on_server = (kept.states[tier] for tier in self.section.tiers)
        device.write_state(on_device)
        server.write_state(on_server, step=kept.step)
        return Standing(
            step=kept.step,
            epoch=kept.epoch,
            place=kept.place,
            tally=Tally.from_json(dict(kept.tally)),
        )

    def keep(
        self, device: DeviceHalf, server: ServerPort, standing: Standing, *, is_epoch: bool
    ) -> None:
        """Write a checkpoint if its time has come."""
        if self.folder is None:
            return
        if not is_epoch and (self.every is None or standing.step % self.every):
            return
        on_device, on_server = self.section.tiers
        write_checkpoint(
            self.folder,
            Checkpoint(
                bundle=self.section.fingerprint,
                step=standing.step,
                epoch=standing.epoch,
                place=standing.place,
                seed=self.request.seed if self.request.shuffle else None,
                batch_size=self.request.batch_size,
                schedule=self.schedule.to_json(),
                tally=standing.tally.to_json(),
                states={on_device: device.read_state(), on_server: server.read_state()},
            ),
        )

    def _check_options(self, kept: Checkpoint) -> None:
        """Refuse to go on in another way than the training began."""
        asked: dict[str, object] = {
            "the seed": self.request.seed if self.request.shuffle else None,
            "the batch size": self.request.batch_size,
            "the learning-rate schedule": self.schedule.to_json(),
        }
        found: dict[str, object] = {
            "the seed": kept.seed,
            "the batch size": kept.batch_size,
            "the learning-rate schedule": dict(kept.schedule),
        }
        for what, value in asked.items():
            if value != found[what]:
                raise UsageError(
                    f"The checkpoint {self.folder} was made with other options: {what} was"
                    f" {found[what]}, and is {value}. Give those, or begin anew without --resume."
                )


def _plan_course(
    section: TrainingSection,
    data: DataSource,
    evaluation: DataSource | None,
    request: TrainingRequest,
) -> Course:
    """Open the data and plan the learning rates."""
    seed = request.seed if request.shuffle else None
    training = open_data(data, section.ports, batch_size=request.batch_size, seed=seed)
    return Course(
        data=training,
        evaluation=_open_evaluation(section, evaluation, request),
        schedule=request.plan_rates(training.count()),
        epochs=request.epochs,
        most_steps=request.steps,
    )


def _open_evaluation(
    section: TrainingSection, evaluation: DataSource | None, request: TrainingRequest
) -> TrainingData | None:
    """Open the data that is scored after each epoch, in its own order."""
    if evaluation is None:
        return None
    return open_data(evaluation, section.ports, batch_size=request.batch_size, seed=None)


def _follow(
    device: DeviceHalf,
    server: ServerPort,
    course: Course,
    standing: Standing,
    keeper: Keeper,
    progress: Progress,
) -> tuple[list[EpochFigures], StepFigures | None]:
    """Run the course, report, and keep checkpoints."""
    batches = course.data.count()
    epochs: list[EpochFigures] = []
    last: list[StepFigures] = []

    def watch(now: Standing, figures: StepFigures) -> None:
        last[:] = [figures]
        progress.report(_word_epoch(now.epoch, epochs), done=now.place, total=batches)
        keeper.keep(device, server, now, is_epoch=False)

    for figures in run_course(device, server, course, standing, watch):
        epochs.append(figures)
        keeper.keep(device, server, standing, is_epoch=True)
    return epochs, last[0] if last else None


def _word_epoch(epoch: int, done: list[EpochFigures]) -> str:
    """Say which epoch runs, and how the last one ended."""
    if not done:
        return f"epoch {epoch}"
    score = done[-1].evaluation or done[-1].score
    accuracy = "" if score.accuracy is None else f", accuracy {score.accuracy:.1%}"
    return f"epoch {epoch} (last: loss {score.loss:.4g}{accuracy})"


def predict_step(plan: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds of one step as a plan for training predicts them, by kind of work."""
    iterations = plan.get("objective_options", {}).get("iterations", 1)
    seconds: dict[str, float] = {}
    for part in plan["predicted"]["parts"]:
        if part["kind"] not in {"model_download", "model_upload"}:
            share = part["seconds"] / iterations
            seconds[part["kind"]] = seconds.get(part["kind"], 0.0) + share
    return seconds


def _measure_step(epochs: list[EpochFigures], section: TrainingSection) -> dict[str, float]:
    """Return the seconds of one step in the last epoch, by the plan's kinds of work."""
    if not epochs or not epochs[-1].steps:
        return {}
    device = section.tiers[0]
    seconds: dict[str, float] = {}
    for stage in section.stages:
        kind = stage.name if stage.tier == device else "server"
        spent = epochs[-1].seconds.get(stage.name, 0.0) / epochs[-1].steps
        seconds[kind] = seconds.get(kind, 0.0) + spent
    return seconds


def _name_output(folder: Path) -> Path:
    """Return where a trained bundle goes: beside the bundle that was trained."""
    resolved = folder.resolve()
    return resolved.with_name(f"{resolved.name}.trained")
