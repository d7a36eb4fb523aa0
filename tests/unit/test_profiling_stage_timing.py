from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions, Session
from onnxsplit.errors import ProfileError
from onnxsplit.evidence import StageTimings
from onnxsplit.profiling.rounds import Instruments
from onnxsplit.profiling.sampling import StopRule
from onnxsplit.profiling.stage_timing import RunnableStage, take_turns, time_chains
from onnxsplit.profiling.storage import read_timings, write_timings
from tests.engine_models import relu_model
from tests.made_results import make_timings


@dataclass
class FakeClock:
    """Stands still unless it is told to move."""

    now: float = 0.0
    calls: list[str] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def make_call(self, name: str, *seconds: float) -> Callable[[], None]:
        """A call that takes the given times in turn, over and over."""
        count = 0

        def call() -> None:
            nonlocal count
            self.calls.append(name)
            self.now += seconds[count % len(seconds)]
            count += 1

        return call


def test_calls_take_turns_of_three_and_the_low_end_counts() -> None:
    clock = FakeClock()
    calls = [clock.make_call("a", 0.05, 0.01, 0.01), clock.make_call("b", 0.002)]
    slow, fast = take_turns(calls, Instruments(clock=clock, rule=StopRule(most_runs=9)))
    assert "".join(clock.calls) == "aaabbb" * 3
    assert slow.seconds == pytest.approx(0.01)
    assert fast.seconds == pytest.approx(0.002)
    assert (slow.runs, fast.runs) == (9, 9)
    assert fast.interval_relative == pytest.approx(0.0, abs=1e-9)


def test_the_budget_is_for_all_calls_together() -> None:
    clock = FakeClock()
    calls = [clock.make_call(name, 1.0) for name in "abc"]
    rule = StopRule(budget_seconds=4.0, interval=-1.0)
    times = take_turns(calls, Instruments(clock=clock, rule=rule))
    assert [entry.runs for entry in times] == [3, 3, 3]


def test_every_stage_is_fed_what_the_one_before_makes() -> None:
    content = relu_model().SerializeToString()
    fed: list[dict[str, Any]] = []

    def open_watched(
        model: bytes | Path,
        options: EngineOptions,
        *,
        base_folder: Path | None = None,
        trace: bool = False,
    ) -> Session:
        session = open_session(model, options, base_folder=base_folder, trace=trace)
        bind = session.bind

        def bind_watched(feeds: Any) -> Callable[[], None]:  # noqa: ANN401 - as the port has it
            fed.append(dict(feeds))
            return bind(feeds)

        session.bind = bind_watched  # type: ignore[method-assign] # watched on its way in
        return session

    (name_in,) = [value.name for value in relu_model().graph.input]
    (name_out,) = [value.name for value in relu_model().graph.output]
    second = relu_model()
    second.graph.node[0].input[0] = name_out
    second.graph.input[0].name = name_out
    second.graph.node[0].output[0] = "z"
    second.graph.output[0].name = "z"
    chain = [
        RunnableStage(tier="device", content=content, is_timed=False),
        RunnableStage(tier="server", content=second.SerializeToString()),
    ]
    instruments = Instruments(rule=StopRule(most_runs=3), open_session=open_watched)
    feeds = {name_in: np.array([[-1.0, 2.0, -3.0, 4.0]], dtype=np.float32)}
    (times,) = time_chains([chain], feeds, EngineOptions(threads=1), instruments)
    assert list(times) == ["server"]
    assert times["server"].seconds > 0
    (taken,) = fed
    np.testing.assert_array_equal(taken[name_out], [[0.0, 2.0, 0.0, 4.0]])


def test_stage_times_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    timings = make_timings()
    write_timings(timings, tmp_path / "t.json")
    assert read_timings(tmp_path / "t.json") == timings
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.json"]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"schema": None}, "None"),
        ({"stages": 3}, "malformed"),
        ({"model": {}}, "sha256"),
        ({"sizes": {"x": ["wide"]}}, "malformed"),
    ],
)
def test_malformed_stage_times_are_refused(change: dict[str, object], wanted: str) -> None:
    with pytest.raises(ProfileError, match=wanted):
        StageTimings.from_json({**make_timings().to_json(), **change})


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_no_stage_takes_is_refused(seconds: float) -> None:
    with pytest.raises(ProfileError, match="finite and positive"):
        replace(make_timings().timings[0], seconds=seconds)
