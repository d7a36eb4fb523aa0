"""Places of a prepared model's nodes, from those of the operators that it was made of."""

from collections.abc import Collection, Mapping

import onnx

from onnxsplit.autodiff.halves.parts import DEVICE
from onnxsplit.model.index import ModelIndex, index_model


def place_nodes(
    proto: onnx.ModelProto, makers: Mapping[str, int], variables: Collection[str] = ()
) -> dict[str, int | None]:
    """Return the place of every node.

    Parameters
    ----------
    proto : onnx.ModelProto
        Preparing may have written operators out as several nodes; what these make together keeps
        the name that it had.
    makers : mapping of str to int
        Value of the original model to the place of the operator that makes it.
    variables : collection of str
        Initializers that training changes: what is computed from them is no constant.

    Returns
    -------
    dict of str to int or None
        None for nodes that depend on constants alone: every part has its own copy. O(n + m).
    """
    index = index_model(proto)
    consumers = _index_consumers(index)
    places: dict[str, int | None] = {}
    changing = _follow(index, variables)
    for position in reversed(index.order):
        node = index.nodes[position]
        if position in index.constant and position not in changing:
            places[node.name] = None
            continue
        own = [makers[value] for value in node.output if value in makers]
        later = [
            place
            for value in node.output
            for reader in consumers.get(value, ())
            if (place := places[index.nodes[reader].name]) is not None
        ]
        places[node.name] = min(own or later or [DEVICE])
    return places


def _follow(index: ModelIndex, variables: Collection[str]) -> set[int]:
    """Return the nodes that depend on variables."""
    values, nodes = set(variables), set()
    for position in index.order:
        if not values.isdisjoint(index.reads[position]):
            nodes.add(position)
            values.update(index.nodes[position].output)
    return nodes


def _index_consumers(index: ModelIndex) -> dict[str, list[int]]:
    """Map every value to the nodes that read it."""
    consumers: dict[str, list[int]] = {}
    for position, reads in enumerate(index.reads):
        for value in reads:
            consumers.setdefault(value, []).append(position)
    return consumers
