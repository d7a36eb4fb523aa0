"""Every gradient rule whose operator PyTorch has too: against PyTorch's own gradients."""

from typing import Any

import numpy as np
import pytest

from tests.gradients.autograd import COUNTERPARTS, torch
from tests.gradients.cases import Array, GradientCase
from tests.gradients.catalogue import CASES
from tests.gradients.checking import build_gradient_model, draw_seeds, run_reference
from tests.gradients.image_autograd import is_compared

_COMPARED = [
    case
    for case in CASES
    if case.op_type in COUNTERPARTS
    and case.seeded == (0,)
    and not case.domain
    and is_compared(case)
]


def _differentiate(case: GradientCase, seed: Array) -> dict[str, Array]:
    given: dict[str, Any] = {
        name: None if value is None else torch.tensor(value) for name, value in case.inputs.items()
    }
    trained = case.list_trained()
    for name in trained:
        given[name].requires_grad_()
    result = COUNTERPARTS[case.op_type](list(given.values()), case.attributes)
    result.backward(torch.tensor(seed))
    return {name: given[name].grad.numpy() for name in trained}


@pytest.mark.parametrize("case", _COMPARED, ids=str)
def test_a_rule_agrees_with_autograd(case: GradientCase) -> None:
    model = case.make_model(np.float64)
    feeds = case.make_feeds(np.float64)
    seeds = draw_seeds(run_reference(model, feeds), ["output0"], seed=7)
    joined = build_gradient_model(model, ["output0"], case.list_trained())
    found = run_reference(joined, {**feeds, "seed|output0": seeds["output0"]})
    for name, expected in _differentiate(case, seeds["output0"]).items():
        np.testing.assert_allclose(found[f"grad|{name}"], expected, rtol=1e-6, atol=1e-7)
