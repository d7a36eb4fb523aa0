"""Loss heads and optimizers against their formulas, written out in numpy."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from onnxsplit.autodiff.halves.losses import build_loss
from onnxsplit.autodiff.halves.recipe import Optimizer, Recipe
from onnxsplit.autodiff.halves.updates import build_updates
from onnxsplit.engines.port import Array
from onnxsplit.errors import UsageError
from onnxsplit.graph import TensorSpec

RATE, STEPS = 0.1, 7


def make_model(
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[str],
) -> onnx.ModelProto:
    declared = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(nodes, "g", inputs, declared, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def run_optimizer(optimizer: Optimizer, gradients: list[Array], value: Array) -> Array:
    updates = build_updates(optimizer, {"p": "g"}, {"p": TensorProto.FLOAT})
    slots = [f"{slot}|p" for slot in optimizer.slots]
    names = ["p", "g", *slots]
    declared = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None]) for n in names]
    declared.append(helper.make_tensor_value_info("learning_rate", TensorProto.DOUBLE, []))
    declared.append(helper.make_tensor_value_info("step", TensorProto.INT64, []))
    outputs = ["next|p", *(f"next|{slot}" for slot in slots)]
    nodes = [*updates.shared, *updates.nodes["p"]]
    model = ReferenceEvaluator(make_model(nodes, list(updates.constants), declared, outputs))
    state = {"p": value, **{slot: np.zeros_like(value) for slot in slots}}
    for step, gradient in enumerate(gradients, start=1):
        feeds = {**state, "g": gradient, "learning_rate": np.array(RATE), "step": np.array(step)}
        made = model.run(outputs, feeds)
        assert isinstance(made, list)
        state = dict(zip(["p", *slots], made, strict=True))
    return state["p"]


def follow(optimizer: Optimizer, gradients: list[Array], start: Array) -> Array:
    """The formulas of torch.optim, in float64."""
    value, decay = start.astype(np.float64), optimizer.weight_decay
    momentum = mean = variance = np.zeros_like(value)
    for step, given in enumerate(gradients, start=1):
        gradient = given.astype(np.float64)
        if optimizer.name != "adamw":
            gradient = gradient + decay * value
        if optimizer.name == "sgd":
            momentum = optimizer.momentum * momentum + gradient
            value = value - RATE * momentum
            continue
        if optimizer.name == "adamw":
            value = value * (1 - RATE * decay)
        mean = optimizer.beta1 * mean + (1 - optimizer.beta1) * gradient
        variance = optimizer.beta2 * variance + (1 - optimizer.beta2) * gradient**2
        corrected = mean / (1 - optimizer.beta1**step)
        root = np.sqrt(variance / (1 - optimizer.beta2**step))
        value = value - RATE * corrected / (root + optimizer.epsilon)
    return value


@pytest.mark.parametrize(
    "optimizer",
    [
        Optimizer(name="sgd", momentum=0.0),
        Optimizer(name="sgd", momentum=0.9, weight_decay=0.1),
        Optimizer(name="adam"),
        Optimizer(name="adam", weight_decay=0.1),
        Optimizer(name="adamw", weight_decay=0.1, beta1=0.8, beta2=0.99),
    ],
    ids=["plain", "momentum", "adam", "adam with decay", "adamw"],
)
def test_optimizers_follow_their_formulas(optimizer: Optimizer) -> None:
    random = np.random.default_rng(1)
    gradients = [random.normal(size=5).astype(np.float32) for _ in range(STEPS)]
    start = random.normal(size=5).astype(np.float32)
    found = run_optimizer(optimizer, gradients, start)
    np.testing.assert_allclose(found, follow(optimizer, gradients, start), rtol=2e-5, atol=2e-6)


def take_loss(loss: str, prediction: Array, label: Array, dims: tuple[int | str, ...]) -> float:
    spec = TensorSpec(name="y", dtype="float32", shape=dims)
    head = build_loss(loss, (spec,))
    inputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, dims),
        helper.make_tensor_value_info(
            "label", helper.np_dtype_to_tensor_dtype(label.dtype), head.label.shape
        ),
    ]
    model = make_model(list(head.nodes), list(head.constants), inputs, ["loss"])
    made = ReferenceEvaluator(model).run(None, {"y": prediction, "label": label})
    assert isinstance(made, list)
    return float(made[0])


@pytest.mark.parametrize(
    ("dims", "axis"), [(("N", 5), 1), (("N", 3, 5), 2), (("N", 5, 2, 3), 1)], ids=str
)
def test_cross_entropy_is_the_mean_negative_log_likelihood(
    dims: tuple[int | str, ...], axis: int
) -> None:
    random = np.random.default_rng(2)
    shape = tuple(4 if isinstance(dim, str) else dim for dim in dims)
    logits = random.normal(size=shape).astype(np.float32)
    label = random.integers(0, 5, tuple(s for place, s in enumerate(shape) if place != axis))
    rows = np.moveaxis(logits, axis, -1).reshape(-1, 5).astype(np.float64)
    chosen = rows[np.arange(len(rows)), label.reshape(-1)]
    expected = (np.log(np.exp(rows).sum(axis=1)) - chosen).mean()
    assert take_loss("cross-entropy", logits, label, dims) == pytest.approx(expected, rel=1e-5)


def test_mean_square_is_the_mean_of_squares() -> None:
    random = np.random.default_rng(3)
    one, other = random.normal(size=(2, 4, 5)).astype(np.float32)
    expected = ((one.astype(np.float64) - other) ** 2).mean()
    assert take_loss("mse", one, other, ("N", 5)) == pytest.approx(expected, rel=1e-5)


def test_a_loss_of_the_user_s_own_is_taken_from_its_file(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[N, 5] guess, float[N, 5] label) => (float total) {
            gap = Sub (guess, label)
            size = Abs (gap)
            total = ReduceMean <keepdims = 0> (size)
        }
    """
    path = tmp_path / "absolute.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    spec = TensorSpec(name="y", dtype="float32", shape=("N", 5))
    assert build_loss(str(path), (spec,), opset=21).opsets == {"": 21}
    random = np.random.default_rng(4)
    one, other = random.normal(size=(2, 4, 5)).astype(np.float32)
    found = take_loss(str(path), one, other, ("N", 5))
    assert found == pytest.approx(float(np.abs(one - other).mean()), rel=1e-5)


