"""Gradients of a network that is cut are, bit for bit, those of the whole, on onnxruntime."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from samples.networks import build_reduced
from tests.gradients.cutting import make_step
from tests.gradients.tokens import draw_tokens

_TRANSFORMERS = ("bert", "gpt2", "llama")
_CONVOLUTIONAL = ("densenet121", "mobilenetv2", "mobilenetv3", "resnet18", "shufflenet")


def _draw_inputs(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    (first, *_) = model.graph.input
    if first.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        return draw_tokens(model)
    shape = [dim.dim_value for dim in first.type.tensor_type.shape.dim]
    return {first.name: np.random.default_rng(4).standard_normal(shape).astype(np.float32)}


def _compare(network: str, cuts: int) -> None:
    model = build_reduced(network, batch=2)
    step = make_step(model, _draw_inputs(model), "logits")
    names = [node.name.removeprefix("fwd|") for node in step.gradients.forward]
    whole = step.run_whole()
    for place in np.linspace(1, len(names) - 1, cuts, dtype=int):
        cut = step.run_cut(set(names[place:]))
        differing = [name for name in whole if not np.array_equal(whole[name], cut[name])]
        assert not differing, f"cut before {names[place]!r}"


def test_gradients_at_a_cut_are_those_of_the_whole_bit_for_bit() -> None:
    _compare("bert", 4)


@pytest.mark.slow
@pytest.mark.parametrize("network", [*_TRANSFORMERS, *_CONVOLUTIONAL])
def test_gradients_at_many_cuts_are_those_of_the_whole_bit_for_bit(network: str) -> None:
    _compare(network, 25)
