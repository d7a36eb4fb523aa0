"""What a placement sends over which link, straight from who makes and who reads each value."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.placement import Crossing, Placement
from onnxsplit.planning.costs.question import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Travel:
    """The values that travel, once for each link that they cross.

    Parameters
    ----------
    crossings : tuple of Crossing
        Values that an operator reads, or that are wanted, on another tier; in graph order.
    downloads : tuple of Crossing
        Model outputs that come back to the first tier, in the model's order.
    """

    crossings: tuple[Crossing, ...]
    downloads: tuple[Crossing, ...] = ()

    def leave(self, source: str, target: str) -> list[Crossing]:
        """Return what travels from one tier to its neighbour."""
        return [
            crossing
            for crossing in (*self.crossings, *self.downloads)
            if (crossing.source, crossing.target) == (source, target)
        ]


def find_travel(
    question: Question, placement: Placement, copies: AbstractSet[str] = frozenset()
) -> Travel:
    """Find what travels.

    Parameters
    ----------
    question : Question
    placement : Placement
    copies : set of str
        Operators of the first tier that the last one runs as well.

    Returns
    -------
    Travel

    Raises
    ------
    InfeasiblePlacementError
        A value would have to travel back, can't travel at all, or a state would be divided.
    """
    _check_states(question, placement)
    graph, places = question.graph, question.places
    tiers = placement.tiers
    place_of = {tier: place for place, tier in enumerate(tiers)}
    last = len(tiers) - 1
    pasts = {state.past for state in places.states}
    presents = {state.present for state in places.states}
    crossings: list[Crossing] = []
    values = (*graph.inputs, *(tensor for operator in graph for tensor in operator.outputs))
    for tensor in values:
        if tensor in pasts:
            continue
        readers = [place_of[placement.tier_of[name]] for name in graph.consumers(tensor)]
        if tensor in places.inputs_at_last:
            crossings += _descend(question, tensor, last, min(readers, default=last))
            continue
        maker = graph.producer(tensor)
        start = 0 if maker is None else place_of[placement.tier_of[maker]]
        _check_way(question, placement, tensor, start)
        ends = [*readers, *([last] if tensor in places.outputs_at_last else [])]
        if maker in copies:  # The last tier makes it itself.
            ends = [end for end in ends if end != last]
        elif not copies.isdisjoint(graph.consumers(tensor)):
            ends.append(last)
        crossings += _ascend(question, tensor, start, max(ends, default=start))
    downloads: list[Crossing] = []
    plain = replace(question, wires={})  # a model's outputs come back as they are
    for tensor in graph.outputs:
        maker = graph.producer(tensor)
        if maker is not None and tensor not in places.outputs_at_last | presents:
            downloads += _descend(plain, tensor, place_of[placement.tier_of[maker]], 0)
    return Travel(crossings=tuple(crossings), downloads=tuple(downloads))


def _check_states(question: Question, placement: Placement) -> None:
    """Refuse a placement that parts the operators of a state."""
    graph = question.graph
    for state in question.places.states:
        writer = graph.producer(state.present)
        users = (*graph.consumers(state.past), *((writer,) if writer else ()))
        tiers = {placement.tier_of[name] for name in users}
        if len(tiers) > 1:
            raise InfeasiblePlacementError(
                f"The state {state.past!r} would be read and written on different tiers"
                f" ({', '.join(sorted(tiers))}); keep its operators together."
            )


def _check_way(question: Question, placement: Placement, tensor: str, start: int) -> None:
    """Refuse a value that would have to travel back."""
    tiers = placement.tiers
    for name in question.graph.consumers(tensor):
        here = placement.tier_of[name]
        if tiers.index(here) < start:
            maker = question.graph.producer(tensor)
            raise InfeasiblePlacementError(
                f"{name!r} is on the {here} and reads {tensor!r}, which {maker!r} makes on the"
                f" {tiers[start]}; intermediate results do not travel back."
            )


def _ascend(question: Question, tensor: str, start: int, end: int) -> list[Crossing]:
    """Return a value's crossings away from the first tier."""
    tiers = question.topology.tiers
    return [
        _describe(question, tensor, tiers[place], tiers[place + 1]) for place in range(start, end)
    ]


def _descend(question: Question, tensor: str, start: int, end: int) -> list[Crossing]:
    """Return a value's crossings towards the first tier."""
    tiers = question.topology.tiers
    return [
        _describe(question, tensor, tiers[place], tiers[place - 1])
        for place in range(start, end, -1)
    ]


def _describe(question: Question, tensor: str, source: str, target: str) -> Crossing:
    """Describe a value that travels."""
    spec = question.graph.tensors[tensor]
    size = question.measure_wire(tensor)
    if spec.travel_obstacle is not None or size is None or spec.dtype is None:
        raise InfeasiblePlacementError(
            f"The value {tensor!r} would have to travel from {source} to {target}, but"
            f" {spec.travel_obstacle}."
        )
    wire = question.wires.get(tensor)
    return Crossing(
        tensor=tensor,
        source=source,
        target=target,
        dtype=spec.dtype,
        shape=tuple(dim for dim in spec.shape or () if isinstance(dim, int)),
        size_bytes=size,
        wire=None if wire is None else wire.name,
    )
