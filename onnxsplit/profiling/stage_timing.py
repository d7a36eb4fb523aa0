"""Time stages on this machine, in turns, as plain sessions run them."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from onnxsplit.engines.port import EngineOptions, Feeds, Value
from onnxsplit.profiling.instruments import Instruments
from onnxsplit.profiling.sampling import BLOCK_RUNS, low_quantile, relative_interval

_DIGITS = 9
"""Seconds are kept to the nanosecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableStage:
    """A stage that can be loaded.

    Parameters
    ----------
    tier : str
    content : bytes or Path
        Serialized, or a file.
    base_folder : Path or None
        Where a serialized stage's external data lies.
    is_timed : bool
        Else it is run once, for what it hands on.
    engine : EngineOptions or None
        What runs it, where that is not what runs the others.
    """

    tier: str
    content: bytes | Path
    base_folder: Path | None = None
    is_timed: bool = True
    engine: EngineOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimes:
    """The time that counts for a stage, and how sure it is.

    Parameters
    ----------
    seconds : float
        The 20th percentile of its runs.
    runs : int
    interval_relative : float or None
        As for `onnxsplit.profiling.sampling.relative_interval`.
    """

    seconds: float
    runs: int
    interval_relative: float | None


def time_chains(
    chains: Sequence[Sequence[RunnableStage]],
    feeds: Feeds,
    options: EngineOptions,
    instruments: Instruments,
) -> list[dict[str, RunTimes]]:
    """Time every stage of some splits of one model.

    Parameters
    ----------
    chains : sequence of sequences of RunnableStage
        Each split's stages, in the order in which they run.
    feeds : mapping of str to value
        Model inputs, and whatever no stage of a split makes; what a stage hands on is what it
        really makes.
    options : EngineOptions
    instruments : Instruments
        Its budget is for all of them together.

    Returns
    -------
    list of dict of str to RunTimes
        For each split its tiers.

    Raises
    ------
    ModelError
        A stage can't be loaded or run.

    Notes
    -----
    All stages are loaded at once and take turns, so that all see the same disturbances.
    """
    calls: list[Callable[[], None]] = []
    with ExitStack() as stack:
        for chain in chains:
            pool: dict[str, Value] = dict(feeds)
            for stage in chain:
                session = stack.enter_context(
                    instruments.open_session(
                        stage.content, stage.engine or options, base_folder=stage.base_folder
                    )
                )
                taken = {spec.name: pool[spec.name] for spec in session.inputs}
                pool.update(session.run(taken))
                if stage.is_timed:
                    calls.append(session.bind(taken))
        times = iter(take_turns(calls, instruments))
    return [{stage.tier: next(times) for stage in chain if stage.is_timed} for chain in chains]


def take_turns(calls: Sequence[Callable[[], None]], instruments: Instruments) -> list[RunTimes]:
    """Time calls in turns until the stopping rule is met for each of them.

    Parameters
    ----------
    calls : sequence of callable
    instruments : Instruments

    Returns
    -------
    list of RunTimes

    Notes
    -----
    A turn is a few runs in a row: the first of them pays for what the others threw out of the
    processor's caches, which a machine that runs one stage alone would not do.
    """
    rule, clock, progress = instruments.rule, instruments.clock, instruments.progress
    times: list[list[float]] = [[] for _ in calls]
    start = clock()
    while not all(rule.is_met(seconds, clock() - start) for seconds in times):
        spent = min(1.0, (clock() - start) / rule.budget_seconds)
        progress.report("timing stages", done=int(100 * spent), total=100)
        for call, seconds in zip(calls, times, strict=True):
            for _ in range(BLOCK_RUNS):
                before = clock()
                call()
                seconds.append(clock() - before)
    progress.report("timing stages", done=100, total=100)
    return [
        RunTimes(
            seconds=round(low_quantile(seconds), _DIGITS),
            runs=len(seconds),
            interval_relative=_round(relative_interval(seconds)),
        )
        for seconds in times
    ]


def _round(interval: float | None) -> float | None:
    """Round an interval for files."""
    return None if interval is None else round(interval, 6)
