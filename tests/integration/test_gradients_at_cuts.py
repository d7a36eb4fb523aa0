"""Gradients of a network that is cut are, bit for bit, those of the whole, on onnxruntime."""

import numpy as np
import pytest

from samples.networks import build_reduced
from tests.gradients.cutting import make_step
from tests.gradients.tokens import draw_tokens


def _compare(network: str, cuts: int) -> None:
    model = build_reduced(network, batch=2)
    step = make_step(model, draw_tokens(model), "logits")
    names = [node.name.removeprefix("fwd|") for node in step.gradients.forward]
    whole = step.run_whole()
    for place in np.linspace(1, len(names) - 1, cuts, dtype=int):
        cut = step.run_cut(set(names[place:]))
        differing = [name for name in whole if not np.array_equal(whole[name], cut[name])]
        assert not differing, f"cut before {names[place]!r}"


def test_gradients_at_a_cut_are_those_of_the_whole_bit_for_bit() -> None:
    _compare("bert", 4)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["bert", "gpt2", "llama"])
def test_gradients_at_many_cuts_are_those_of_the_whole_bit_for_bit(network: str) -> None:
    _compare(network, 25)
