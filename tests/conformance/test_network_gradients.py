"""Well-known networks: gradients against differences in float64, and float32 on onnxruntime."""

import sys

import numpy as np
import onnx
import pytest

from samples.networks import NAMES, build_reduced
from tests.gradients.cases import Array
from tests.gradients.networks import KINKED_STEP, check_network

SEED = 5
BATCH = 2

QUICK = {"distilbert", "googlenet", "gpt2", "mobilenetv3", "resnet18", "shufflenet", "unet"}
"""All are tried with the slow tests; these few have nearly every kind of operator of the others."""


def _draw_feeds(proto: onnx.ModelProto) -> dict[str, Array]:
    """Draw a batch; no mask hides the first token."""
    rng = np.random.default_rng(SEED)
    feeds: dict[str, Array] = {}
    for value in proto.graph.input:
        shape = [dim.dim_value or BATCH for dim in value.type.tensor_type.shape.dim]
        if value.name == "attention_mask":
            feeds[value.name] = rng.integers(0, 2, shape)
            feeds[value.name][:, 0] = 1
        elif value.name == "input_ids":
            feeds[value.name] = rng.integers(0, 50, shape)
        else:
            feeds[value.name] = rng.standard_normal(shape).astype(np.float32)
    return feeds


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES],
)
def test_gradients_of_a_network_agree_with_differences_and_with_float32(name: str) -> None:
    model = build_reduced(name, batch="batch")
    check = check_network(model, _draw_feeds(model), ["logits"], directions=1, step=KINKED_STEP)
    sys.stdout.write(f"{name}: {check}\n")
    assert check.parameters >= 10
    assert max(check.differences) < 1e-6
    assert check.narrow < 1e-4
