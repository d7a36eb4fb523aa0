"""Run sessions of a model in turn, so that all see the same disturbances."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from onnxsplit.engines.port import EngineOptions, KernelEvent
from onnxsplit.errors import ModelError
from onnxsplit.profiling.attribution import split_runs
from onnxsplit.profiling.executed import ExecutedNode, read_executed
from onnxsplit.profiling.instruments import Instruments, Subject
from onnxsplit.profiling.sampling import BLOCK_RUNS

_WARM_UPS = 3
_WARM_UP_SHARE = 0.1
"""Runs before the measurement, and the share of the budget after which fewer have to do."""

_BLOCKS = 40
"""Blocks of both sessions that must fit into the budget; slower models take turns run by run."""

_MOST_EVENTS = 100_000
"""Kernels to record, as onnxruntime keeps about a kilobyte of each in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """What a plain and a traced session took, run in turn.

    Parameters
    ----------
    whole_seconds : tuple of float
        Wall times of the plain session.
    runs : tuple of sequences of KernelEvent
        The kernels of each run of the traced session that counts.
    first_run : sequence of KernelEvent
        Those of its very first run, whose memory is exact.
    executed : sequence of ExecutedNode or None
        The graph that the traced session ran, where the engine shows it.
    """

    whole_seconds: tuple[float, ...]
    runs: tuple[Sequence[KernelEvent], ...]
    first_run: Sequence[KernelEvent] = ()
    executed: Sequence[ExecutedNode] | None = None


def take_times(
    serialized: bytes,
    subject: Subject,
    options: tuple[EngineOptions, EngineOptions],
    instruments: Instruments,
    *,
    label: str = "profiling",
) -> Rounds:
    """Run a plain and a traced session in turn until the rule is met.

    They take turns in blocks of runs, each after a run that does not count: a session whose weights
    fit the caches finds them there in use, and must in the measurement. Models that are too slow
    for that take turns run by run.

    Parameters
    ----------
    serialized : bytes
    subject : Subject
    options : pair of EngineOptions
        Of the plain session, and of the traced one.
    instruments : Instruments
    label : str
        What the progress is called.

    Raises
    ------
    UsageError
        The provider is not available, or an input does not fit.
    ModelError
        The model can't be run, or no complete run could be recorded.
    """
    folder = subject.model.base_folder
    with (
        instruments.open_session(serialized, options[0], base_folder=folder) as plain,
        instruments.open_session(serialized, options[1], base_folder=folder, trace=True) as traced,
    ):
        turns = _Turns(
            run_plain=plain.bind(subject.feeds),
            run_traced=traced.bind(subject.feeds),
            instruments=instruments,
            label=label,
            most_traced=max(
                instruments.rule.least_runs, _MOST_EVENTS // len(subject.model.proto.graph.node)
            ),
        )
        turns.take()
        executed = traced.executed
        events = traced.end_profiling()
    by_run = split_runs(events)
    if not by_run and len(subject.graph):
        raise ModelError(
            "The model runs more kernels at a time than onnxruntime can record,"
            " so that its operators can't be timed; is there a loop of very many rounds?"
        )
    return Rounds(
        whole_seconds=tuple(turns.seconds),
        runs=tuple(by_run[run] for run in turns.counted if run in by_run),
        first_run=by_run.get(0, ()),
        executed=None if executed is None else read_executed(executed),
    )


@dataclass(slots=True, kw_only=True)
class _Turns:
    """Two bound sessions, and what was taken from them so far."""

    run_plain: Callable[[], None]
    run_traced: Callable[[], None]
    instruments: Instruments
    label: str
    most_traced: int
    seconds: list[float] = field(default_factory=list)
    counted: list[int] = field(default_factory=list)
    traced_runs: int = 0

    def take(self) -> None:
        """Warm up, then take turns until the rule is met."""
        clock, rule = self.instruments.clock, self.instruments.rule
        start = clock()
        in_blocks = self._warm_up() <= rule.budget_seconds / (2 * _BLOCKS * (BLOCK_RUNS + 1))
        while not rule.is_met(self.seconds, clock() - start):
            spent = min(1.0, (clock() - start) / rule.budget_seconds)
            self.instruments.progress.report(self.label, done=int(100 * spent), total=100)
            self._take_turn(in_blocks=in_blocks)
        self.instruments.progress.report(self.label, done=100, total=100)

    def _warm_up(self) -> float:
        """Run both sessions before anything counts, and return the time of the last plain run."""
        clock = self.instruments.clock
        start = clock()
        for _ in range(_WARM_UPS):
            self._trace()
            last = self._time()
            if clock() - start >= _WARM_UP_SHARE * self.instruments.rule.budget_seconds:
                break
        return last

    def _take_turn(self, *, in_blocks: bool) -> None:
        """Let each session run for a block, or once."""
        runs = BLOCK_RUNS if in_blocks else 1
        if len(self.counted) < self.most_traced:
            if in_blocks:
                self._trace()
            for _ in range(runs):
                self.counted.append(self.traced_runs)
                self._trace()
        if in_blocks:
            self._time()
        self.seconds.extend(self._time() for _ in range(runs))

    def _trace(self) -> None:
        """Run the traced session."""
        self.run_traced()
        self.traced_runs += 1

    def _time(self) -> float:
        """Run the plain session and return its seconds."""
        before = self.instruments.clock()
        self.run_plain()
        return self.instruments.clock() - before
