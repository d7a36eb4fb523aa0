"""Measure a model on this machine: its kernels as they run, and the whole."""

from dataclasses import dataclass, replace
from typing import Any

from onnxsplit.engines.device import find_device, waits_for_launches
from onnxsplit.engines.opening import describe_environment
from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions
from onnxsplit.errors import ModelError, OnnxSplitError
from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import BoundaryCost, Profile
from onnxsplit.profiling.assembly import Measurement, assemble_profile
from onnxsplit.profiling.attribution import Attribution, attribute
from onnxsplit.profiling.boundaries import needs_rates, price_boundaries, price_copies
from onnxsplit.profiling.cache import ProfileCache, derive_key
from onnxsplit.profiling.idle import measure_idle
from onnxsplit.profiling.instruments import Instruments, Subject
from onnxsplit.profiling.overheads import (
    measure_copies,
    measure_layout_rates,
    measure_run,
    measure_tracing,
)
from onnxsplit.profiling.rounds import Rounds, take_times
from onnxsplit.profiling.sampling import low_quantile

_VERSION = 2
"""Of the way in which profiles are measured; earlier ones in the cache no longer serve."""

_ROUNDS_SHARE = 0.9
"""Share of the budget for running the model; the rest is for loading it, and for what is timed
besides."""

_UNCERTAIN_SECONDS = 2e-6
"""What tracing may add to a kernel, or take from it: its time is in whole microseconds."""

_FEW_SHARE = 0.9
"""Share of the time that must find its operators by name alone."""

_UNFUSED = (
    "Operators were timed unfused and scaled so that they add up to the whole model's time at full"
    " optimisation, because {provider} does not show the graph that it runs."
)
_BORROWED = (
    "{provider} runs the model in parts that can't be timed by operator; its time was shared among"
    f" them as on {CPU_PROVIDER}."
)
_WAITED = (
    "CUDA kernels were waited for one by one, so that they could be timed; without that, runs may"
    " take less time."
)
_LAUNCHED = (
    "CUDA kernels were not waited for (CUDA_LAUNCH_BLOCKING is not 1), so that the time of one may"
    " count with another; run `onnxsplit profile` for a profile of its own."
)


