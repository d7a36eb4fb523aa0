"""Measure a model on this machine, operator by operator and as a whole."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from onnxsplit.engines.executed import read_executed_graph
from onnxsplit.engines.ort import describe_environment, open_session
from onnxsplit.engines.port import EngineOptions, Feeds, KernelEvent, Session
from onnxsplit.errors import ModelError
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.loading import LoadedModel
from onnxsplit.profiles import Profile
from onnxsplit.profiling.assembly import METHOD, Measurement, assemble_profile
from onnxsplit.profiling.attribution import (
    ExecutedNode,
    NodeSignature,
    Owners,
    fits_graph,
    own_by_graph,
    own_by_name,
    read_executed,
    read_signatures,
    split_runs,
)
from onnxsplit.profiling.cache import ProfileCache, derive_key
from onnxsplit.profiling.sampling import StopRule
from onnxsplit.progress import Progress, SilentProgress

_METHOD_VERSION = f"{METHOD}/1"

_WARM_UPS = 3
_WARM_UP_SHARE = 0.1
"""Runs before the measurement, and the share of the budget after which fewer have to do."""

_MOST_EVENTS = 100_000
"""Kernels to record, as onnxruntime keeps about a kilobyte of each in memory."""


class OpenSession(Protocol):
    """What opens a session: `onnxsplit.engines.ort.open_session`, or a fake in its place."""

    def __call__(
        self,
        model: bytes | Path,
        options: EngineOptions,
        *,
        base_folder: Path | None = None,
        trace: bool = False,
    ) -> Session:
        """Load a model and make it ready to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be measured.

    Parameters
    ----------
    model : LoadedModel
        With unique node names.
    graph : OperatorGraph
        The graph of that model, with real sizes.
    feeds : mapping of str to value
        Inputs to run it on.
    """

    model: LoadedModel
    graph: OperatorGraph
    feeds: Feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What it is measured with.

    Parameters
    ----------
    rule : StopRule
        When to stop.
    clock : callable
        Returns seconds.
    progress : Progress
    open_session : callable
    """

    rule: StopRule = field(default_factory=StopRule)
    clock: Callable[[], float] = time.perf_counter
    progress: Progress = field(default_factory=SilentProgress)
    open_session: OpenSession = open_session


def profile_model(
    subject: Subject,
    options: EngineOptions,
    *,
    tier: str,
    cache: ProfileCache | None = None,
    instruments: Instruments | None = None,
) -> Profile:
    """Return the model's profile on this machine, from the cache if it was measured before.

    Parameters
    ----------
    subject : Subject
        Model, graph and inputs; a model without a hash of its own is not cached.
    options : EngineOptions
        Provider and threads.
    tier : str
        The tier that this machine stands for.
    cache : ProfileCache, optional
        Where earlier profiles are; without it, the model is measured anew.
    instruments : Instruments, optional

    Raises
    ------
    UsageError
        The provider is not available, or an input does not fit.
    ModelError
        The model can't be run.
    """
    sha256 = subject.graph.identity.sha256
    if cache is None or sha256 is None:
        return measure_profile(subject, options, tier=tier, instruments=instruments)
    key = derive_key(
        method=_METHOD_VERSION,
        model_sha256=sha256,
        feeds=subject.feeds,
        environment=describe_environment(options),
    )
    kept = cache.load(key)
    if kept is not None and _covers(kept, subject.graph):
        return replace(kept, tier=tier)
    profile = measure_profile(subject, options, tier=tier, instruments=instruments)
    cache.store(key, profile)
    return profile


