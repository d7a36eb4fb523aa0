"""Feed what stages really took back into the candidates' predicted times."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnxsplit.evidence import StageTiming
from onnxsplit.measured import MeasuredCandidate, MeasuredStage
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.prediction import WORK_KINDS, CostPart
from onnxsplit.units import format_duration

_Key = tuple[str, frozenset[str], int]


def correct_candidates(
    candidates: Sequence[PricedPlacement], timings: Sequence[StageTiming]
) -> tuple[MeasuredCandidate, ...]:
    """Replace predicted stage times by measured ones, and choose the fastest candidate.

    Parameters
    ----------
    candidates : sequence of PricedPlacement
        Best first.
    timings : sequence of StageTiming
        Of a stage that comes twice the last one counts.

    Returns
    -------
    tuple of MeasuredCandidate
        In the given order, one of them chosen: the fastest, or the first from which that can't
        be told, because the difference lies within both intervals together. A stage that was not
        timed takes its predicted time times the ratio of measured to predicted time over all
        stages of its tier that were.
    """
    known = {_key(timing): timing for timing in timings}
    found = [
        {part.where: known.get(_identify(priced, part.where)) for part in _list_work(priced)}
        for priced in candidates
    ]
    ratios = _find_ratios(candidates, found)
    corrected = [
        _correct(priced, stages, ratios) for priced, stages in zip(candidates, found, strict=True)
    ]
    chosen = _choose(corrected)
    return tuple(replace(candidate, is_chosen=candidate is chosen) for candidate in corrected)


def explain_choice(measured: Sequence[MeasuredCandidate]) -> str:
    """Say which candidate was taken and why, where it is not the one that was predicted best.

    Parameters
    ----------
    measured : sequence of MeasuredCandidate
        Best by prediction first; one of them chosen.
    """
    first = measured[0]
    chosen = next(candidate for candidate in measured if candidate.is_chosen)
    if chosen is first:
        return ""
    gain = first.corrected_seconds - chosen.corrected_seconds
    sure = "when measured" if chosen.measured_seconds is not None else "as far as it was measured"
    return (
        f"This cut is predicted to take {format_duration(chosen.predicted_seconds)}, not the least"
        f" of {len(measured)} candidates ({format_duration(first.predicted_seconds)}), but"
        f" {sure} it is faster by {format_duration(gain)}; --measure 0 takes the predicted best."
    )


def _choose(corrected: Sequence[MeasuredCandidate]) -> MeasuredCandidate | None:
    """Return the fastest candidate, or the first that is as fast as far as can be told."""
    if not corrected:
        return None
    fastest = min(corrected, key=lambda candidate: candidate.corrected_seconds)
    return next(
        candidate
        for candidate in corrected
        if candidate.corrected_seconds - fastest.corrected_seconds
        <= math.hypot(candidate.uncertainty_seconds, fastest.uncertainty_seconds)
    )


def _list_work(priced: PricedPlacement) -> list[CostPart]:
    """Return what each tier computes, with what the cut adds there: that is what a stage takes."""
    added = {
        part.where: part.seconds for part in priced.prediction.parts if part.kind == "boundary"
    }
    return [
        replace(part, seconds=part.seconds + added.get(part.where, 0.0))
        for part in priced.prediction.parts
        if part.kind == "compute"
    ]


def _identify(priced: PricedPlacement, tier: str) -> _Key:
    """Return what tells a stage from others of the same model."""
    crossings = frozenset(crossing.tensor for crossing in priced.crossings)
    return tier, crossings, len(priced.placement.operators(tier))


def _key(timing: StageTiming) -> _Key:
    """Return the same of a timing."""
    return timing.tier, frozenset(timing.crossings), timing.operators


def _find_ratios(
    candidates: Sequence[PricedPlacement], found: Sequence[Mapping[str, StageTiming | None]]
) -> dict[str, float]:
    """Return measured over predicted seconds of each tier's stages that were timed."""
    measured: dict[str, list[float]] = {}
    predicted: dict[str, list[float]] = {}
    for priced, stages in zip(candidates, found, strict=True):
        for part in _list_work(priced):
            timing = stages[part.where]
            if timing is not None:
                measured.setdefault(part.where, []).append(timing.seconds)
                predicted.setdefault(part.where, []).append(part.seconds)
    return {
        tier: math.fsum(measured[tier]) / math.fsum(predicted[tier])
        for tier in measured
        if math.fsum(predicted[tier])
    }


def _correct(
    priced: PricedPlacement,
    timings: Mapping[str, StageTiming | None],
    ratios: Mapping[str, float],
) -> MeasuredCandidate:
    """Correct one candidate."""
    stages = tuple(
        _correct_stage(part, timings[part.where], ratios.get(part.where))
        for part in _list_work(priced)
    )
    rest = [part.seconds for part in priced.prediction.parts if part.kind not in WORK_KINDS]
    return MeasuredCandidate(
        placement=priced.placement,
        crossings=priced.crossings,
        predicted_seconds=priced.total_seconds,
        corrected_seconds=math.fsum([*rest, *(stage.corrected_seconds for stage in stages)]),
        stages=stages,
        uncertainty_seconds=math.hypot(
            *(
                timing.seconds * (timing.interval_relative or 0.0)
                for timing in timings.values()
                if timing is not None
            )
        ),
    )


def _correct_stage(
    part: CostPart, timing: StageTiming | None, ratio: float | None
) -> MeasuredStage:
    """Correct one stage."""
    if timing is not None:
        return MeasuredStage(
            tier=part.where,
            predicted_seconds=part.seconds,
            measured_seconds=timing.seconds,
            corrected_seconds=timing.seconds,
            evidence=timing.evidence,
        )
    return MeasuredStage(
        tier=part.where,
        predicted_seconds=part.seconds,
        measured_seconds=None,
        corrected_seconds=part.seconds * (1.0 if ratio is None else ratio),
        evidence=part.evidence if ratio is None or part.evidence == "assumed" else "scaled",
    )
