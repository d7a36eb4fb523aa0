"""Gradient rules on random shapes, axes, bounds and indices."""

import zlib

import numpy as np
import pytest

from tests.gradients.random_cases import DRAWS
from tests.gradients.rules import compare_with_differences, compare_with_onnxruntime


def _try(kind: str, first: int, last: int) -> None:
    for seed in range(first, last):
        # The seed and the case are in the error's notes, should one fail.
        case = DRAWS[kind](np.random.default_rng([seed, zlib.crc32(kind.encode())]))
        try:
            compare_with_differences(case, sized=True)
            compare_with_differences(case, sized=False)
            compare_with_onnxruntime(case)
        except Exception as error:
            error.add_note(f"seed {seed}: {case}")
            raise


@pytest.mark.parametrize("kind", DRAWS)
def test_a_rule_holds_on_random_cases(kind: str) -> None:
    _try(kind, 0, 5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DRAWS)
def test_a_rule_holds_on_many_random_cases(kind: str) -> None:
    _try(kind, 5, 100)
