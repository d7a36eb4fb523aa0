"""The closed loop of ``cut``: time the best candidates' stages, and take the fastest."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from onnxsplit.errors import ProfileMismatchError, UsageError
from onnxsplit.evidence import StageTiming, StageTimings
from onnxsplit.graph import TensorSpec
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.shapes import find_symbolic_specs
from onnxsplit.objectives import InferenceLatency
from onnxsplit.planned import Plan
from onnxsplit.planning.costs.data_homes import find_givers, list_resting, locate_data
from onnxsplit.planning.costs.pricing import PricedPlacement, price_placement
from onnxsplit.planning.cuts.candidates import find_candidates, identify
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.outlook.balance import review_balance
from onnxsplit.planning.outlook.correction import correct_candidates, explain_choice
from onnxsplit.planning.solvers import open_solver
from onnxsplit.profiling.cache import ProfileCache, derive_key
from onnxsplit.profiling.instruments import Instruments
from onnxsplit.profiling.sampling import StopRule
from onnxsplit.profiling.stage_timing import RunnableStage, time_chains
from onnxsplit.progress import Progress
from onnxsplit.workflows.inquiries import Inquiry
from onnxsplit.workflows.preparation import PreparedModel
from onnxsplit.workflows.runtimes import describe_engines

DEFAULT_CANDIDATES = 3
"""How many candidates are measured where nothing else was said and both tiers are here."""

_METHOD = "stages/1"

_BUDGET_SHARE = 0.5
"""Of the time that measuring a model may take, what its candidates may take on top."""

_MOST_LOADED_BYTES = 500_000_000
"""Weights up to which all candidates are loaded at once; else they are timed one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """What the closed loop may do.

    Parameters
    ----------
    count : int or None
        How many candidates; None for `DEFAULT_CANDIDATES` where there is something to go by.
    timings : tuple of StageTimings
        What devices and servers sent back.
    is_given : bool
        The plan's placement was asked for, so it is the one candidate.
    splits_only : bool
        Candidates must leave no tier empty.
    min_share : float
        As for `onnxsplit.planning.plans.make_plan`.

    Raises
    ------
    UsageError
        The count is negative.
    """

    count: int | None = None
    timings: tuple[StageTimings, ...] = ()
    is_given: bool = False
    splits_only: bool = True
    min_share: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a negative number of candidates."""
        if self.count is not None and self.count < 0:
            raise UsageError(f"--measure {self.count} is negative; give a number, or 0 for none.")


def close_loop(plan: Plan, inquiry: Inquiry, loop: LoopOptions, progress: Progress) -> Plan:
    """Time the best candidates' stages and plan for the fastest.

    Parameters
    ----------
    plan : Plan
        The best by prediction, or what was asked for.
    inquiry : Inquiry
        Tiers that are this machine are timed here.
    loop : LoopOptions
    progress : Progress

    Returns
    -------
    Plan
        With ``measured``; as it was given where there is nothing to go by.

    Raises
    ------
    UsageError
        Measuring was asked for, and neither tier is this machine or the objective is not latency.
    ProfileMismatchError
        Stage times are of another model or of other input sizes.
    ModelError
        A stage can't be run.
    """
    grounds, question, constraints = inquiry.grounds, inquiry.question, inquiry.constraints
    if question.variants:
        _refuse_mix(loop)
        return plan
    count = _settle_count(loop, inquiry)
    if count == 0:
        return plan
    for entry in loop.timings:
        _check_timings(entry, grounds.prepared)
    solver = open_solver(question, constraints)
    predicted = price_placement(question, plan.placement)
    candidates, notes = _find_candidates(solver, predicted, count, loop)
    given = [timing for entry in loop.timings for timing in entry.timings]
    here = _time_candidates(candidates, inquiry, progress) if grounds.speeds else []
    measured = correct_candidates(candidates, [*given, *here])
    notes.extend(_note_unused(given, candidates))
    chosen = next(candidate for candidate in measured if candidate.is_chosen)
    if chosen.placement != plan.placement:
        plan = make_plan_for(
            question, chosen.placement, constraints=constraints, detail=inquiry.detail
        )
        small = review_balance(solver, chosen.placement, loop.min_share).notes
        notes = [*small, explain_choice(measured), *notes]
    return replace(plan, measured=measured, notes=(*notes, *plan.notes))


def _find_candidates(
    solver: Solver, predicted: PricedPlacement, count: int, loop: LoopOptions
) -> tuple[tuple[PricedPlacement, ...], list[str]]:
    """Return the candidates, the one that is predicted best first, and what to say of them."""
    if loop.is_given:
        return (predicted,), []
    found = find_candidates(solver, count, splits_only=loop.splits_only)
    # Placements that tie share their crossings; the plan's own stands for them.
    others = [priced for priced in found.priced if identify(priced) != identify(predicted)]
    candidates = (predicted, *others)[:count]
    if not found.is_cut_short:
        return candidates, []
    note = (
        f"Looking for candidates ended after {found.solves} minimum cuts, with"
        f" {len(candidates)} of {count} found."
    )
    return candidates, [note]


def _refuse_mix(loop: LoopOptions) -> None:
    """Refuse to time stages for a mix: the times would be those of one shape."""
    if loop.count or loop.timings:
        flag = "--stage-times" if loop.timings else f"--measure {loop.count}"
        raise UsageError(f"{flag} is of one shape, and --mix is of several; drop one of the two.")


def _settle_count(loop: LoopOptions, inquiry: Inquiry) -> int:
    """Return how many candidates to look at."""
    grounds, objective = inquiry.grounds, inquiry.question.objective
    if not isinstance(objective, InferenceLatency):
        if loop.count or loop.timings:
            raise UsageError(
                f"The objective is {objective.name}, and only latency can be corrected by measured"
                " stages; drop --measure and --stage-times."
            )
        return 0
    if loop.count == 0 and loop.timings:
        raise UsageError("--measure 0 leaves no use for --stage-times; drop one of the two.")
    if loop.count is not None:
        if loop.count and not grounds.speeds and not loop.timings:
            raise UsageError(
                f"--measure {loop.count}: neither tier is this machine, so there is nothing to"
                " time here; give `local` for one of them, or --stage-times with what"
                " `onnxsplit profile --stages` wrote there."
            )
        return loop.count
    if loop.timings:
        return DEFAULT_CANDIDATES
    is_local = all(tier in grounds.speeds for tier in grounds.topology.tiers)
    return DEFAULT_CANDIDATES if is_local and not loop.is_given else 0


def _check_timings(entry: StageTimings, prepared: PreparedModel) -> None:
    """Refuse stage times of another model, or at other sizes."""
    ours, theirs = prepared.graph.identity, entry.model
    same = theirs.sha256 is not None and theirs.sha256 == ours.sha256
    if not same and (theirs.structure is None or theirs.structure != ours.structure):
        raise ProfileMismatchError(
            "The stage times were taken on stages of another model; cut this one, and run"
            " `onnxsplit profile --stages` on its bundle."
        )
    for name, shape in entry.sizes.items():
        known = prepared.tensors.get(name)
        if known is not None and known.shape is not None and known.shape != shape:
            raise ProfileMismatchError(
                f"The stage times were taken with {name} = {list(shape)}, not"
                f" {list(known.shape)}; time the stages again at that size."
            )


def _note_unused(
    given: Sequence[StageTiming], candidates: Sequence[PricedPlacement]
) -> Iterator[str]:
    """Name given stage times that fit no candidate."""
    crossings = {frozenset(c.tensor for c in priced.crossings) for priced in candidates}
    for timing in given:
        if frozenset(timing.crossings) not in crossings:
            yield (
                f"The {timing.tier}'s stage times for a cut at {', '.join(timing.crossings)} were"
                f" not used: it is none of the {len(candidates)} candidates; --measure N looks at"
                " more, --cut-at takes it."
            )


def _time_candidates(
    candidates: Sequence[PricedPlacement],
    inquiry: Inquiry,
    progress: Progress,
) -> list[StageTiming]:
    """Time the candidates' stages here, or take them from the cache."""
    grounds, measuring = inquiry.grounds, inquiry.request.measuring
    cache = ProfileCache.locate() if measuring.cache else None
    keys = [_derive_key(priced, inquiry) for priced in candidates]
    known: dict[str, tuple[StageTiming, ...]] = {}
    for key in keys:
        kept = cache.load_timings(key) if cache is not None and key else None
        if key and kept is not None:
            known[key] = kept.timings
    missing = [
        (key, priced)
        for key, priced in zip(keys, candidates, strict=True)
        if not key or key not in known
    ]
    fresh = _measure([priced for _, priced in missing], inquiry, progress)
    for (key, _), timings in zip(missing, fresh, strict=True):
        if cache is not None and key:
            cache.store_timings(
                key,
                StageTimings(
                    model=grounds.prepared.graph.identity,
                    timings=timings,
                    environment=describe_engines(grounds.engines),
                ),
            )
    return [
        _scale(timing, grounds.speeds[timing.tier])
        for timings in (*known.values(), *fresh)
        for timing in timings
        if timing.tier in grounds.speeds
    ]