def measure_profile(
    subject: Subject,
    options: EngineOptions,
    *,
    tier: str,
    instruments: Instruments | None = None,
) -> Profile:
    """Measure the model on this machine.

    Two sessions run in turn, so that both see the same disturbances: one records each kernel of
    the model as it stands in the file, and its own wall time is of no use; the other runs the
    model with all optimisations, and only its wall time counts.

    Parameters
    ----------
    subject, options, tier, instruments
        As for `profile_model`.

    Raises
    ------
    UsageError
        The provider is not available, or an input does not fit.
    ModelError
        The model can't be run.
    """
    proto, folder = subject.model.proto, subject.model.base_folder
    serialized = proto.SerializeToString()
    rounds = _take_times(serialized, subject, options, instruments or Instruments())
    runs = split_runs(rounds.events, warm_ups=rounds.warm_ups)
    if not runs and len(subject.graph):
        raise ModelError(
            "The model runs more kernels at a time than onnxruntime can record,"
            " so that its operators can't be timed; is there a loop of very many rounds?"
        )

    def look_up_executed() -> Sequence[ExecutedNode]:
        unfused = replace(options, optimization="disabled")
        return read_executed(read_executed_graph(serialized, unfused, base_folder=folder))

    return assemble_profile(
        subject.graph,
        Measurement(
            whole_seconds=rounds.whole_seconds,
            runs=tuple(runs),
            owners=tuple(_attribute(runs, read_signatures(proto.graph), look_up_executed)),
        ),
        options=options,
        tier=tier,
        environment=describe_environment(options),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rounds:
    """Wall times of the plain session, kernels of the traced one, and the runs before both."""

    whole_seconds: tuple[float, ...]
    events: tuple[KernelEvent, ...]
    warm_ups: int


def _take_times(
    serialized: bytes, subject: Subject, options: EngineOptions, instruments: Instruments
) -> _Rounds:
    """Run a plain and a traced session in turn until the rule is met."""
    folder = subject.model.base_folder
    fused = replace(options, optimization="all")
    unfused = replace(options, optimization="disabled")
    rule, clock, progress = instruments.rule, instruments.clock, instruments.progress
    most_traced = max(rule.least_runs, _MOST_EVENTS // len(subject.model.proto.graph.node))
    with (
        instruments.open_session(serialized, fused, base_folder=folder) as plain,
        instruments.open_session(serialized, unfused, base_folder=folder, trace=True) as traced,
    ):
        run_plain, run_traced = plain.bind(subject.feeds), traced.bind(subject.feeds)
        start = clock()
        warm_ups = _warm_up(run_plain, run_traced, instruments)
        seconds: list[float] = []
        while not rule.is_met(seconds, clock() - start):
            spent = min(1.0, (clock() - start) / rule.budget_seconds)
            progress.report("profiling", done=int(100 * spent), total=100)
            if len(seconds) < most_traced:
                run_traced()
            before = clock()
            run_plain()
            seconds.append(clock() - before)
        progress.report("profiling", done=100, total=100)
        events = traced.end_profiling()
    return _Rounds(whole_seconds=tuple(seconds), events=events, warm_ups=warm_ups)


def _warm_up(
    run_plain: Callable[[], None], run_traced: Callable[[], None], instruments: Instruments
) -> int:
    """Run both sessions before anything counts, and return how often."""
    start = instruments.clock()
    for warm_ups in range(1, _WARM_UPS + 1):
        run_traced()
        run_plain()
        spent = instruments.clock() - start
        if spent >= _WARM_UP_SHARE * instruments.rule.budget_seconds:
            return warm_ups
    return _WARM_UPS


def _attribute(
    runs: Sequence[Sequence[KernelEvent]],
    nodes: dict[str, NodeSignature],
    look_up_executed: Callable[[], Sequence[ExecutedNode]],
) -> list[Owners]:
    """Find the owner of every kernel; the executed graph is read only where names don't do."""
    by_name = [own_by_name(run, nodes) for run in runs]
    if not any(None in owners for owners in by_name):
        return list(by_name)
    try:
        executed = look_up_executed()
    except ModelError:  # A provider that compiles can't show its graph; names are all there is.
        return list(by_name)
    by_graph = own_by_graph(executed, nodes)
    return [
        by_graph if fits_graph(run, executed) else named
        for run, named in zip(runs, by_name, strict=True)
    ]


def _covers(profile: Profile, graph: OperatorGraph) -> bool:
    """Tell whether a profile lists exactly the operators of the graph."""
    listed = {name for group in profile.groups for name in group.operators}
    return listed == {operator.name for operator in graph}
