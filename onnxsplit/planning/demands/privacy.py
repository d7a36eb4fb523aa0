"""Which values must not leave the device, because of what they would tell."""

from collections.abc import Sequence

from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.question import DataPlaces


def measure_depths(graph: OperatorGraph, places: DataPlaces) -> dict[str, int]:
    """Return how many operators lie behind each value, on the longest way from a model input.

    Parameters
    ----------
    graph : OperatorGraph
    places : DataPlaces
        Inputs that live elsewhere, and states, are no beginning: nothing private comes from there.

    Returns
    -------
    dict of str to int
        0 for the inputs of the first tier; values that depend on none of them are left out.
    """
    elsewhere = places.inputs_at_last | {state.past for state in places.states}
    depths = {name: 0 for name in graph.inputs if name not in elsewhere}
    for operator in graph:
        before = [depths[name] for name in operator.inputs if name in depths]
        if before:
            depths.update(dict.fromkeys(operator.outputs, max(before) + 1))
    return depths


def find_shallow(graph: OperatorGraph, places: DataPlaces, least_depth: int) -> frozenset[str]:
    """Return the values with fewer operators behind them than wanted.

    Parameters
    ----------
    graph : OperatorGraph
    places : DataPlaces
    least_depth : int

    Notes
    -----
    Where none of them crosses, the first levels of operators stay on the first tier: an operator
    of level ``k`` reads a value of depth ``k - 1``, and so on up to an input that lives there.
    """
    return frozenset(
        name for name, depth in measure_depths(graph, places).items() if depth < least_depth
    )


def find_sources(
    graph: OperatorGraph, places: DataPlaces, tensors: Sequence[str]
) -> frozenset[str]:
    """Return values and all that they are made from, as far as the first tier's inputs go in.

    Parameters
    ----------
    graph : OperatorGraph
    places : DataPlaces
    tensors : sequence of str
    """
    depths = measure_depths(graph, places)
    found = set(tensors)
    pending = list(tensors)
    while pending:
        maker = graph.producer(pending.pop())
        if maker is not None:
            fresh = [
                name
                for name in graph.operator(maker).inputs
                if name in depths and name not in found
            ]
            found.update(fresh)
            pending.extend(fresh)
    return frozenset(found)
