"""What a model takes when requests come apart, and the machine idles in between."""

from dataclasses import dataclass

import numpy as np

from onnxsplit.engines.port import EngineOptions
from onnxsplit.profiling.instruments import Instruments, Subject

_RUNS = 15
_FEWEST_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTimes:
    """Runs after a pause, beside runs without.

    Parameters
    ----------
    gap_seconds : float
        The pause before each run.
    seconds : float
        Median of the runs after it.
    back_to_back_seconds : float
        Median of as many runs without a pause, of the same session, in turn with the others.
    runs : int
    """

    gap_seconds: float
    seconds: float
    back_to_back_seconds: float
    runs: int

    def to_json(self) -> dict[str, float | int]:
        """Return the times as the profile holds them."""
        return {
            "gap_seconds": self.gap_seconds,
            "seconds": round(self.seconds, 9),
            "back_to_back_seconds": round(self.back_to_back_seconds, 9),
            "runs": self.runs,
        }


def measure_idle(
    serialized: bytes,
    subject: Subject,
    options: EngineOptions,
    instruments: Instruments,
    gap_seconds: float,
) -> IdleTimes:
    """Time runs after pauses of ``gap_seconds``, for at most the measuring budget.

    The typical run counts here, not a fast one: caches, clock rates and power states that are lost
    while idling are what is looked for.

    Raises
    ------
    UsageError, ModelError
        The model can't be run on these inputs.
    """
    clock = instruments.clock
    folder = subject.model.base_folder
    with instruments.open_session(serialized, options, base_folder=folder) as session:
        run = session.bind(subject.feeds)

        def time_run() -> float:
            before = clock()
            run()
            return clock() - before

        time_run()
        idle: list[float] = []
        busy: list[float] = []
        start = clock()
        while len(idle) < _RUNS:
            if len(idle) >= _FEWEST_RUNS and clock() - start > instruments.rule.budget_seconds:
                break
            instruments.progress.report("measuring with pauses", done=len(idle), total=_RUNS)
            instruments.sleep(gap_seconds)
            idle.append(time_run())
            time_run()  # whatever the pause put to sleep is awake for the next one
            busy.append(time_run())
    return IdleTimes(
        gap_seconds=gap_seconds,
        seconds=float(np.median(idle)),
        back_to_back_seconds=float(np.median(busy)),
        runs=len(idle),
    )
