"""Whole networks: gradients against differences in float64, and float32 on onnxruntime."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from samples.networks import NAMES, build_reduced
from tests.gradients.checking import (
    Array,
    build_gradient_model,
    run_onnxruntime,
    run_reference,
)
from tests.gradients.widening import widen

SEED = 5
BATCH = 2
_STEP = 1e-7

# All are tried with the slow tests; these few have every kind of operator that the others have.
QUICK = {"distilbert", "googlenet", "gpt2", "mobilenetv3", "resnet18", "shufflenet", "unet"}

_FIXED = {"causal/bias", "rotary/speeds"}
_STATISTICS = (".mean", ".variance", ".mask")


def _list_parameters(proto: onnx.ModelProto) -> list[str]:
    """List what is trained: floats with dims, but for statistics and tables of constants."""
    return [
        tensor.name
        for tensor in proto.graph.initializer
        if tensor.data_type in {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}
        and tensor.dims
        and not tensor.name.endswith(_STATISTICS)
        and tensor.name not in _FIXED
    ]


def _draw_feeds(proto: onnx.ModelProto, rng: np.random.Generator) -> dict[str, Array]:
    """Draw a batch; no mask hides the first token."""
    feeds: dict[str, Array] = {}
    for value in proto.graph.input:
        shape = [dim.dim_value or BATCH for dim in value.type.tensor_type.shape.dim]
        if value.name == "attention_mask":
            feeds[value.name] = rng.integers(0, 2, shape)
            feeds[value.name][:, 0] = 1
        elif value.name == "input_ids":
            feeds[value.name] = rng.integers(0, 50, shape)
        else:
            feeds[value.name] = rng.standard_normal(shape)
    return feeds


def _move(proto: onnx.ModelProto, directions: dict[str, Array], step: float) -> onnx.ModelProto:
    """Return the model with its parameters moved along a direction."""
    moved = onnx.ModelProto()
    moved.CopyFrom(proto)
    for tensor in moved.graph.initializer:
        if tensor.name in directions:
            values = numpy_helper.to_array(tensor) + step * directions[tensor.name]
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return moved


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES],
)
def test_gradients_of_a_network_agree_with_differences_and_with_float32(name: str) -> None:
    rng = np.random.default_rng(SEED)
    narrow = build_reduced(name, batch="batch")
    wide, trained = widen(narrow), _list_parameters(narrow)
    feeds = _draw_feeds(narrow, rng)
    seed = rng.standard_normal(run_reference(wide, feeds)["logits"].shape)
    found = run_reference(
        build_gradient_model(wide, ["logits"], trained), {**feeds, "seed|logits": seed}
    )
    gradients = {key: found[f"grad|{key}"] for key in trained}
    assert all(np.any(gradient) for gradient in gradients.values())

    directions = {key: rng.standard_normal(value.shape) for key, value in gradients.items()}
    ahead, back = (
        float(np.sum(seed * run_reference(_move(wide, directions, step), feeds)["logits"]))
        for step in (_STEP, -_STEP)
    )
    slope = sum(float(np.sum(gradients[key] * directions[key])) for key in trained)
    assert (ahead - back) / (2 * _STEP) == pytest.approx(slope, rel=1e-5)

    rounded = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in feeds.items()}
    model = build_gradient_model(narrow, ["logits"], trained)
    single = run_onnxruntime(model, {**rounded, "seed|logits": seed.astype(np.float32)})
    error = np.sqrt(sum(np.sum((single[f"grad|{k}"] - gradients[k]) ** 2) for k in trained))
    size = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients.values()))
    assert error < 1e-4 * size
