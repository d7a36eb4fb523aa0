"""All cases of gradient rules."""

from tests.gradients import (
    elementwise_cases,
    index_cases,
    linear_cases,
    reduction_cases,
    shape_cases,
)

CASES = [
    *elementwise_cases.CASES,
    *index_cases.CASES,
    *linear_cases.CASES,
    *reduction_cases.CASES,
    *shape_cases.CASES,
]