def profile_model(
    subject: Subject,
    options: EngineOptions,
    *,
    tier: str,
    cache: ProfileCache | None = None,
    instruments: Instruments | None = None,
    idle_gap_seconds: float | None = None,
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
    idle_gap_seconds : float, optional
        Also time runs after such pauses.

    Raises
    ------
    UsageError
        The provider is not available, or an input does not fit.
    ModelError
        The model can't be run.
    """
    sha256 = subject.graph.identity.sha256
    instruments = instruments or Instruments()

    def measure() -> Profile:
        profile = measure_profile(subject, options, tier=tier, instruments=instruments)
        if idle_gap_seconds is None:
            return profile
        serialized = subject.model.proto.SerializeToString()
        idle = measure_idle(serialized, subject, options, instruments, idle_gap_seconds)
        return replace(profile, extra={**profile.extra, "idle": idle.to_json()})

    if cache is None or sha256 is None:
        return measure()
    key = derive_key(
        method=f"{_VERSION}/{idle_gap_seconds}",
        model_sha256=sha256,
        feeds=subject.feeds,
        environment=describe_environment(options),
    )
    kept = cache.load(key)
    if kept is not None and _covers(kept, subject.graph):
        return replace(kept, tier=tier)
    profile = measure()
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

    Two sessions run in turn, both with the optimisations that will run later: one records each
    kernel, and its own wall time is of no use; of the other only the wall time counts.

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
    bench = _Bench(
        subject=subject,
        serialized=subject.model.proto.SerializeToString(),
        options=replace(options, optimization="all"),
        instruments=instruments or Instruments(),
    )
    measured = bench.measure()
    return assemble_profile(
        subject.graph,
        measured,
        options=options,
        tier=tier,
        environment=describe_environment(options),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """A model on the bench: what is measured, how, and with what."""

    subject: Subject
    serialized: bytes
    options: EngineOptions
    instruments: Instruments

    def measure(self) -> Measurement:
        """Measure by the best method that the provider allows."""
        graph = self.subject.graph
        run_seconds, overhead = self._measure_overheads()
        rounds, extra = self._take_until_agreed(run_seconds, overhead)
        attribution, traced_back = attribute(graph, rounds.runs, rounds.executed, overhead)
        method, assumptions = "fused", list(self._assume_launches())
        boundaries: dict[str, BoundaryCost] = {}
        if traced_back:
            boundaries = self._price_layouts(rounds, attribution, run_seconds)
        elif attribution.known_share < _FEW_SHARE:
            method, rounds, attribution = self._trace_otherwise(rounds, overhead)
            sentence = _UNFUSED if method == "unfused-scaled" else _BORROWED
            assumptions.append(sentence.format(provider=self.options.provider))
        return Measurement(
            method=method,
            whole_seconds=rounds.whole_seconds,
            attribution=attribution,
            first_run=rounds.first_run if traced_back else (),
            run_seconds=run_seconds,
            boundaries=self._price_copies(boundaries),
            evidence="scaled" if method == "borrowed" else "measured",
            assumptions=tuple(assumptions),
            extra={**extra, "tracing_seconds": round(overhead, 9)},
        )

    def _take_until_agreed(
        self, run_seconds: float, overhead: float
    ) -> tuple[Rounds, dict[str, Any]]:
        """Measure once more, in what is left of the budget, if whole and sum disagree."""
        clock, rule = self.instruments.clock, self.instruments.rule
        rule = replace(rule, budget_seconds=_ROUNDS_SHARE * rule.budget_seconds)
        start = clock()
        rounds = self._take(self.options, replace(self.instruments, rule=rule))
        disagreement, measurements = _disagree(rounds, run_seconds, overhead), 1
        left = rule.budget_seconds - (clock() - start)
        if disagreement > rule.agreement and left > 0:
            again = replace(self.instruments, rule=replace(rule, budget_seconds=left))
            other = self._take(self.options, again, "profiling again")
            measurements += 1
            if (less := _disagree(other, run_seconds, overhead)) < disagreement:
                rounds, disagreement = other, less
        return rounds, {"measurements": measurements, "disagreement": round(disagreement, 6)}

    def _trace_otherwise(self, rounds: Rounds, overhead: float) -> tuple[str, Rounds, Attribution]:
        """Time operators without fusion, or else on the CPU; the whole stays what it was."""
        unfused = replace(self.options, optimization="disabled")
        cpu = replace(self.options, provider=CPU_PROVIDER, provider_options={})
        graph = self.subject.graph
        for method, options in (("unfused-scaled", unfused), ("borrowed", cpu)):
            try:
                traced = self._take(options, label="profiling otherwise")
            except ModelError:
                continue
            attribution, _ = attribute(graph, traced.runs, traced.executed, overhead)
            if method == "borrowed" or attribution.known_share >= _FEW_SHARE:
                break
        return method, replace(traced, whole_seconds=rounds.whole_seconds), attribution

    def _take(
        self,
        traced: EngineOptions,
        instruments: Instruments | None = None,
        label: str = "profiling",
    ) -> Rounds:
        """Run the model as it will run, and traced with other options, in turn."""
        return take_times(
            self.serialized,
            self.subject,
            (self.options, traced),
            instruments or self.instruments,
            label=label,
        )

    def _measure_overheads(self) -> tuple[float, float]:
        """Return what any run costs, and what tracing adds to a kernel.

        Nothing where the provider can't run next to nothing.
        """
        try:
            run_seconds = measure_run(self.options, self.instruments)
            return run_seconds, measure_tracing(self.options, self.instruments, run_seconds)
        except OnnxSplitError:
            return 0.0, 0.0

    def _price_layouts(
        self, rounds: Rounds, attribution: Attribution, run_seconds: float
    ) -> dict[str, BoundaryCost]:
        """Return what a cut at each value adds, where layouts are blocked."""
        executed = list(rounds.executed or ())
        if not needs_rates(executed):
            return {}
        rates = measure_layout_rates(self.options, self.instruments, run_seconds)
        if rates is None:
            return {}
        return price_boundaries(self.subject.graph, executed, attribution, rates)

    def _price_copies(self, boundaries: dict[str, BoundaryCost]) -> dict[str, BoundaryCost]:
        """Add copies between host and device where the provider has a memory of its own."""
        device = find_device(self.options)
        rates = None if device is None else measure_copies(device, self.instruments)
        return boundaries if rates is None else price_copies(self.subject.graph, boundaries, rates)

    def _assume_launches(self) -> tuple[str, ...]:
        """Say what timing kernels does to the provider, or what it lacks."""
        if find_device(self.options) is None:
            return ()
        return (_WAITED,) if waits_for_launches(self.options) else (_LAUNCHED,)


def _disagree(rounds: Rounds, run_seconds: float, overhead: float) -> float:
    """Return how far the kernels' sum is from the whole, but for what tracing may do to it."""
    if not rounds.runs:
        return 0.0
    count = len(rounds.runs[0])
    kernels = low_quantile([sum(kernel.seconds for kernel in run) for run in rounds.runs])
    whole = low_quantile(rounds.whole_seconds)
    gap = abs(whole - run_seconds - kernels + count * overhead) - count * _UNCERTAIN_SECONDS
    return max(0.0, gap) / whole


def _covers(profile: Profile, graph: OperatorGraph) -> bool:
    """Tell whether a profile lists exactly the operators of the graph."""
    listed = {name for group in profile.groups for name in group.operators}
    return listed == {operator.name for operator in graph}
