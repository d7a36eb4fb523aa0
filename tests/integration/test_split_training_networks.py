"""Well-known networks, split and unsplit: twenty steps that are equal in every bit."""

from pathlib import Path

import numpy as np
import pytest

from onnxsplit.autodiff.halves.recipe import Optimizer, Recipe
from onnxsplit.engines.port import EngineOptions, Feeds
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.inputs import draw_inputs
from onnxsplit.model.loading import LoadedModel, load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import resolve_tensors
from onnxsplit.model.sizes import SizeOptions, fix_input_specs
from onnxsplit.objectives import Side
from onnxsplit.training.data import Batch
from onnxsplit.workflows.trained_parameters import find_trained
from samples.networks import NAMES, build_reduced
from tests.training_models import place_first
from tests.training_runs import Pair, open_pair

STEPS, ROWS = 20, 3
OPTIMIZERS = {
    "sgd": Optimizer(name="sgd", momentum=0.9, weight_decay=0.001),
    "adam": Optimizer(name="adam"),
}


def read_network(name: str) -> tuple[LoadedModel, OperatorGraph, Feeds]:
    model = load_model(build_reduced(name, batch="N"))
    specs = fix_input_specs(model, SizeOptions(dims={"N": ROWS}))
    feeds = draw_inputs(model, specs, seed=1)
    return model, read_graph(model, resolve_tensors(model, feeds, EngineOptions(threads=1))), feeds


def make_batches(pair: Pair, graph: OperatorGraph, feeds: Feeds) -> list[Batch]:
    """Draw batches of two sizes: inputs that hold numbers differ, tokens and masks stay."""
    head = pair.halves.forward.head
    known = graph.tensors[head.predictions[0]].shape or ()
    shape = [size for size in known if isinstance(size, int)]
    used = {spec.name for stage in pair.halves.training for spec in stage.inputs}
    batches = []
    for step in range(1, STEPS + 1):
        random, rows = np.random.default_rng(step), ROWS - step % 2
        inputs = {name: np.asarray(feeds[name])[:rows] for name in graph.inputs if name in used}
        for name, value in inputs.items():
            if value.dtype == np.float32:
                inputs[name] = random.normal(size=value.shape).astype(np.float32)
        sizes = [size for axis, size in enumerate(shape) if axis != head.class_axis]
        label = random.integers(0, shape[head.class_axis or 0], (rows, *sizes[1:]))
        batches.append(Batch(id=f"1/{step}", inputs=inputs, label=label))
    return batches


def check(name: str, share: float, optimizer: str, labels_at: Side, folder: Path) -> None:
    model, graph, feeds = read_network(name)
    recipe = Recipe(optimizer=OPTIMIZERS[optimizer], labels_at=labels_at)
    placement = place_first(graph, max(1, int(share * len(graph))))
    pair = open_pair(model, placement, find_trained(graph, ()), recipe, folder)
    for step, batch in enumerate(make_batches(pair, graph, feeds), start=1):
        figures, expected = pair.step(batch, step)
        assert figures.score.loss == expected or np.isnan([figures.score.loss, expected]).all()
    found, wanted = pair.read()
    different = [key for key, value in wanted.items() if found[key].tobytes() != value.tobytes()]
    assert found.keys() == wanted.keys()
    assert different == []


@pytest.mark.parametrize(
    ("name", "share", "optimizer", "labels_at"),
    [
        ("lenet", 0.4, "sgd", "server"),
        ("squeezenet", 0.6, "adam", "device"),
        ("resnet18", 0.5, "sgd", "server"),
        ("googlenet", 0.45, "sgd", "server"),
        ("bert", 0.55, "adam", "server"),
    ],
)
def test_a_split_network_learns_what_the_whole_learns_bit_for_bit(
    name: str, share: float, optimizer: str, labels_at: Side, tmp_path: Path
) -> None:
    check(name, share, optimizer, labels_at, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("labels_at", ["server", "device"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("share", [0.15, 0.5, 0.85])
@pytest.mark.parametrize("name", NAMES)
def test_every_network_learns_the_same_wherever_it_is_cut(
    name: str, share: float, optimizer: str, labels_at: Side, tmp_path: Path
) -> None:
    check(name, share, optimizer, labels_at, tmp_path)
