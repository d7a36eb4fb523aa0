"""Halves in one process, and the unsplit step beside them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.autodiff.halves.split import TrainingHalves, split_training
from onnxsplit.autodiff.halves.stages import TrainingStage
from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.engines.stateful import OrtState, OrtStatefulSession, open_stateful
from onnxsplit.model.loading import LoadedModel
from onnxsplit.placement import Placement
from onnxsplit.training.data import Batch
from onnxsplit.training.device import DeviceHalf, StepFigures
from onnxsplit.training.half import Half
from onnxsplit.training.server import ServerHalf
from onnxsplit.training.stages import StageFile

OPTIONS = EngineOptions(threads=1)
RATE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two halves, and the same steps unsplit."""

    device: DeviceHalf
    server: ServerHalf
    whole: OrtStatefulSession
    state: OrtState
    halves: TrainingHalves

    def step(self, batch: Batch, step: int) -> tuple[StepFigures, float]:
        """Run one step in both ways; return what the halves tell and the whole's loss."""
        figures = self.device.step(self.server, batch, RATE, step)
        given: dict[str, Array] = {
            **batch.inputs,
            "label": batch.label,
            "learning_rate": np.asarray(RATE),
            "step": np.asarray(step),
        }
        made = self.whole.run({spec.name: given[spec.name] for spec in self.whole.inputs})
        return figures, float(np.asarray(made["loss"]))

    def read(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the state of the halves and that of the whole."""
        return {**self.device.read_state(), **self.server.read_state()}, self.state.read()


def open_pair(
    model: LoadedModel,
    placement: Placement,
    trained: dict[str, tuple[str, ...]],
    recipe: Recipe,
    folder: Path,
) -> Pair:
    """Make the stages of a placement and open them."""
    halves = split_training(model, placement, trained, recipe)
    training = write_stages(halves.training, placement.tiers, folder)
    evaluation = write_stages(halves.evaluation, placement.tiers, folder)
    predictions, axis = halves.forward.head.predictions[0], halves.forward.head.class_axis
    opened = {}
    for place, tier in enumerate(placement.tiers):
        values = {n: s.value for n, s in halves.states.items() if s.place == place}
        state = OrtState(values, OPTIONS)
        opened[tier] = tuple(
            Half(stages, tier, folder, state, OPTIONS, results=("loss", predictions))
            for stages in (training, evaluation)
        )
    device, server = (opened[tier] for tier in placement.tiers)
    state = OrtState({n: s.value for n, s in halves.states.items()}, OPTIONS)
    proto = halves.whole.proto.SerializeToString()
    return Pair(
        device=DeviceHalf(
            *device,
            stages=training,
            evaluation_stages=evaluation,
            labels_at_server=recipe.labels_at == "server",
            predictions=predictions,
            class_axis=axis,
        ),
        server=ServerHalf(*server, predictions=predictions, class_axis=axis),
        whole=open_stateful(proto, state, halves.whole.updates, OPTIONS),
        state=state,
        halves=halves,
    )


def write_stages(
    stages: tuple[TrainingStage, ...], tiers: tuple[str, ...], folder: Path
) -> tuple[StageFile, ...]:
    """Write stages into a folder and describe them."""
    files = []
    for stage in stages:
        (folder / f"{stage.name}.onnx").write_bytes(stage.proto.SerializeToString())
        files.append(
            StageFile(
                name=stage.name,
                tier=tiers[stage.place],
                file=f"{stage.name}.onnx",
                inputs=stage.inputs,
                outputs=stage.outputs,
                reads=stage.reads,
                updates=stage.updates,
            )
        )
    return tuple(files)
