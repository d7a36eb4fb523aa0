"""What a given placement costs, straight from the definition of the objective.

This knows nothing of charges and cuts, so that it can contradict the solver.
"""

import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxsplit.objectives import Energy, InferenceLatency, Throughput, TrainingDelay
from onnxsplit.placement import Crossing, Placement
from onnxsplit.planning.costs.division import note_divided, share_groups
from onnxsplit.planning.costs.mixes import list_questions, mix_predictions
from onnxsplit.planning.costs.moving import price_moving
from onnxsplit.planning.costs.prices import price_energy
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.costs.training_pricing import price_epoch
from onnxsplit.planning.costs.travel import Travel, find_travel
from onnxsplit.planning.cuts.resources import find_period
from onnxsplit.prediction import CostPart, PartKind, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPlacement:
    """A placement with its cost and what travels.

    Parameters
    ----------
    placement : Placement
    prediction : Prediction
    value : float
        What the objective minimises, in its unit.
    crossings : tuple of Crossing
        Values that are read on another tier than they are made on, once for each link, in graph
        order.
    downloads : tuple of Crossing
        Model outputs that come back, in the model's order.
    notes : tuple of str
        Assumptions that only this placement makes.
    """

    placement: Placement
    prediction: Prediction
    value: float
    crossings: tuple[Crossing, ...]
    downloads: tuple[Crossing, ...]
    notes: tuple[str, ...] = ()

    @property
    def total_seconds(self) -> float:
        """Predicted seconds."""
        return self.prediction.total_seconds

    @property
    def compared_seconds(self) -> float:
        """Seconds that placements are compared by: latency, or the period where that counts."""
        return self.prediction.compared_seconds

    @property
    def rank(self) -> tuple[float, bool, int, int]:
        """Sort key: the objective, then not splitting, fewer crossings, fewer crossing bytes."""
        # Totals that differ by less than floats can tell count as equal.
        return (
            float(f"{self.value:.12g}"),
            self.placement.verdict == "split",
            len(self.crossings),
            sum(crossing.size_bytes for crossing in self.crossings),
        )


def price_placement(
    question: Question, placement: Placement, copies: AbstractSet[str] = frozenset()
) -> PricedPlacement:
    """Price a placement.

    Parameters
    ----------
    question : Question
    placement : Placement
        Of all the graph's operators.
    copies : set of str
        Operators of the first tier that the last one runs as well; for inference alone.

    Returns
    -------
    PricedPlacement
        For inference: compute on each tier that runs anything, what the cut adds there, transfers
        and round trips of each link that is used. For training: the parts of one epoch.

    Raises
    ------
    InfeasiblePlacementError
        A value would have to travel back, or can't travel at all.

    Notes
    -----
    Of a mix it gives the weighted sum; crossings and downloads are those of the first shape.
    """
    if question.variants:
        return _mix(price_variants(question, placement))
    travel = find_travel(question, placement, copies)
    match question.objective:
        case TrainingDelay():
            parts, notes = price_epoch(question, question.objective, placement, travel)
            value = math.fsum(part.seconds for part in parts)
            joules = None
            travel = Travel(crossings=travel.crossings)
        case InferenceLatency():
            parts, notes = _price_inference(question, placement, travel, copies)
            value = math.fsum(part.seconds for part in parts)
            joules = _add_energy(question, parts) if question.powers else None
        case Energy():
            parts, notes = _price_inference(question, placement, travel, copies)
            joules = _add_energy(question, parts)
            value = joules + question.objective.joules_per_second * math.fsum(
                part.seconds for part in parts
            )
        case Throughput():
            parts, notes = _price_inference(question, placement, travel, copies)
            value = find_period(parts)
            joules = _add_energy(question, parts) if question.powers else None
    return PricedPlacement(
        placement=placement,
        prediction=Prediction(
            total_seconds=math.fsum(part.seconds for part in parts),
            parts=tuple(parts),
            total_joules=joules,
            period_seconds=value if isinstance(question.objective, Throughput) else None,
        ),
        value=value,
        crossings=travel.crossings,
        downloads=travel.downloads,
        notes=notes,
    )


def price_variants(
    question: Question, placement: Placement
) -> tuple[tuple[float, PricedPlacement], ...]:
    """Price a placement at each shape of a mix.

    Parameters
    ----------
    question : Question
    placement : Placement

    Returns
    -------
    tuple of (float, PricedPlacement)
        Weight, and the price of one run.

    Raises
    ------
    InfeasiblePlacementError
        As for `price_placement`.
    """
    return tuple(
        (weight, price_placement(single, placement)) for weight, single in list_questions(question)
    )


def _mix(weighted: tuple[tuple[float, PricedPlacement], ...]) -> PricedPlacement:
    """Add up the prices of a mix."""
    _, first = weighted[0]
    prediction = mix_predictions([(weight, priced.prediction) for weight, priced in weighted])
    return replace(
        first,
        prediction=prediction,
        value=math.fsum(weight * priced.value for weight, priced in weighted),
        notes=tuple(dict.fromkeys(note for _, priced in weighted for note in priced.notes)),
    )


