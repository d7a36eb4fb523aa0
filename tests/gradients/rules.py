"""Hold one rule on one case against finite differences, and against onnxruntime in float32."""

import numpy as np
import onnx

from tests.gradients.cases import Array, GradientCase
from tests.gradients.checking import (
    build_gradient_model,
    differentiate_by_differences,
    draw_seeds,
    make_product,
    run_onnxruntime,
    run_reference,
)


def compare_with_differences(case: GradientCase, *, sized: bool) -> None:
    """Assert that a rule's gradients, in float64, equal finite differences to 1e-6.

    Parameters
    ----------
    case : GradientCase
    sized : bool
        Whether the rule knows the dims; else only the ranks.
    """
    model = case.make_model(np.float64, sized=sized)
    feeds = case.make_feeds(np.float64)
    results, trained = _list_results(case), case.list_trained()
    seeds = draw_seeds(run_reference(model, feeds), results, seed=7)
    joined = build_gradient_model(model, results, trained)
    found = run_reference(joined, {**feeds, **_name_seeds(seeds)})
    compute = make_product(model, seeds)
    for name in trained:
        expected = differentiate_by_differences(compute, feeds, name)
        assert found[f"grad|{name}"].shape == expected.shape
        _assert_close(found[f"grad|{name}"], expected, 1e-6)


def compare_with_onnxruntime(case: GradientCase) -> None:
    """Assert that a rule emits valid ONNX that gives the same in float32 on onnxruntime."""
    results, trained = _list_results(case), case.list_trained()
    feeds, model = case.make_feeds(np.float64), case.make_model(np.float64)
    seeds = draw_seeds(run_reference(model, feeds), results, seed=7)
    wide = run_reference(
        build_gradient_model(model, results, trained), {**feeds, **_name_seeds(seeds)}
    )
    given = run_reference(case.make_model(np.float32), case.make_feeds(np.float32))
    narrow_seeds = {name: value.astype(given[name].dtype) for name, value in seeds.items()}
    for sized in (True, False):
        joined = build_gradient_model(case.make_model(np.float32, sized=sized), results, trained)
        onnx.checker.check_model(joined, full_check=True)
        if not case.runs_on_onnxruntime:
            continue
        feeds = {**case.make_feeds(np.float32), **_name_seeds(narrow_seeds)}
        narrow = run_onnxruntime(joined, feeds)
        for name in trained:
            assert narrow[f"grad|{name}"].dtype == np.float32
            _assert_close(narrow[f"grad|{name}"], wide[f"grad|{name}"], case.tolerance)


def _list_results(case: GradientCase) -> list[str]:
    """Return the outputs whose gradients are fed."""
    return [f"output{place}" for place in case.seeded]


def _name_seeds(seeds: dict[str, Array]) -> dict[str, Array]:
    """Return the gradients that are fed, by the names of the joined model's inputs."""
    return {f"seed|{name}": value for name, value in seeds.items()}


def _assert_close(found: Array, expected: Array, tolerance: float) -> None:
    """Assert that two gradients are equal, relative to the largest element."""
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)
