"""What a cut at each value adds on both sides, in seconds."""

import math
from collections.abc import Iterable, Mapping

from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import BoundaryCost
from onnxsplit.profiling.attribution import Attribution
from onnxsplit.profiling.executed import ExecutedNode
from onnxsplit.profiling.layouts import LayoutWork, find_boundary_work
from onnxsplit.profiling.overheads import WorkRates

_DIGITS = 9


def needs_rates(executed: Iterable[ExecutedNode]) -> bool:
    """Tell whether any value of the executed graph is laid out in blocks."""
    return any(node.is_blocked for node in executed)


def price_boundaries(
    graph: OperatorGraph,
    executed: list[ExecutedNode],
    attribution: Attribution,
    rates: WorkRates,
) -> dict[str, BoundaryCost]:
    """Return what a cut at each value adds, by `onnxsplit.profiling.layouts` and measured rates.

    Parameters
    ----------
    graph : OperatorGraph
    executed : list of ExecutedNode
    attribution : Attribution
    rates : WorkRates
        Seconds of layout work on this machine.

    Returns
    -------
    dict of str to BoundaryCost
        Costs are at least zero, even where a cut saves more than it adds.
    """
    boundaries = {}
    for value, work in find_boundary_work(graph, executed, attribution.fused).items():
        cost = BoundaryCost(
            send_seconds=_price(graph, work.send, rates),
            receive_seconds=_price(graph, work.receive, rates),
        )
        if cost.send_seconds or cost.receive_seconds:
            boundaries[value] = cost
    return boundaries


def price_copies(
    graph: OperatorGraph, boundaries: Mapping[str, BoundaryCost], rates: WorkRates
) -> dict[str, BoundaryCost]:
    """Add to what cuts cost the copies between the host and a device with a memory of its own.

    Model inputs and outputs that cross are copied as well; those that don't are not counted.
    """
    priced = dict(boundaries)
    for value, spec in graph.tensors.items():
        if spec.size_bytes is not None:
            cost = priced.get(value, BoundaryCost())
            to_host = rates.estimate("to_host", spec.size_bytes)
            to_device = rates.estimate("to_device", spec.size_bytes)
            priced[value] = BoundaryCost(
                send_seconds=round(cost.send_seconds + to_host, _DIGITS),
                receive_seconds=round(cost.receive_seconds + to_device, _DIGITS),
            )
    return priced


def _price(graph: OperatorGraph, work: Iterable[LayoutWork], rates: WorkRates) -> float:
    """Add up layout work."""
    seconds = math.fsum(
        one.sign * rates.estimate(one.kind, size)
        for one in work
        if (size := graph.tensors[one.value].size_bytes) is not None
    )
    return round(max(0.0, seconds), _DIGITS)
