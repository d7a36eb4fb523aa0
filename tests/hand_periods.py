"""Periods of a pipeline worked out by hand, in fractions: an oracle that shares no code."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from onnxsplit.objectives import InferenceLatency
from onnxsplit.profiles import BoundaryCost
from tests.hand_prices import Asked, Tiers, exact, list_hops, price_by_hand

Spent = tuple[str, int, Fraction]
"""A kind of resource, its place in the chain, and seconds."""


def measure_period(asked: Asked, tier: Tiers) -> Fraction | None:
    """Return the seconds of the busiest tier or direction of a link; None if it is not allowed."""
    if price_by_hand(replace(asked, objective=InferenceLatency()), tier) is None:
        return None
    busy: Counter[tuple[str, int]] = Counter()
    for kind, place, seconds in (
        *_list_work(asked, tier),
        *_list_transfers(asked, tier),
        *_list_returns(asked, tier),
    ):
        busy[kind, place] += seconds  # type: ignore[assignment]  # fractions count as well
    return max(map(Fraction, busy.values()), default=Fraction(0))


def _list_work(asked: Asked, tier: Tiers) -> Iterator[Spent]:
    for place, name in enumerate(asked.names):
        profile = asked.profiles[name]
        for group in profile.groups:
            if tier[group.operators[0]] == place:
                yield "work", place, exact(group.seconds)
        if place in tier.values() if place == 0 else any(t >= place for t in tier.values()):
            yield "work", place, exact(profile.run_seconds)


def _list_transfers(asked: Asked, tier: Tiers) -> Iterator[Spent]:
    graph = asked.graph
    maker = {tensor: operator.name for operator in graph for tensor in operator.outputs}
    for tensor in (*graph.inputs, *maker):
        start = tier[maker[tensor]] if tensor in maker else 0
        for here, there in list_hops(asked, tier, tensor, start):
            wire = asked.wires.get(tensor)
            size = wire.size_bytes if wire else graph.tensors[tensor].size_bytes or 0
            link, way = asked.links[min(here, there)], "up" if here < there else "down"
            rate = link.up_bytes_per_second if way == "up" else link.down_bytes_per_second
            yield way, min(here, there), Fraction(size) / exact(rate)
            for place, end in ((here, "send_seconds"), (there, "receive_seconds")):
                cost = asked.profiles[asked.names[place]].boundaries.get(tensor, BoundaryCost())
                yield "work", place, exact(getattr(cost, end))
                if wire:
                    yield "work", place, exact(getattr(wire, end))


def _list_returns(asked: Asked, tier: Tiers) -> Iterator[Spent]:
    for operator in asked.graph:
        for tensor in operator.outputs:
            if tensor in asked.graph.outputs and tensor not in asked.places.outputs_at_last:
                size = Fraction(asked.graph.tensors[tensor].size_bytes or 0)
                for near in range(tier[operator.name]):
                    yield "down", near, size / exact(asked.links[near].down_bytes_per_second)
