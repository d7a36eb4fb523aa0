"""Which model-local functions a set of nodes needs."""

from collections.abc import Iterable

import onnx

from onnxsplit.model.bodies import find_bodies, walk_nodes
from onnxsplit.model.randomness import (
    FunctionKey,
    clean_domain,
    function_key,
    index_functions,
)


def find_functions(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> tuple[int, ...]:
    """Return the places in ``model.functions`` of those that the nodes call.

    Calls within bodies count, and so do calls by the functions themselves, at any depth. A key is
    domain, name and overload. O(nodes of the model).
    """
    defined = index_functions(model)
    needed: set[FunctionKey] = set()
    pending = [call for node in nodes for call in _find_calls(node)]
    while pending:
        key = pending.pop()
        if key in defined and key not in needed:
            needed.add(key)
            pending.extend(function_key(node) for node in walk_nodes(defined[key]))
    return tuple(
        place
        for place, function in enumerate(model.functions)
        if (clean_domain(function.domain), function.name, function.overload) in needed
    )


def _find_calls(node: onnx.NodeProto) -> Iterable[FunctionKey]:
    """Yield the keys of what a node calls, itself and within its bodies."""
    yield function_key(node)
    for body in find_bodies(node):
        yield from (function_key(inner) for inner in walk_nodes(body))
