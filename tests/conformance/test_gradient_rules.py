"""Every gradient rule by itself: against finite differences, and on onnxruntime."""

import numpy as np
import onnx
import pytest

from onnxsplit.autodiff.rules import RULES
from tests.gradients.cases import GradientCase
from tests.gradients.catalogue import CASES
from tests.gradients.checking import (
    build_gradient_model,
    differentiate_by_differences,
    draw_seeds,
    make_product,
    run_onnxruntime,
    run_reference,
)


def _seeded(case: GradientCase) -> list[str]:
    return [f"output{place}" for place in case.seeded]


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "unsized"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rule_agrees_with_finite_differences(case: GradientCase, sized: bool) -> None:  # noqa: FBT001 - a parameter
    model = case.make_model(np.float64, sized=sized)
    feeds = case.make_feeds(np.float64)
    trained = case.list_trained()
    joined = build_gradient_model(model, _seeded(case), trained)
    seeds = draw_seeds(run_reference(model, feeds), _seeded(case), seed=7)
    found = run_reference(joined, {**feeds, **{f"seed|{n}": v for n, v in seeds.items()}})
    compute = make_product(model, seeds)
    for name in trained:
        expected = differentiate_by_differences(compute, feeds, name)
        assert found[f"grad|{name}"].shape == expected.shape
        scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
        np.testing.assert_allclose(found[f"grad|{name}"], expected, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rule_gives_the_same_in_float32_on_onnxruntime_and_is_valid_onnx(
    case: GradientCase,
) -> None:
    trained = case.list_trained()
    wide_feeds = case.make_feeds(np.float64)
    model = case.make_model(np.float64)
    seeds = draw_seeds(run_reference(model, wide_feeds), _seeded(case), seed=7)
    wide = run_reference(
        build_gradient_model(model, _seeded(case), trained),
        {**wide_feeds, **{f"seed|{n}": v for n, v in seeds.items()}},
    )
    given = run_reference(case.make_model(np.float32), case.make_feeds(np.float32))
    narrow_seeds = {f"seed|{n}": v.astype(given[n].dtype) for n, v in seeds.items()}
    for sized in (True, False):
        joined = build_gradient_model(
            case.make_model(np.float32, sized=sized), _seeded(case), trained
        )
        onnx.checker.check_model(joined, full_check=True)
        if not case.runs_on_onnxruntime:
            continue
        narrow = run_onnxruntime(joined, {**case.make_feeds(np.float32), **narrow_seeds})
        for name in trained:
            expected = wide[f"grad|{name}"]
            scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
            assert narrow[f"grad|{name}"].dtype == np.float32
            np.testing.assert_allclose(
                narrow[f"grad|{name}"], expected, rtol=0, atol=case.tolerance * scale
            )


def test_every_rule_has_a_case() -> None:
    tried = {(case.domain, case.op_type) for case in CASES}
    assert not set(RULES) - tried