def _price_inference(
    question: Question, placement: Placement, travel: Travel, copies: AbstractSet[str]
) -> tuple[list[CostPart], tuple[str, ...]]:
    """List the parts of one inference."""
    parts, notes = _price_compute(question, placement, copies)
    parts += _price_boundaries(question, travel)
    parts += _price_links(question, placement, travel)
    parts += price_moving(question, placement)
    return parts, notes


def _price_compute(
    question: Question, placement: Placement, copies: AbstractSet[str]
) -> tuple[list[CostPart], tuple[str, ...]]:
    """Add up the seconds on each tier that runs anything, or passes data on."""
    parts: list[CostPart] = []
    divided: set[str] = set()
    tiers = placement.tiers
    for place, tier in enumerate(tiers):
        profile = question.profiles[tier]
        runs = bool(placement.operators(tier))
        passes = place > 0 and any(placement.operators(further) for further in tiers[place + 1 :])
        if not runs and not (passes and profile.run_seconds):
            continue
        shares, here = share_groups(profile, placement, tier)
        divided |= here
        again = copies if tier == tiers[-1] else frozenset()
        seconds = [group.seconds * share for group, share in shares]
        seconds += [
            group.seconds * sum(name in again for name in group.operators) / len(group.operators)
            for group in profile.groups
            if not again.isdisjoint(group.operators)
        ]
        parts.append(
            CostPart(
                kind="compute",
                where=tier,
                seconds=math.fsum([profile.run_seconds, *seconds]),
                evidence=profile.evidence,
            )
        )
    return parts, note_divided(divided)


def _price_boundaries(question: Question, travel: Travel) -> list[CostPart]:
    """Add up what sending and receiving the crossings adds on each tier."""
    added: dict[str, float] = {}
    for crossing in travel.crossings:
        sent, taken = question.find_boundary_seconds(
            crossing.tensor, crossing.source, crossing.target
        )
        added[crossing.source] = added.get(crossing.source, 0.0) + sent
        added[crossing.target] = added.get(crossing.target, 0.0) + taken
    return [
        CostPart(
            kind="boundary",
            where=tier,
            seconds=added[tier],
            evidence=question.profiles[tier].evidence,
        )
        for tier in question.topology.tiers
        if added.get(tier)
    ]


def _price_links(question: Question, placement: Placement, travel: Travel) -> list[CostPart]:
    """Price transfers and round trips, link by link."""
    parts = []
    for place, (near, far, link) in enumerate(question.topology.hops):
        ways: tuple[tuple[PartKind, list[Crossing], float], ...] = (
            ("upload", travel.leave(near, far), link.up_bytes_per_second),
            ("download", travel.leave(far, near), link.down_bytes_per_second),
        )
        for kind, crossings, rate in ways:
            if crossings:
                seconds = sum(crossing.size_bytes for crossing in crossings) / rate
                parts.append(
                    CostPart(
                        kind=kind,
                        where=f"{near}->{far}",
                        seconds=seconds,
                        evidence=link.evidence,
                    )
                )
        if _uses_link(question, placement, place):
            parts.append(
                CostPart(
                    kind="round_trip",
                    where=f"{near}->{far}",
                    seconds=link.round_trip_seconds,
                    evidence=link.evidence,
                )
            )
    return parts


def _uses_link(question: Question, placement: Placement, place: int) -> bool:
    """Tell whether a link's round trip is paid."""
    graph, places = question.graph, question.places
    tiers = placement.tiers
    if not places.inputs_at_last and not places.outputs_at_last:
        return any(placement.operators(tier) for tier in tiers[place + 1 :])
    if places.inputs_at_last >= set(graph.inputs) and places.outputs_at_last >= set(graph.outputs):
        return any(placement.operators(tier) for tier in tiers[: place + 1])
    return True


def _add_energy(question: Question, parts: list[CostPart]) -> float:
    """Add up the joules that the parts draw."""
    topology = question.topology
    prices = price_energy(Energy(powers=question.known_powers), topology)
    per_link: Mapping[str, Callable[[int], float]] = {
        "upload": prices.sending,
        "download": prices.receiving,
        "model_upload": prices.sending,
        "model_download": prices.receiving,
        "round_trip": prices.tripping,
    }
    tier_of = {tier: place for place, tier in enumerate(topology.tiers)}
    link_of = {f"{near}->{far}": place for place, (near, far, _) in enumerate(topology.hops)}
    joules = []
    for part in parts:
        price = per_link.get(part.kind, prices.computing)
        place = link_of[part.where] if part.kind in per_link else tier_of[part.where]
        joules.append(part.seconds * price(place))
    return math.fsum(joules)
