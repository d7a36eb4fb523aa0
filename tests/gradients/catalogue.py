"""All cases of gradient rules."""

from tests.gradients import (
    composed_cases,
    convolution_cases,
    elementwise_cases,
    index_cases,
    linear_cases,
    normalization_cases,
    pooling_cases,
    reduction_cases,
    resizing_cases,
    shape_cases,
)

CASES = [
    *composed_cases.CASES,
    *convolution_cases.CASES,
    *elementwise_cases.CASES,
    *index_cases.CASES,
    *linear_cases.CASES,
    *normalization_cases.CASES,
    *pooling_cases.CASES,
    *reduction_cases.CASES,
    *resizing_cases.CASES,
    *shape_cases.CASES,
]
