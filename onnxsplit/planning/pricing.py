"""What a given placement costs, straight from the definition of the objective.

This knows nothing of cuts, so that it can contradict the solver.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.graph import OperatorGraph
from onnxsplit.placement import CostPart, Crossing, Placement, Prediction
from onnxsplit.profiles import Profile
from onnxsplit.tiers import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPlacement:
    """A placement with its cost and what travels.

    Parameters
    ----------
    placement : Placement
    prediction : Prediction
    crossings : tuple of Crossing
        Away from the device, in graph order.
    downloads : tuple of Crossing
        Model outputs that come back, in the model's order.
    notes : tuple of str
        Assumptions that only this placement makes.
    """

    placement: Placement
    prediction: Prediction
    crossings: tuple[Crossing, ...]
    downloads: tuple[Crossing, ...]
    notes: tuple[str, ...] = ()

    @property
    def total_seconds(self) -> float:
        """Predicted seconds."""
        return self.prediction.total_seconds

    @property
    def rank(self) -> tuple[float, bool, int, int]:
        """Sort key: seconds, then not splitting, fewer crossings, fewer crossing bytes."""
        # Totals that differ by less than floats can tell count as equal.
        return (
            float(f"{self.total_seconds:.12g}"),
            self.placement.verdict == "split",
            len(self.crossings),
            sum(crossing.size_bytes for crossing in self.crossings),
        )


def price_placement(
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    topology: Topology,
    placement: Placement,
) -> PricedPlacement:
    """Price the inference latency of a placement on a device and a server.

    Parameters
    ----------
    graph : OperatorGraph
    profiles : mapping of str to Profile
        Tier to profile, in this graph's names.
    topology : Topology
    placement : Placement

    Returns
    -------
    PricedPlacement
        Compute on each tier that runs anything; upload of all crossings, model inputs that the
        server reads among them; download of the model outputs that the server makes; one round
        trip if the server runs anything. Parts of the link are listed where they are used.

    Raises
    ------
    InfeasiblePlacementError
        A value would have to travel back, or can't travel at all.
    """
    (device, server, link), *_ = topology.hops
    uploads = _find_uploads(graph, placement, device)
    downloads = [
        _describe(graph, tensor, server, device)
        for tensor in graph.outputs
        if placement.tier_of.get(graph.producer(tensor) or "") == server
    ]
    crossings = [_describe(graph, tensor, device, server) for tensor in uploads]
    compute, notes = _price_compute(profiles, placement)
    name = f"{device}->{server}"
    parts = list(compute)
    if crossings:
        seconds = sum(crossing.size_bytes for crossing in crossings) / link.up_bytes_per_second
        parts.append(CostPart(kind="upload", where=name, seconds=seconds, evidence=link.evidence))
    if downloads:
        seconds = sum(crossing.size_bytes for crossing in downloads) / link.down_bytes_per_second
        parts.append(CostPart(kind="download", where=name, seconds=seconds, evidence=link.evidence))
    if placement.operators(server):
        parts.append(
            CostPart(
                kind="round_trip",
                where=name,
                seconds=link.round_trip_seconds,
                evidence=link.evidence,
            )
        )
    total = math.fsum(part.seconds for part in parts)
    return PricedPlacement(
        placement=placement,
        prediction=Prediction(total_seconds=total, parts=tuple(parts)),
        crossings=tuple(crossings),
        downloads=tuple(downloads),
        notes=notes,
    )


def _find_uploads(graph: OperatorGraph, placement: Placement, device: str) -> list[str]:
    """Return the values that the device has and the server reads, in graph order."""
    tier_of = placement.tier_of
    read_by_server: dict[str, None] = {}
    for operator in graph:
        here = tier_of[operator.name]
        for tensor in operator.inputs:
            maker = graph.producer(tensor)
            there = device if maker is None else tier_of[maker]
            if there == here:
                continue
            if here == device:
                raise InfeasiblePlacementError(
                    f"{operator.name!r} is on the {device} and reads {tensor!r}, which"
                    f" {maker!r} makes on the {there}; intermediate results do not travel back."
                )
            read_by_server[tensor] = None
    values = (*graph.inputs, *(tensor for operator in graph for tensor in operator.outputs))
    return [tensor for tensor in values if tensor in read_by_server]


def _describe(graph: OperatorGraph, tensor: str, source: str, target: str) -> Crossing:
    """Describe a value that travels."""
    spec = graph.tensors[tensor]
    if spec.travel_obstacle is not None or spec.size_bytes is None or spec.dtype is None:
        raise InfeasiblePlacementError(
            f"The value {tensor!r} would have to travel from {source} to {target}, but"
            f" {spec.travel_obstacle}."
        )
    return Crossing(
        tensor=tensor,
        source=source,
        target=target,
        dtype=spec.dtype,
        shape=tuple(dim for dim in spec.shape or () if isinstance(dim, int)),
        size_bytes=spec.size_bytes,
    )


def _price_compute(
    profiles: Mapping[str, Profile], placement: Placement
) -> tuple[list[CostPart], tuple[str, ...]]:
    """Add up the seconds on each tier that runs anything."""
    parts: list[CostPart] = []
    divided: set[str] = set()
    for tier in placement.tiers:
        if not placement.operators(tier):
            continue
        seconds: list[float] = []
        for group in profiles[tier].groups:
            here = sum(placement.tier_of[name] == tier for name in group.operators)
            if 0 < here < len(group.operators):
                divided.add(group.operators[0])
            seconds.append(group.seconds * here / len(group.operators))
        parts.append(
            CostPart(
                kind="compute",
                where=tier,
                seconds=math.fsum(seconds),
                evidence=profiles[tier].evidence,
            )
        )
    if not divided:
        return parts, ()
    example = min(divided)
    note = (
        f"This cut divides {len(divided)} groups of operators that a machine runs as one kernel"
        f" (that of {example!r} among them); their seconds were shared equally: an assumption."
    )
    return parts, (note,)
