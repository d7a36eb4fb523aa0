"""``train``: a bundle's halves learn together, in one process or across a network."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions
from onnxsplit.errors import OutputError, RequestError, TransportError
from onnxsplit.model.bundle import check_files, read_bundle
from onnxsplit.model.publication import check_place
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.training.checkpoints import check_folder
from onnxsplit.training.data import TrainingData
from onnxsplit.training.device import NETWORK, DeviceHalf, StepFigures
from onnxsplit.training.loop import Course, Standing, run_course
from onnxsplit.training.ports import ServerPort
from onnxsplit.training.reading import DataSource, open_clients, open_data
from onnxsplit.training.remote import RemoteServer
from onnxsplit.training.results import EpochFigures, TrainingResult
from onnxsplit.training.rounds import Fleet, run_rounds
from onnxsplit.training.section import TrainingSection, read_section
from onnxsplit.workflows.trained import check_output, holds_trained, write_trained
from onnxsplit.workflows.training_keeper import Keeper
from onnxsplit.workflows.training_requests import TrainingRequest, TrainingWishes
from onnxsplit.workflows.training_servers import (
    TrainingServer,
    open_training_server,
    start_server,
)

_TRAVELS = ("activation_upload", "gradient_download", "round_trip")


def train(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    folder: str | os.PathLike[str],
    data: DataSource,
    *,
    other_clients: Sequence[DataSource] = (),
    evaluation: DataSource | None = None,
    server: TrainingServer | str | None = None,
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
    """Train both halves of a bundle, here or with the server's half across a network.

    Parameters
    ----------
    folder : path
        What `cut` wrote with training stages.
    data : path, mapping of str to array, or iterable of batches
        An ``.npz`` file or a folder of them, with an array for each model input and one named
        ``label``; arrays; or batches.
    other_clients : sequence of the same
        What further clients learn from; `scheme` says how they learn together.
    evaluation : the same as data, optional
        Scored after each epoch.
    server : TrainingServer or str, optional
        Where the server's half is, or its URL; in this process if not given. If it goes away the
        training waits, and both halves go on from the last checkpoint.
    output : path, optional
        Folder for the trained bundle; ``<bundle>.trained`` beside it if not given.
    checkpoint : path, optional
        Folder in which to keep where the training stands: after each epoch, and each
        `checkpoint_every` steps.
    checkpoint_every : int, optional
        Not with several clients.
    resume : bool
        Go on from the checkpoint; without one that is there, begin.
    force : bool
        Replace what is in the output folder, whatever it is.
    threads, provider
        How to run.
    progress : Progress, optional
    **wishes
        As in `TrainingRequest`: epochs, batches, learning rate, shuffling, clients.

    Returns
    -------
    TrainingResult

    Raises
    ------
    BundleError
        The bundle has no training stages, or a file is missing or changed.
    UsageError
        The data does not fit, an option is wrong, the checkpoint is of another training, or the
        server has learnt something already.
    TransportError
        The server can't be reached, holds another half, or did not come back.
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
    section = read_section(bundle.folder, bundle.manifest)
    check_files(bundle.folder, bundle.manifest)
    target = Path(output) if output is not None else _name_output(bundle.folder)
    check_place(target.resolve(), target, {"the bundle": bundle.folder})
    replaces = force or holds_trained(target, bundle)
    check_output(target, replaces=replaces)
    if checkpoint is not None:
        _check_checkpoint(Path(checkpoint), target, bundle.folder)
    fleet, course = _plan_course(section, (data, *other_clients), evaluation, request)
    keeper = Keeper(
        folder=None if checkpoint is None else Path(checkpoint),
        every=checkpoint_every,
        section=section,
        request=request,
        schedule=course.schedule,
        clients=len(fleet.clients),
    )
    if isinstance(server, str):
        server = TrainingServer(url=server)
    with ExitStack() as stack:
        half = stack.enter_context(open_training_server(server, section, bundle.folder, options))
        device = section.open_device(bundle.folder, options)
        stack.callback(device.close)
        training = _Training(device, half, fleet, course, keeper, server, section, progress)
        training.begin(resume=resume)
        training.follow()
        written = write_trained(
            bundle,
            section,
            {**device.read_state(), **half.read_state()},
            target,
            options,
            progress,
            steps=training.standing.step,
            force=replaces,
        )
    measured = _measure_step(training.epochs, section)
    result = TrainingResult(
        epochs=tuple(training.epochs),
        steps=training.standing.step,
        predicted=_gather_network(predict_step(bundle.manifest.plan), measured),
        measured=measured,
        output=str(written.stored.folder),
        model=str(written.model),
        checkpoint=None if keeper.folder is None else str(keeper.folder),
        parity=written.parity.to_json(),
        notes=(*section.notes, *training.notes),
    )
    if training.last is None:
        return result
    return replace(
        result,
        sent_bytes=training.last.sent_bytes,
        received_bytes=training.last.received_bytes,
        saved_bytes=training.last.saved_bytes,
    )


