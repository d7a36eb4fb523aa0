"""Weights that several operators read, taken apart: each trained reader has a copy of its own.

Exporters merge equal initializers, all the zero biases of a fresh model among them. Where training
gives each reader a copy, nothing keeps the readers on one tier, and each copy travels by itself.
"""

from collections.abc import Sequence
from dataclasses import replace

from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.gradients import follow_gradients


def untie_weights(graph: OperatorGraph, frozen: Sequence[str] = ()) -> OperatorGraph:
    """Give each operator its own copy of the trained weights that others read as well.

    Parameters
    ----------
    graph : OperatorGraph
    frozen : sequence of str
        Globs over operator names, ``op:TYPE`` and initializer names; what is frozen stays shared.

    Returns
    -------
    OperatorGraph
        A copy is called ``weight@operator``; the first reader keeps the name, unless operators that
        do not train the weight read it too.

    Raises
    ------
    UsageError
        A glob matches nothing.

    Notes
    -----
    O(n + m).
    """
    trained = follow_gradients(graph, frozen).trained
    taken = {
        weight
        for operator in graph
        for weight in operator.weights
        if weight not in trained.get(operator.name, ())
    }
    size, dtypes = dict(graph.weight_bytes), dict(graph.weight_dtypes)
    operators = []
    for operator in graph:
        names = []
        for weight in operator.weights:
            name = weight
            if weight in trained.get(operator.name, ()):
                name = f"{weight}@{operator.name}" if weight in taken else weight
                taken.add(weight)
                size[name] = size[weight]
                if weight in dtypes:
                    dtypes[name] = dtypes[weight]
            names.append(name)
        operators.append(replace(operator, weights=tuple(names)))
    return replace(graph, operators=tuple(operators), weight_bytes=size, weight_dtypes=dtypes)
