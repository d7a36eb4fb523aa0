"""What a cut at each value adds on both sides, in seconds."""

import math
from collections.abc import Iterable

from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import BoundaryCost
from onnxsplit.profiling.attribution import Attribution
from onnxsplit.profiling.executed import ExecutedNode
from onnxsplit.profiling.layouts import LayoutWork, find_boundary_work
from onnxsplit.profiling.overheads import LayoutRates

_DIGITS = 9


def needs_rates(executed: Iterable[ExecutedNode]) -> bool:
    """Tell whether any value of the executed graph is laid out in blocks."""
    return any(node.is_blocked for node in executed)


def price_boundaries(
    graph: OperatorGraph,
    executed: list[ExecutedNode],
    attribution: Attribution,
    rates: LayoutRates,
) -> dict[str, BoundaryCost]:
    """Return what a cut at each value adds, by `onnxsplit.profiling.layouts` and measured rates.

    Parameters
    ----------
    graph : OperatorGraph
    executed : list of ExecutedNode
    attribution : Attribution
    rates : LayoutRates
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


def _price(graph: OperatorGraph, work: Iterable[LayoutWork], rates: LayoutRates) -> float:
    """Add up layout work."""
    seconds = math.fsum(
        one.sign * rates.estimate(one.kind, size)
        for one in work
        if (size := graph.tensors[one.value].size_bytes) is not None
    )
    return round(max(0.0, seconds), _DIGITS)