def test_a_loss_that_does_not_fit_says_why(tmp_path: Path) -> None:
    flat = TensorSpec(name="y", dtype="float32", shape=("N",))
    with pytest.raises(UsageError, match="row for each example"):
        build_loss("cross-entropy", (flat,))
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[N] a) => (float[N] b) { b = Abs (a) }'
    path = tmp_path / "no.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    with pytest.raises(UsageError, match="an input 'label'"):
        build_loss(str(path), (flat,))
    shapeless = onnx.helper.make_tensor_value_info("label", onnx.TensorProto.FLOAT, None)
    model = onnx.parser.parse_model(text)
    model.graph.input.append(shapeless)
    onnx.save(model, path)
    with pytest.raises(UsageError, match="how many dims its 'label' has"):
        build_loss(str(path), (flat,))
    body = {
        "a single floating-point number; it gives float32": "(float[N] y, float[N] label)"
        " => (float[N] l) { l = Sub (y, label) }",
        "it gives int64": "(float[N] y, float[N] label) => (int64 l) { l = Size (y) }",
        "takes 'y' of the shape": "(float[N, 5] y, float[N, 5] label)"
        " => (float l) { d = Sub (y, label) l = ReduceMean <keepdims = 0> (d) }",
    }
    for message, text in body.items():
        onnx.save(
            onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> g {text}'), path
        )
        with pytest.raises(UsageError, match=message):
            build_loss(str(path), (flat,))
    with pytest.raises(UsageError, match="'hinge' is unknown"):
        Recipe(loss="hinge")


@pytest.mark.parametrize(
    "wrong", [{"name": "sgdd"}, {"momentum": 1.0}, {"weight_decay": -1}, {"epsilon": 0}], ids=str
)
def test_optimizers_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Optimizer(**wrong)  # type: ignore[arg-type]  # what nobody should give
