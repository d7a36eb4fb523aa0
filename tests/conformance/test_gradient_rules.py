"""Every gradient rule by itself: against finite differences, and on onnxruntime."""

import pytest

from onnxsplit.autodiff.rules import RULES
from tests.gradients.cases import GradientCase
from tests.gradients.catalogue import CASES
from tests.gradients.rules import compare_with_differences, compare_with_onnxruntime


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "unsized"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rule_agrees_with_finite_differences(case: GradientCase, sized: bool) -> None:  # noqa: FBT001 - a parameter
    compare_with_differences(case, sized=sized)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rule_gives_the_same_in_float32_on_onnxruntime_and_is_valid_onnx(
    case: GradientCase,
) -> None:
    compare_with_onnxruntime(case)


def test_every_rule_has_a_case() -> None:
    tried = {(case.domain, case.op_type) for case in CASES}
    assert not set(RULES) - tried