class _Training:
    """A training on its way, through failures of the server."""

    def __init__(
        self,
        device: DeviceHalf,
        server: ServerPort,
        fleet: Fleet,
        course: Course,
        keeper: Keeper,
        address: TrainingServer | None,
        section: TrainingSection,
        progress: Progress,
    ) -> None:
        self.standing = Standing()
        self.epochs: list[EpochFigures] = []
        self.last: StepFigures | None = None
        self.notes: list[str] = []
        self._device = device
        self._server = server
        self._fleet = fleet
        self._course = course
        self._keeper = keeper
        self._address = address
        self._section = section
        self._progress = progress

    def begin(self, *, resume: bool) -> None:
        """Bring both halves to where the training goes on, or see that nothing was learnt yet."""
        if resume:
            self.standing = self._keeper.resume(self._device, self._server)
        if not self.standing.step:
            start_server(self._address, self._server)
        if self._address is not None and self._keeper.folder is not None:
            self._keeper.write(self._device, self._server, self.standing)

    def follow(self) -> None:
        """Run the course, report, keep checkpoints, and go on when the server comes back."""
        failed_at = -1
        while True:
            try:
                self._run()
            except TransportError as error:
                if failed_at == self.standing.step:
                    raise
                failed_at = self.standing.step
                self._recover(error)
            else:
                return

    def _run(self) -> None:
        """Run the course from where it stands."""
        several = len(self._fleet.clients) > 1
        batches = self._fleet.count()

        def watch(now: Standing, figures: StepFigures) -> None:
            self.last = figures
            self._progress.report(
                _word_epoch(now.epoch, self.epochs), done=now.place, total=batches
            )
            if not several:
                self._keeper.keep(self._device, self._server, now, is_epoch=False)

        halves = (self._device, self._server)
        epochs = (
            run_rounds(*halves, self._fleet, self._course, self.standing, watch)
            if several
            else run_course(*halves, self._course, self.standing, watch)
        )
        for figures in epochs:
            self.epochs.append(figures)
            self._keeper.keep(*halves, self.standing, is_epoch=True)

    def _recover(self, error: TransportError) -> None:
        """Wait for the server and bring both halves back to the last checkpoint, or give up."""
        if self._address is None or not isinstance(self._server, RemoteServer):
            raise error
        if self._keeper.folder is None:
            raise TransportError(
                f"{error} Without --checkpoint both halves can't go on from one place."
            ) from error
        self._progress.report("waiting for the server")
        self._server.wait(self._address.patience_seconds)
        self._server.shake_hands(self._section)
        if isinstance(error, RequestError) and self._server.count_steps() == self.standing.step:
            raise error
        done = self.standing.step
        self.standing = self._keeper.resume(self._device, self._server)
        self.notes.append(
            f"The server went away after step {done}; both halves went on from the checkpoint at"
            f" step {self.standing.step}."
        )


def _check_checkpoint(folder: Path, target: Path, bundle: Path) -> None:
    """Refuse checkpoints that would be lost, before there is work to lose."""
    for name, place in (("the bundle", bundle), ("the output", target)):
        if folder.resolve().is_relative_to(place.resolve()):
            raise OutputError(
                f"The checkpoint {folder} would be lost with {name}, which is replaced whole;"
                " choose another folder."
            )
    check_folder(folder)


def _plan_course(
    section: TrainingSection,
    sources: Sequence[DataSource],
    evaluation: DataSource | None,
    request: TrainingRequest,
) -> tuple[Fleet, Course]:
    """Open the data of all clients and plan the learning rates."""
    seed = request.seed if request.shuffle else None
    clients = open_clients(
        sources,
        section.ports,
        count=request.clients,
        batch_size=request.batch_size,
        seed=seed,
    )
    fleet = Fleet(clients=clients, scheme=request.scheme, seed=request.seed)
    course = Course(
        data=clients[0],
        evaluation=_open_evaluation(section, evaluation, request),
        schedule=request.plan_rates(fleet.count()),
        epochs=request.epochs,
        most_steps=request.steps,
    )
    return fleet, course


def _open_evaluation(
    section: TrainingSection, evaluation: DataSource | None, request: TrainingRequest
) -> TrainingData | None:
    """Open the data that is scored after each epoch, in its own order."""
    if evaluation is None:
        return None
    return open_data(evaluation, section.ports, batch_size=request.batch_size, seed=None)


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
    kinds = {
        stage.name: stage.name if stage.tier == device else "server" for stage in section.stages
    }
    for name, kind in {**kinds, NETWORK: NETWORK}.items():
        if name in epochs[-1].seconds:
            spent = epochs[-1].seconds[name] / epochs[-1].steps
            seconds[kind] = seconds.get(kind, 0.0) + spent
    return seconds


def _gather_network(
    predicted: Mapping[str, float], measured: Mapping[str, float]
) -> dict[str, float]:
    """Add up what is predicted of the network's parts, where they were measured as one."""
    if NETWORK not in measured:
        return dict(predicted)
    seconds = {kind: value for kind, value in predicted.items() if kind not in _TRAVELS}
    return {**seconds, NETWORK: sum(predicted.get(kind, 0.0) for kind in _TRAVELS)}


def _name_output(folder: Path) -> Path:
    """Return where a trained bundle goes: beside the bundle that was trained."""
    resolved = folder.resolve()
    return resolved.with_name(f"{resolved.name}.trained")
