import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxsplit.errors import UsageError
from onnxsplit.profiling.sampling import StopRule, low_quantile, relative_interval

SECONDS = st.lists(st.floats(min_value=1e-6, max_value=10.0), min_size=1, max_size=60)


def test_the_20th_percentile_is_interpolated() -> None:
    assert low_quantile([5.0, 1.0, 2.0, 3.0, 4.0, 6.0]) == 2.0
    assert low_quantile([1.0, 2.0]) == pytest.approx(1.2)
    assert low_quantile([7.0]) == 7.0


@given(SECONDS)
def test_the_20th_percentile_lies_between_minimum_and_median(seconds: list[float]) -> None:
    assert min(seconds) <= low_quantile(seconds) * (1 + 1e-12)
    assert low_quantile(seconds) <= float(np.median(seconds)) * (1 + 1e-12)


@given(SECONDS, st.floats(min_value=0.1, max_value=10.0))
def test_the_20th_percentile_scales_with_the_times(seconds: list[float], factor: float) -> None:
    scaled = [second * factor for second in seconds]
    assert low_quantile(scaled) == pytest.approx(low_quantile(seconds) * factor)


def test_rare_delays_do_not_move_the_20th_percentile() -> None:
    assert low_quantile([1.0] * 15 + [50.0] * 5) == 1.0


def test_the_interval_of_block_minima_is_students() -> None:
    # Minima 1.0, 1.1 and 1.2: mean 1.1, deviation 0.1, t = 4.303 for two degrees of freedom.
    blocks = [1.0, 9.0, 9.0, 9.0, 1.1, 9.0, 9.0, 9.0, 1.2, 0.1, 0.1]
    expected = 4.303 * 0.1 / math.sqrt(3) / 1.1
    assert relative_interval(blocks) == pytest.approx(expected)


@pytest.mark.parametrize("seconds", [[], [1.0] * 5, [0.0] * 9])
def test_the_interval_is_unknown_without_two_blocks_or_without_time(seconds: list[float]) -> None:
    assert relative_interval(seconds) is None


def test_the_interval_of_equal_times_is_zero() -> None:
    assert relative_interval([0.25] * 24) == 0.0


def test_the_interval_covers_the_expected_minimum_about_95_times_in_100() -> None:
    seed = 20
    generator = np.random.default_rng(seed)
    # The minimum of three exponential delays of mean 0.3 has the mean 0.1.
    covered = 0
    for _ in range(400):
        times = 1.0 + generator.exponential(0.3, size=3 * 60)
        interval = relative_interval(times.tolist())
        assert interval is not None
        mean = float(times.reshape(-1, 3).min(axis=1).mean())
        covered += abs(mean - 1.1) <= interval * mean
    assert 0.91 <= covered / 400 <= 0.98, f"seed {seed}: {covered} of 400"


STEADY = [1.0] * 23
UNSTEADY = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0] * 40


@pytest.mark.parametrize(
    ("seconds", "elapsed", "stops"),
    [
        ([], 0.0, False),
        (STEADY, 1.0, False),
        ([*STEADY, 1.0], 1.0, True),
        (UNSTEADY, 1.0, False),
        (UNSTEADY, 10.0, True),
        (UNSTEADY * 2, 1.0, True),
        ([1.0] * 4, 10.0, False),
        ([1.0] * 5, 10.0, True),
        ([1.0] * 2, 100.0, False),
        ([1.0] * 3, 19.9, False),
        ([1.0] * 3, 20.0, True),
    ],
)
def test_measuring_stops_when_sure_or_when_the_budget_is_spent(
    seconds: list[float], elapsed: float, *, stops: bool
) -> None:
    assert StopRule().is_met(seconds, elapsed) is stops


@given(SECONDS, st.floats(min_value=0.0, max_value=100.0))
def test_every_measurement_ends_soon_after_twice_its_budget(
    seconds: list[float], elapsed: float
) -> None:
    rule = StopRule(budget_seconds=5.0)
    if elapsed >= 10.0 and len(seconds) >= 3:
        assert rule.is_met(seconds, elapsed)


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_budget_that_is_not_positive_is_refused(budget: float) -> None:
    with pytest.raises(UsageError, match="positive"):
        StopRule(budget_seconds=budget)
