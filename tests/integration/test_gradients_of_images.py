"""What gradients of images meet in models: drawn masks, ties, old opsets, unknown sizes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxsplit.errors import UnknownGradientError, UnknownShapeError
from tests.gradients.cases import Array
from tests.gradients.checking import build_gradient_model, run_onnxruntime


def _make_model(
    node: onnx.NodeProto,
    shape: list[int | str],
    initializers: dict[str, Array] | None = None,
    *,
    opset: int = 18,
) -> onnx.ModelProto:
    """Make a model of one operator that reads x and makes y."""
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in (initializers or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def test_dropout_drops_of_the_gradient_what_it_dropped_of_the_values() -> None:
    given = {"ratio": np.array(0.4, np.float32), "training": np.array([True]).reshape(())}
    node = helper.make_node("Dropout", ["x", *given], ["y"], name="drop", seed=3)
    joined = build_gradient_model(_make_model(node, ["n", 50], given), ["y"], ["x"])
    random = np.random.default_rng(1)
    x = random.uniform(1, 2, (6, 50)).astype(np.float32)
    seed = random.standard_normal(x.shape).astype(np.float32)
    found = run_onnxruntime(joined, {"x": x, "seed|y": seed})
    kept = found["y"] != 0
    assert 0.4 < kept.mean() < 0.8
    np.testing.assert_allclose(found["grad|x"], seed * kept / 0.6, rtol=1e-5)


def test_equal_numbers_of_overlapping_windows_get_each_gradient_once() -> None:
    node = helper.make_node(
        "MaxPool", ["x"], ["y"], name="pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4
    )
    joined = build_gradient_model(_make_model(node, ["n", 2, 7, 7]), ["y"], ["x"])
    seed = np.random.default_rng(2).standard_normal((3, 2, 4, 4)).astype(np.float32)
    found = run_onnxruntime(joined, {"x": np.zeros((3, 2, 7, 7), np.float32), "seed|y": seed})
    sums = found["grad|x"].sum(axis=(2, 3))
    np.testing.assert_allclose(sums, seed.sum(axis=(2, 3)), rtol=1e-4, atol=1e-5)


def test_the_upsample_of_old_models_is_differentiated_as_what_replaced_it() -> None:
    scales = {"scales": np.array([1, 1, 2, 3], np.float32)}
    node = helper.make_node("Upsample", ["x", "scales"], ["y"], name="up", mode="nearest")
    joined = build_gradient_model(_make_model(node, [2, 1, 2, 2], scales, opset=9), ["y"], ["x"])
    x = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    seed = np.random.default_rng(3).standard_normal((2, 1, 4, 6)).astype(np.float32)
    found = run_onnxruntime(joined, {"x": x, "seed|y": seed})
    expected = seed.reshape(2, 1, 2, 2, 2, 3).sum(axis=(3, 5))
    np.testing.assert_allclose(found["grad|x"], expected, rtol=1e-5, atol=1e-6)


def test_images_of_unknown_size_are_refused_with_what_mends_it() -> None:
    weight = {"w": np.ones((2, 3, 3, 3), np.float32)}
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv1")
    model = _make_model(node, ["n", 3, "height", "width"], weight)
    with pytest.raises(UnknownShapeError, match=r"conv1.*--shape or --dim"):
        build_gradient_model(model, ["y"], ["w"])


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (
            helper.make_node(
                "MaxPool", ["x"], ["y"], name="pool", kernel_shape=[2, 2], storage_order=1
            ),
            "storage_order 1",
        ),
        (
            helper.make_node(
                "Resize",
                ["x", "", "", "sizes"],
                ["y"],
                name="resize",
                mode="linear",
                axes=[2, 3],
                keep_aspect_ratio_policy="not_larger",
            ),
            "keep_aspect_ratio_policy not_larger",
        ),
    ],
    ids=["columns", "proportions"],
)
def test_what_a_rule_does_not_cover_is_named(node: onnx.NodeProto, told: str) -> None:
    model = _make_model(node, [1, 1, 4, 4], {"sizes": np.array([2, 3], np.int64)})
    with pytest.raises(UnknownGradientError, match=told):
        build_gradient_model(model, ["y"], ["x"])
