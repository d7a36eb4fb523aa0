"""Batch normalisations in training: what they compute, and their gradients."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxsplit.autodiff.batch_norms import read_momentum, write_batch_norm
from tests.gradients.cases import Array, draw
from tests.gradients.checking import (
    build_gradient_model,
    differentiate_by_differences,
    make_product,
    run_onnxruntime,
    run_reference,
)

SHAPES = [(6, 2), (3, 2, 4), (3, 2, 2, 3), (2, 3, 2, 2, 2)]
_EPSILON = 1e-2


def _make_node(**attributes: Any) -> onnx.NodeProto:  # noqa: ANN401 - as ONNX has them
    inputs = ["x", "scale", "bias", "mean", "variance"]
    return helper.make_node("BatchNormalization", inputs, ["y"], name="norm", **attributes)


def _make_model(shape: tuple[int, ...], element: int, *, batch: int | None) -> onnx.ModelProto:
    norm = write_batch_norm(_make_node(epsilon=_EPSILON), len(shape))
    inputs = [helper.make_tensor_value_info("x", element, [batch, *shape[1:]])]
    inputs += [helper.make_tensor_value_info(n, element, [shape[1]]) for n in ("scale", "bias")]
    outputs = [helper.make_tensor_value_info("y", element, [batch, *shape[1:]])]
    outputs += [
        helper.make_tensor_value_info(name, element, [shape[1]])
        for name in (norm.mean, norm.variance)
    ]
    graph = helper.make_graph(list(norm.nodes), "norm", inputs, outputs, list(norm.constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _draw_feeds(shape: tuple[int, ...]) -> dict[str, Array]:
    return {
        "x": 3 + draw(*shape, seed=1),
        "scale": draw(shape[1], seed=2),
        "bias": draw(shape[1], seed=3),
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_batch_norm_normalises_by_the_population_of_its_batch(shape: tuple[int, ...]) -> None:
    feeds = _draw_feeds(shape)
    axes = (0, *range(2, len(shape)))
    narrow = {name: value.astype(np.float32) for name, value in feeds.items()}
    found = run_onnxruntime(_make_model(shape, TensorProto.FLOAT, batch=None), narrow)
    mean, variance = feeds["x"].mean(axis=axes), feeds["x"].var(axis=axes)
    np.testing.assert_allclose(found["norm|mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["norm|variance"], variance, rtol=1e-4)
    spread = (-1, *[1] * (len(shape) - 2))
    unit = (feeds["x"] - mean.reshape(spread)) / np.sqrt(variance.reshape(spread) + _EPSILON)
    expected = unit * feeds["scale"].reshape(spread) + feeds["bias"].reshape(spread)
    np.testing.assert_allclose(found["y"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("trained", [["x", "scale", "bias"], ["x"], ["scale"]], ids=str)
def test_gradients_pass_the_statistics_of_a_batch(
    shape: tuple[int, ...], trained: list[str]
) -> None:
    feeds = _draw_feeds(shape)
    model = _make_model(shape, TensorProto.DOUBLE, batch=None)
    seed = np.random.default_rng(4).standard_normal(shape)
    found = run_reference(build_gradient_model(model, ["y"], trained), {**feeds, "seed|y": seed})
    compute = make_product(model, {"y": seed})
    joined = build_gradient_model(
        _make_model(shape, TensorProto.FLOAT, batch=shape[0]), ["y"], trained
    )
    onnx.checker.check_model(joined, full_check=True)
    fed = {**feeds, "seed|y": seed}
    narrow = run_onnxruntime(joined, {name: v.astype(np.float32) for name, v in fed.items()})
    for name in trained:
        expected = differentiate_by_differences(compute, feeds, name)
        np.testing.assert_allclose(found[f"grad|{name}"], expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(narrow[f"grad|{name}"], expected, rtol=0, atol=2e-4)


def test_the_share_that_is_kept_is_onnx_s_unless_it_is_given() -> None:
    assert read_momentum(_make_node()) == pytest.approx(0.9)
    assert read_momentum(_make_node(momentum=0.7)) == pytest.approx(0.7)
