"""Write a plan's training stages into a bundle, held against an unsplit step."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.autodiff.halves.split import TrainingHalves, split_training
from onnxsplit.autodiff.halves.stages import TrainingStage
from onnxsplit.engines.port import EngineOptions
from onnxsplit.engines.stateful import OrtState, open_stateful
from onnxsplit.errors import InfeasiblePlacementError, InternalError, ParityError, UsageError
from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.model.saving import write_model
from onnxsplit.objectives import TrainingDelay
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.untying import untie_weights
from onnxsplit.progress import Progress
from onnxsplit.training.agreement import Agreement, check_agreement
from onnxsplit.training.data import Batch
from onnxsplit.training.section import TrainingSection
from onnxsplit.training.stages import StageFile
from onnxsplit.training.storage import save_state
from onnxsplit.workflows.inquiries import Inquiry
from onnxsplit.workflows.labels import draw_label
from onnxsplit.workflows.preparation import PreparedModel
from onnxsplit.workflows.requests import PlanRequest
from onnxsplit.workflows.trained_parameters import find_trained, list_frozen

_SIDES = ("device", "server")
"""In the names of files, whatever the tiers are called."""
_STEPS = 3
"""Steps in which the halves are held against the whole before they are written."""


def check_training(request: PlanRequest) -> None:
    """Refuse plans that training stages can't follow.

    Raises
    ------
    UsageError
        The plan is not for training, or for something that training stages do not know.
    """
    if not isinstance(request.objective, TrainingDelay):
        raise UsageError("--loss writes training stages; give --objective training as well.")
    if request.boundary is not None or request.mix:
        raise UsageError(
            "Training stages send values as they stand, at one size; leave out --boundary and"
            " --mix."
        )


def settle_recipe(inquiry: Inquiry, recipe: Recipe) -> tuple[Inquiry, Recipe]:
    """Let the objective and the recipe speak of the same training.

    Parameters
    ----------
    inquiry : Inquiry
    recipe : Recipe

    Returns
    -------
    Inquiry
        Norms that the recipe freezes are frozen in the objective, and weights that it unties are
        apart in the graph, so that their readers may part.
    Recipe
        Labels and frozen parameters as in the objective.
    """
    objective = inquiry.question.objective
    if not isinstance(objective, TrainingDelay):
        raise InternalError("Training stages were asked for without a plan for training.")
    frozen = list_frozen(inquiry.question.graph, objective.frozen, recipe)
    settled = replace(recipe, labels_at=objective.labels_at, frozen=frozen)
    graph = inquiry.question.graph
    if settled.tied == "untie":
        graph = untie_weights(graph, frozen)
    objective = replace(objective, frozen=frozen)
    question = replace(inquiry.question, graph=graph, objective=objective)
    return replace(inquiry, question=question), settled


def split_plan(prepared: PreparedModel, placement: Placement, recipe: Recipe) -> TrainingHalves:
    """Make the training stages of a placement.

    Raises
    ------
    InfeasiblePlacementError
        A tier is left empty.
    OnnxSplitError
        The model can't be trained so.
    """
    if not placement.is_proper:
        raise InfeasiblePlacementError(
            "Training stages need operators on both tiers; leave out --allow-whole."
        )
    trained = find_trained(prepared.graph, recipe.frozen)
    return split_training(prepared.model, placement, trained, recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingWriter:
    """Writes training stages and describes them.

    Parameters
    ----------
    halves : TrainingHalves
    prepared : PreparedModel
    tiers : tuple of str
    recipe : Recipe
    engine : EngineOptions or None
        None if the stages are not to be checked.
    progress : Progress
    """

    halves: TrainingHalves
    prepared: PreparedModel
    tiers: tuple[str, ...]
    recipe: Recipe
    engine: EngineOptions | None
    progress: Progress

    def write(self, folder: Path) -> TrainingSection:
        """Write all files into a folder.

        Raises
        ------
        ParityError
            The halves do not equal the whole.
        """
        self.progress.report("writing training stages")
        device, server = self.tiers
        stages = tuple(self._write_stage(folder, stage) for stage in self.halves.training)
        evaluation = tuple(self._write_stage(folder, stage) for stage in self.halves.evaluation)
        states = {tier: self._write_state(folder, place) for place, tier in enumerate(self.tiers)}
        names = [stage.file for stage in (*stages, *evaluation)] + list(states.values())
        section = TrainingSection(
            recipe=self.recipe.to_json(),
            tiers=(device, server),
            labels_at=self.recipe.labels_at,
            inputs=self._list_inputs(),
            label=self.halves.forward.head.label,
            predictions=self.halves.forward.head.predictions[0],
            class_axis=self.halves.forward.head.class_axis,
            classes=self._count_classes(),
            stages=stages,
            evaluation=evaluation,
            states=states,
            variables=tuple(v.to_json() for v in self.halves.forward.variables),
            files={name: _hash(folder / name) for name in names},
            notes=(*self.halves.forward.notes, *self._note_labels()),
        )
        drawn = _name_random(self.prepared.graph)
        if drawn is not None:
            section = replace(section, notes=(*section.notes, drawn))
        if self.engine is None or drawn is not None:
            return section
        self.progress.report("checking the training stages")
        agreement = self._check(folder, section, self.engine)
        if agreement is None:
            return section
        return replace(section, evidence=agreement.to_json(), saved_bytes=agreement.saved_bytes)

    def _write_stage(self, folder: Path, stage: TrainingStage) -> StageFile:
        """Write one stage's file."""
        saved = write_model(stage.proto, folder, stage.name, base_folder=None)
        return StageFile(
            name=stage.name,
            tier=self.tiers[stage.place],
            file=saved.file,
            inputs=stage.inputs,
            outputs=stage.outputs,
            reads=stage.reads,
            updates=stage.updates,
        )

    def _write_state(self, folder: Path, place: int) -> str:
        """Write one tier's first state."""
        name = f"{_SIDES[place]}_state.safetensors"
        state = {n: s.value for n, s in self.halves.states.items() if s.place == place}
        save_state(folder / name, state, {"tier": self.tiers[place], "step": "0"})
        return name

    def _count_classes(self) -> int | None:
        """Return how many classes there are, where the model says so."""
        head = self.halves.forward.head
        spec = self.prepared.tensors.get(head.predictions[0])
        if head.class_axis is None or spec is None or spec.shape is None:
            return None
        size = spec.shape[head.class_axis]
        return size if isinstance(size, int) else None

    def _note_labels(self) -> tuple[str, ...]:
        """Say what private labels cost that the plan does not know of."""
        names = [stage.name for stage in self.halves.training]
        if "device_loss" not in names or names.index("device_loss") == 0:
            return ()
        note = (
            "The labels stay on the device: in each step predictions come down and their gradient"
            " goes up, with one more round trip, which the plan does not count."
        )
        return (note,)

    def _list_inputs(self) -> tuple[TensorSpec, ...]:
        """Return the model inputs that the stages take."""
        wanted = {spec.name: spec for stage in self.halves.training for spec in stage.inputs}
        return tuple(wanted[name] for name in self.prepared.graph.inputs if name in wanted)

    def _check(
        self, folder: Path, section: TrainingSection, engine: EngineOptions
    ) -> Agreement | None:
        """Hold the halves against the whole on inputs like those the model was run on."""
        predictions = self.prepared.tensors.get(section.predictions)
        label = draw_label(section.label, predictions, section.class_axis)
        if label is None:
            return None
        inputs = {spec.name: spec.dtype for spec in section.inputs}
        feeds = [self.prepared.batches[step % len(self.prepared.batches)] for step in range(_STEPS)]
        batches = [
            Batch(
                id=f"0/{step}",
                inputs={name: np.asarray(feed[name], dtype) for name, dtype in inputs.items()},
                label=label,
            )
            for step, feed in enumerate(feeds)
        ]
        state = OrtState({n: s.value for n, s in self.halves.states.items()}, engine)
        whole = open_stateful(
            self.halves.whole.proto.SerializeToString(), state, self.halves.whole.updates, engine
        )
        device = section.open_device(folder, engine)
        server = section.open_server(folder, engine)
        try:
            return check_agreement(device, server, whole, state, batches)
        except ParityError as error:
            raise ParityError(
                f"{error}. Nothing was written; --no-verify writes the stages all the same."
            ) from error
        finally:
            for half in (device, server, whole):
                half.close()


def _name_random(graph: OperatorGraph) -> str | None:
    """Say that a training can't be repeated, where operators draw numbers in it."""
    names = [operator.name for operator in graph if operator.is_random]
    if not names:
        return None
    return (
        f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''} draw random numbers, so the"  # noqa: PLR2004 - as many as are shown
        " halves can't be held against an unsplit step, and a resumed training draws others."
    )


def _hash(path: Path) -> str:
    """Return a file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