def _scale(timing: StageTiming, speed: float) -> StageTiming:
    """Return the time on a tier that is taken to be ``speed`` times as fast as this machine."""
    if speed == 1:
        return timing
    return replace(timing, seconds=timing.seconds / speed, evidence="scaled")


def _derive_key(priced: PricedPlacement, inquiry: Inquiry) -> str | None:
    """Return the key of a candidate's stage times; None for a model without a hash."""
    prepared = inquiry.grounds.prepared
    homes = locate_data(inquiry.question, priced.placement)
    sha256 = prepared.graph.identity.sha256
    if sha256 is None:
        return None
    tiers = "\n".join(f"{name}\t{tier}" for name, tier in priced.placement.tier_of.items())
    tiers += json.dumps(homes.to_json()) if homes else ""  # they are ports of other stages
    return derive_key(
        method=f"{_METHOD}:{hashlib.sha256(tiers.encode()).hexdigest()}",
        model_sha256=sha256,
        feeds=prepared.batches[0],
        environment=describe_engines(inquiry.grounds.engines),
    )


def _measure(
    candidates: Sequence[PricedPlacement],
    inquiry: Inquiry,
    progress: Progress,
) -> list[tuple[StageTiming, ...]]:
    """Carve the candidates and time their stages."""
    prepared, measuring = inquiry.grounds.prepared, inquiry.request.measuring
    engine = measuring.engine
    names = dict.fromkeys(c.tensor for priced in candidates for c in priced.crossings)
    boundary = find_symbolic_specs(prepared.model, prepared.tensors, names, engine)
    weight_bytes = sum(prepared.graph.weight_bytes.values())
    together = weight_bytes * len(candidates) <= _MOST_LOADED_BYTES
    rounds = [candidates] if together else [[priced] for priced in candidates]
    timings: list[tuple[StageTiming, ...]] = []
    for group in rounds:
        if not group:
            continue
        instruments = Instruments(
            rule=StopRule(budget_seconds=_BUDGET_SHARE * measuring.budget_seconds / len(rounds)),
            progress=progress,
        )
        chains = [_carve(priced, inquiry, boundary) for priced in group]
        times = time_chains(chains, prepared.batches[0], engine, instruments)
        for priced, entry in zip(group, times, strict=True):
            timings.append(
                tuple(
                    StageTiming(
                        tier=tier,
                        crossings=tuple(crossing.tensor for crossing in priced.crossings),
                        operators=len(priced.placement.operators(tier)),
                        seconds=run.seconds,
                        runs=run.runs,
                        interval_relative=run.interval_relative,
                    )
                    for tier, run in entry.items()
                )
            )
    return timings


def _carve(
    priced: PricedPlacement, inquiry: Inquiry, boundary: Mapping[str, TensorSpec]
) -> list[RunnableStage]:
    """Carve one candidate in memory."""
    prepared = inquiry.grounds.prepared
    homes = locate_data(inquiry.question, priced.placement)
    carving = carve_stages(
        prepared.model,
        prepared.graph,
        priced.placement,
        boundary,
        resting=list_resting(homes),
        gives=find_givers(homes, priced.placement),
    )
    return [
        RunnableStage(
            tier=stage.tier,
            content=stage.proto.SerializeToString(),
            base_folder=stage.base_folder,
            engine=inquiry.grounds.engines[stage.tier],
        )
        for stage in carving.stages
    ]
