"""What many runs took, in a few figures."""

import pytest

from onnxsplit.reporting.run_report import describe_run
from onnxsplit.runtime.run_summary import RunSummary
from onnxsplit.runtime.run_traces import RunTrace


def sum_up(*seconds: float, route: str = "split") -> RunSummary:
    traces = [
        RunTrace(index=index, route=route, total_seconds=total)  # type: ignore[arg-type] # a route
        for index, total in enumerate(seconds)
    ]
    return RunSummary.of(traces, elapsed_seconds=sum(seconds))


@pytest.mark.parametrize(
    ("seconds", "high"),
    [([1.0], 1.0), ([1.0, 3.0], 3.0), (range(1, 11), 9.0), (range(1, 101), 90.0)],
)
def test_nine_of_ten_runs_are_no_slower_than_the_90th_percentile(
    seconds: list[float], high: float
) -> None:
    summary = sum_up(*seconds)
    assert summary.high_seconds == high
    assert summary.median_seconds is not None
    assert summary.high_seconds >= summary.median_seconds


@pytest.mark.parametrize(("route", "is_told"), [("split", True), ("fallback", False)])
def test_what_the_plan_predicts_stands_beside_runs_that_it_is_about(
    route: str, *, is_told: bool
) -> None:
    page = describe_run(
        sum_up(1.0, route=route),
        predicted_seconds=0.123,
        predicted_parts={"device": 0.456},
        problems=(),
        switches=(),
        notes=(),
    )
    assert ("123 ms" in repr(page)) is is_told
    assert ("456 ms" in repr(page)) is is_told
