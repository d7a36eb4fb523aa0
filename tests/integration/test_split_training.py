"""Split training equals unsplit training bit for bit: the property that everything rests on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxsplit.autodiff.halves.recipe import Optimizer, Recipe
from onnxsplit.autodiff.halves.split import split_training
from onnxsplit.engines.port import Array
from onnxsplit.engines.stateful import OrtState, open_stateful
from onnxsplit.errors import RequestError, UnsupportedModelError
from onnxsplit.placement import Placement
from onnxsplit.training.data import Batch
from onnxsplit.training.ports import StepRequest
from onnxsplit.workflows.trained_parameters import find_trained, list_frozen
from tests.gradients.widening import widen
from tests.training_models import (
    draw,
    draw_batch,
    make_attention,
    make_embedding,
    make_patches,
    make_perceptron,
    make_tied,
    place_first,
    read,
)
from tests.training_runs import OPTIONS, Pair, open_pair

STEPS = 20
SGD = Optimizer(name="sgd", momentum=0.9, weight_decay=0.001)
ADAM = Optimizer(name="adam")
ADAMW = Optimizer(name="adamw", weight_decay=0.01)
Make = Callable[[], onnx.ModelProto]
SHAPES: dict[Make, tuple[tuple[int, ...], int]] = {
    make_perceptron: ((8,), 4),
    make_attention: ((5, 8), 3),
    make_tied: ((6,), 3),
    make_embedding: ((3,), 3),
}


def make_pair(make: Make, count: int, recipe: Recipe, folder: Path) -> Pair:
    model, graph = read(make())
    placement = place_first(graph, count)
    return open_pair(model, placement, find_trained(graph, recipe.frozen), recipe, folder)


def make_batch(make: Make, step: int) -> Batch:
    shape, classes = SHAPES[make]
    rows = 6 if step % 3 else 5  # a last batch is seldom full
    values, label = draw_batch(shape, classes, rows, seed=step)
    return Batch(id=f"1/{step}", inputs={"x": values}, label=label)


def train_both(pair: Pair, make: Make, steps: int = STEPS) -> list[float]:
    losses = []
    for step in range(1, steps + 1):
        figures, expected = pair.step(make_batch(make, step), step)
        assert figures.score.loss == expected, f"step {step}"
        losses.append(expected)
    found, wanted = pair.read()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].tobytes() == value.tobytes(), name
    return losses


@pytest.mark.parametrize("labels_at", ["server", "device"])
@pytest.mark.parametrize("optimizer", [SGD, ADAM, ADAMW], ids=["sgd", "adam", "adamw"])
@pytest.mark.parametrize(
    ("make", "count"),
    [
        *((make_perceptron, count) for count in (1, 2, 3, 5, 6)),
        *((make_attention, count) for count in (1, 4, 9, 13)),
        (make_tied, 2),
    ],
)
def test_halves_learn_what_the_whole_learns_bit_for_bit(
    make: Make, count: int, optimizer: Optimizer, labels_at: str, tmp_path: Path
) -> None:
    recipe = Recipe(labels_at=labels_at, optimizer=optimizer)  # type: ignore[arg-type]  # one of two
    pair = make_pair(make, count, recipe, tmp_path)
    before = pair.state.read()
    losses = train_both(pair, make)
    after = pair.state.read()
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert all(not np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("labels_at", ["server", "device"])
def test_a_forward_pass_run_again_gives_the_same_bits_and_keeps_less(
    labels_at: str, tmp_path: Path
) -> None:
    kept = {}
    for recompute in (False, True):
        folder = tmp_path / str(recompute)
        folder.mkdir()
        recipe = Recipe(labels_at=labels_at, recompute=recompute)  # type: ignore[arg-type]  # one of two
        pair = make_pair(make_perceptron, 5, recipe, folder)
        train_both(pair, make_perceptron)
        figures, _ = pair.step(make_batch(make_perceptron, STEPS + 1), STEPS + 1)
        kept[recompute] = figures.saved_bytes
    x = make_batch(make_perceptron, STEPS + 1).inputs["x"]
    assert kept[True] == x.nbytes < kept[False]


@pytest.mark.parametrize("count", [4, 6, 7])
def test_a_cut_does_not_change_in_which_order_sums_are_added_up(count: int, tmp_path: Path) -> None:
    pair = make_pair(make_patches, count, Recipe(), tmp_path)
    for step in range(1, 4):
        values, label = draw_batch((3, 8, 8), 3, 6, seed=step)
        pair.step(Batch(id=f"1/{step}", inputs={"x": values}, label=label), step)
    found, wanted = pair.read()
    assert [name for name in wanted if found[name].tobytes() != wanted[name].tobytes()] == []


def test_labels_on_the_device_never_reach_the_server(tmp_path: Path) -> None:
    pair = make_pair(make_perceptron, 3, Recipe(labels_at="device"), tmp_path)
    asked: list[StepRequest] = []
    answer = pair.server.run_stage

    class Watching:
        def run_stage(self, request: StepRequest) -> object:
            asked.append(request)
            return answer(request)

    batch = make_batch(make_perceptron, 1)
    pair.device.step(Watching(), batch, 0.05, 1)  # type: ignore[arg-type]  # the part that is used
    assert [request.stage for request in asked] == ["server_forward", "server_backward"]
    assert all(request.labels is None for request in asked)
    assert all("label" not in request.crossings for request in asked)


def test_frozen_parameters_stay_constants_and_need_no_gradient(tmp_path: Path) -> None:
    recipe = Recipe(frozen=("fc1", "op:BatchNormalization"))
    pair = make_pair(make_perceptron, 3, recipe, tmp_path)
    assert set(pair.halves.states) == {
        *("w2", "b2", "w3", "b3"),
        *("momentum|w2", "momentum|b2", "momentum|w3", "momentum|b3"),
    }
    assert [stage.name for stage in pair.halves.training] == ["device_forward", "server_train"]
    train_both(pair, make_perceptron)
    figures, _ = pair.step(make_batch(make_perceptron, 21), 21)
    assert figures.received_bytes == 0
    assert figures.saved_bytes == 0


def test_merged_parameters_are_trained_apart_unless_they_are_to_stay_tied(tmp_path: Path) -> None:
    apart = make_pair(make_tied, 2, Recipe(), tmp_path)
    assert {"w", "w@again", "ut"} <= set(apart.halves.states)
    assert any("--tied keep" in note for note in apart.halves.forward.notes)
    (tmp_path / "kept").mkdir()
    kept = make_pair(make_tied, 4, Recipe(tied="keep"), tmp_path / "kept")
    assert "w@again" not in kept.halves.states
    assert any("--tied untie" in note for note in kept.halves.forward.notes)


def test_a_weight_that_is_read_in_two_layouts_stays_one_if_it_is_to(tmp_path: Path) -> None:
    apart = make_pair(make_embedding, 2, Recipe(), tmp_path)
    assert {"table", "turned"} <= set(apart.halves.states)
    assert any("table" in note and "--tied keep" in note for note in apart.halves.forward.notes)
    model, graph = read(make_embedding())
    on_server = {"embed": "server", "layer": "server", "tanh": "server", "score": "server"}
    with pytest.raises(UnsupportedModelError, match="'table' is kept tied"):
        make_pair(make_embedding, 2, Recipe(tied="keep"), tmp_path)
    placement = Placement(tiers=("device", "server"), tier_of=on_server)
    recipe = Recipe(tied="keep", optimizer=Optimizer(momentum=0.0))
    halves = split_training(model, placement, find_trained(graph, ()), recipe)
    assert set(halves.states) == {"table", "w"}
    assert not any("masks" in note for note in halves.forward.notes)
    state = OrtState({n: s.value for n, s in halves.states.items()}, OPTIONS)
    whole = open_stateful(
        halves.whole.proto.SerializeToString(), state, halves.whole.updates, OPTIONS
    )
    x, label = np.eye(3, dtype=np.float32), np.array([2, 0, 1])
    before = state.read()
    whole.run({"x": x, "label": label, "learning_rate": np.asarray(1.0)})
    found = before["table"] - state.read()["table"]
    hidden = np.tanh(x @ before["table"] @ before["w"])
    scores = hidden @ before["table"].T
    slope = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True) - np.eye(3)[label]) / 3
    through = (slope @ before["table"] * (1 - hidden**2)) @ before["w"].T
    np.testing.assert_allclose(found, slope.T @ hidden + x.T @ through, rtol=1e-4, atol=1e-6)


def test_a_frozen_operator_keeps_what_it_shared_with_a_trained_one(tmp_path: Path) -> None:
    pair = make_pair(make_tied, 2, Recipe(frozen=("encode",)), tmp_path)
    assert "w" not in pair.halves.states
    assert "w@again" in pair.halves.states
    train_both(pair, make_tied, steps=3)
    encode = pair.halves.training[0].proto.graph
    assert [tensor.name for tensor in encode.initializer] == ["w"]


def test_tables_and_masks_are_no_parameters(tmp_path: Path) -> None:
    model = make_tied()
    mask = np.array([0.0, -np.inf, 0.0, 0.0, -3e38, 0.0], np.float32)
    model.graph.initializer.extend([numpy_helper.from_array(mask, "mask"), draw("frequencies", 6)])
    spot = next(i for i, node in enumerate(model.graph.node) if node.name == "tanh")
    model.graph.node[spot].input[0] = "masked"
    model.graph.node.insert(spot, helper.make_node("Sin", ["frequencies"], ["table"], "sine"))
    model.graph.node.insert(spot + 1, helper.make_node("Add", ["a", "table"], ["shifted"], "shift"))
    model.graph.node.insert(
        spot + 2, helper.make_node("Max", ["shifted", "mask"], ["masked"], "hide")
    )
    loaded, graph = read(model)
    trained = find_trained(graph, ())
    assert {"mask", "frequencies"} <= {name for names in trained.values() for name in names}
    pair = open_pair(loaded, place_first(graph, 3), trained, Recipe(), tmp_path)
    assert not {"mask", "table", "frequencies"} & set(pair.halves.states)
    assert any("tables and masks" in note for note in pair.halves.forward.notes)


def test_a_tied_parameter_on_both_tiers_is_refused_by_name() -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"'w' is kept tied.*encode, again.*--tied untie"
    ):
        make_pair(make_tied, 2, Recipe(tied="keep"), Path())


def test_running_statistics_are_those_of_the_batches(tmp_path: Path) -> None:
    pair = make_pair(make_perceptron, 3, Recipe(), tmp_path)
    state = pair.state.read()
    batch = make_batch(make_perceptron, 1)
    made = batch.inputs["x"] @ state["w1"].T + state["b1"]
    pair.step(batch, 1)
    found = pair.device.read_state()
    np.testing.assert_allclose(
        found["m"], 0.9 * state["m"] + 0.1 * made.mean(axis=0), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(found["v"], 0.9 * state["v"] + 0.1 * made.var(axis=0), rtol=1e-5)


def test_the_server_learns_each_step_once_and_in_order(tmp_path: Path) -> None:
    pair = make_pair(make_perceptron, 3, Recipe(labels_at="device"), tmp_path)
    crossings = {"r": np.ones((2, 16), np.float32)}

    def ask(stage: str, step: int, batch_id: str, **values: Array) -> StepRequest:
        return StepRequest(
            stage=stage,
            crossings=values,
            labels=None,
            learning_rate=0.1,
            step=step,
            batch_id=batch_id,
        )

    with pytest.raises(RequestError, match="next step is 1"):
        pair.server.run_stage(ask("server_forward", 2, "1/1", **crossings))
    first = pair.server.run_stage(ask("server_forward", 1, "1/0", **crossings))
    assert pair.server.run_stage(ask("server_forward", 1, "1/0", **crossings)) is first
    with pytest.raises(RequestError, match="the turn of 'server_backward'") as refused:
        pair.server.run_stage(ask("server_backward", 1, "1/7"))
    assert refused.value.status == 409
    assert pair.server.count_steps() == 0
    with pytest.raises(RequestError, match="no stage 'nonsense'"):
        pair.server.run_stage(ask("nonsense", 1, "1/0"))


def test_evaluation_learns_nothing(tmp_path: Path) -> None:
    pair = make_pair(make_perceptron, 3, Recipe(), tmp_path)
    before, _ = pair.read()
    score = pair.device.evaluate(pair.server, make_batch(make_perceptron, 1))
    after, _ = pair.read()
    assert score.rows == 6
    assert all(np.array_equal(before[name], after[name]) for name in before)


def take_loss(pair: Pair, batch: Batch, values: dict[str, Array], rate: float) -> float:
    """Run the unsplit step from given values of the state."""
    pair.state.write(values)
    given: dict[str, Array] = {
        **batch.inputs,
        "label": batch.label,
        "learning_rate": np.asarray(rate),
        "step": np.asarray(1),
    }
    made = pair.whole.run({spec.name: given[spec.name] for spec in pair.whole.inputs})
    return float(np.asarray(made["loss"]))


@pytest.mark.parametrize("make", [make_perceptron, make_attention])
def test_a_step_in_float64_goes_down_the_slope_that_differences_show(
    make: Make, tmp_path: Path
) -> None:
    loaded, graph = read(widen(make()))
    recipe = Recipe(optimizer=Optimizer(momentum=0.0))
    pair = open_pair(loaded, place_first(graph, 3), find_trained(graph, ()), recipe, tmp_path)
    values, label = draw_batch(*SHAPES[make], 6, seed=1)
    batch = Batch(id="1/0", inputs={"x": values.astype(np.float64)}, label=label)
    start = pair.state.read()
    take_loss(pair, batch, start, rate=1.0)
    after, random = pair.state.read(), np.random.default_rng(0)
    for name in (n for n, state in pair.halves.states.items() if state.kind == "parameter"):
        direction = random.normal(size=start[name].shape)
        ends = [
            take_loss(pair, batch, {**start, name: start[name] + sign * 1e-6 * direction}, rate=0.0)
            for sign in (1, -1)
        ]
        slope = float(((start[name] - after[name]) * direction).sum())
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8), name


def test_frozen_norms_are_as_for_inference_and_neither_learn_nor_move(tmp_path: Path) -> None:
    model, graph = read(make_perceptron())
    recipe = Recipe(norms="frozen")
    trained = find_trained(graph, list_frozen(graph, (), recipe))
    pair = open_pair(model, place_first(graph, 3), trained, recipe, tmp_path)
    assert not {"g", "be", "m", "v"} & set(pair.halves.states)
    train_both(pair, make_perceptron)
    types = [node.op_type for node in pair.halves.training[0].proto.graph.node]
    assert types == ["Gemm", "BatchNormalization", "Relu"]
