"""Runs after pauses beside runs without, on a machine that falls asleep in pauses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions, Feeds, Session
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.profiling.idle import IdleTimes, measure_idle
from onnxsplit.profiling.instruments import Instruments, Subject
from onnxsplit.profiling.sampling import StopRule
from tests.engine_models import relu_model

GAP_SECONDS = 0.2
AWAKE_SECONDS, ASLEEP_SECONDS = 0.001, 0.007


@dataclass
class SleepyMachine:
    """Takes longer for the first run after a pause; keeps the pauses."""

    now: float = 0.0
    is_asleep: bool = False
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        self.is_asleep = True

    def open_session(
        self,
        model: bytes | Path,
        options: EngineOptions,
        *,
        base_folder: Path | None = None,
        trace: bool = False,
    ) -> Session:
        session = open_session(model, options, base_folder=base_folder, trace=trace)
        bind = session.bind

        def bind_slowly(feeds: Feeds) -> Callable[[], None]:
            call = bind(feeds)

            def run() -> None:
                call()
                self.now += ASLEEP_SECONDS if self.is_asleep else AWAKE_SECONDS
                self.is_asleep = False

            return run

        session.bind = bind_slowly  # type: ignore[method-assign] # a slower run of the same session
        return session

    def measure(self, budget_seconds: float) -> IdleTimes:
        model = load_model(relu_model())
        (name,) = [value.name for value in relu_model().graph.input]
        feeds = {name: np.ones((1, 4), dtype=np.float32)}
        return measure_idle(
            model.proto.SerializeToString(),
            Subject(model=model, graph=read_graph(model, {}), feeds=feeds),
            EngineOptions(threads=1),
            Instruments(
                rule=StopRule(budget_seconds=budget_seconds),
                clock=lambda: self.now,
                sleep=self.sleep,
                open_session=self.open_session,
            ),
            GAP_SECONDS,
        )


def test_runs_after_pauses_and_runs_back_to_back_are_told_apart() -> None:
    machine = SleepyMachine()
    idle = machine.measure(budget_seconds=10.0)
    assert idle.seconds == pytest.approx(ASLEEP_SECONDS)
    assert idle.back_to_back_seconds == pytest.approx(AWAKE_SECONDS)
    assert machine.pauses == [GAP_SECONDS] * idle.runs
    assert idle.to_json() == {
        "gap_seconds": GAP_SECONDS,
        "seconds": ASLEEP_SECONDS,
        "back_to_back_seconds": AWAKE_SECONDS,
        "runs": idle.runs,
    }


@pytest.mark.parametrize(("budget_seconds", "runs"), [(0.01, 3), (1.0, 5), (10.0, 15)])
def test_pauses_end_with_the_budget_but_three_are_always_made(
    budget_seconds: float, runs: int
) -> None:
    assert SleepyMachine().measure(budget_seconds).runs == runs
