"""Gradients of whole transformers equal finite differences, at fixed and at symbolic sizes."""

from collections.abc import Sequence
from dataclasses import replace

import onnx
import pytest

from onnxsplit.autodiff import differentiation
from onnxsplit.autodiff.rules import find_rule
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import Rule, RuleEntry
from samples.networks import build_reduced
from tests.gradients.networks import check_network
from tests.gradients.tokens import draw_tokens


@pytest.mark.parametrize("batch", [2, "batch"])
@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_gradients_of_a_transformer_agree_with_finite_differences(
    name: str, batch: int | str
) -> None:
    model = build_reduced(name, batch=batch)
    check = check_network(model, draw_tokens(model), ["logits"], directions=2)
    assert check.parameters >= 25
    assert max(check.differences) < 1e-6
    assert check.narrow < 1e-4


@pytest.mark.parametrize("broken", ["Softmax", "LayerNormalization", "Erf"])
def test_a_rule_that_is_slightly_wrong_is_found(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(node: onnx.NodeProto) -> RuleEntry | None:
        entry = find_rule(node)
        return replace(entry, apply=_weaken(entry)) if entry and node.op_type == broken else entry

    monkeypatch.setattr(differentiation, "find_rule", find)
    model = build_reduced("bert")
    check = check_network(model, draw_tokens(model), ["logits"], directions=1)
    assert max(check.differences) > 1e-5


def _weaken(entry: RuleEntry) -> Rule:
    def apply(at: Site) -> Sequence[str | None]:
        first, *rest = entry.apply(at)
        assert first is not None
        return [at.emit("Mul", first, at.scalar(0.999, at.inputs[0])), *rest]

    return apply
