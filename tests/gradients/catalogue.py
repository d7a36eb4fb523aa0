"""All cases of gradient rules."""

from tests.gradients import elementwise_cases

CASES = [*elementwise_cases.CASES]
