"""Which value of the model a value of the executed graph is, however it is named and laid out."""

import re
from collections.abc import Mapping, Sequence

from onnxsplit.graph import Operator, OperatorGraph
from onnxsplit.profiling.executed import ExecutedNode

_BLOCKED_NAME = re.compile(r"(?P<output>.+?)(?:_bn)?_nchwc")
"""How onnxruntime names a node that it moves to blocked layout: after the output it replaces."""

_LAYOUT_TYPES = frozenset(
    {
        *("ReorderInput", "ReorderOutput", "Reshape", "Transpose", "Squeeze", "Unsqueeze"),
        *("Flatten", "Cast", "Identity", "MemcpyToHost", "MemcpyFromHost"),
    }
)
"""Operator types whose output holds what their first input holds, laid out or stored anew."""

_ADDITIONS = frozenset({"Add", "Sum"})


def find_aliases(graph: OperatorGraph, executed: Sequence[ExecutedNode]) -> dict[str, str]:
    """Map values of the executed graph to the values of the model that they hold.

    A value is known by its name; by the name of the node that makes it, which is that of the
    model's operator, or in blocked layout that of the output it replaces; or by a value that an
    inserted layout operator makes from it, or makes it from.

    Parameters
    ----------
    graph : OperatorGraph
        The model.
    executed : sequence of ExecutedNode
        In order of execution.

    Returns
    -------
    dict of str to str
        Values that the model does not have, as within fused or inlined operators, are left out.

    Notes
    -----
    Linear in the size of both graphs.
    """
    named = {name for node in executed for name in (*node.inputs, *node.outputs)}
    aliases = {name: name for name in graph.tensors if name in named}
    _inherit_backwards(graph, executed, aliases)
    for node in executed:
        if any(output not in aliases for output in node.outputs):
            found = _alias_outputs(graph, node, aliases)
            aliases.update({name: alias for name, alias in found.items() if name not in aliases})
    _inherit_backwards(graph, executed, aliases)
    return aliases


def is_layout(graph: OperatorGraph, node: ExecutedNode) -> bool:
    """Tell whether the engine inserted a node that only lays out or stores its input anew."""
    return node.op_type in _LAYOUT_TYPES and bool(node.inputs) and not _find_twin(graph, node)


def _alias_outputs(
    graph: OperatorGraph, node: ExecutedNode, aliases: Mapping[str, str]
) -> dict[str, str]:
    """Find what the outputs of one node hold."""
    match = _BLOCKED_NAME.fullmatch(node.name)
    if node.is_blocked and match and graph.producer(match["output"]) is not None:
        held = _advance(graph, node, match["output"])
        return {} if held is None else {node.outputs[0]: held}
    twin = _find_twin(graph, node)
    if twin is not None:
        pairs = zip(node.outputs, twin.outputs, strict=False)
        return {name: held for name, held in pairs if held not in aliases}
    if is_layout(graph, node) and node.inputs[0] in aliases:
        return dict.fromkeys(node.outputs[:1], aliases[node.inputs[0]])
    return {}


def _find_twin(graph: OperatorGraph, node: ExecutedNode) -> Operator | None:
    """Return the model's operator of the same name, type and number of outputs."""
    if node.name not in graph:
        return None
    operator = graph.operator(node.name)
    is_same = operator.op_type == node.op_type and len(operator.outputs) == len(node.outputs)
    return operator if is_same else None


def _advance(graph: OperatorGraph, node: ExecutedNode, output: str) -> str | None:
    """Follow a blocked kernel's output over the addition and activation that were fused later.

    Returns None if they can't be found, as with activations of several operators.
    """
    maker = graph.producer(output)
    last_type = graph.operator(maker).op_type if maker is not None else ""
    if node.addend is not None:
        following = _follow(graph, output, _ADDITIONS)
        if following is None:
            return None
        output, last_type = following, "Add"
    if node.activation in {None, last_type}:
        return output
    return _follow(graph, output, frozenset({node.activation or ""}))


def _follow(graph: OperatorGraph, value: str, op_types: frozenset[str]) -> str | None:
    """Return what the only reader of a value makes of it, if that is of one of these types."""
    readers = graph.consumers(value)
    if len(readers) != 1 or graph.operator(readers[0]).op_type not in op_types:
        return None
    return graph.operator(readers[0]).outputs[0]


def _inherit_backwards(
    graph: OperatorGraph, executed: Sequence[ExecutedNode], aliases: dict[str, str]
) -> None:
    """Let the inputs of inserted layout operators hold what their outputs do; in place."""
    made = {name for node in executed for name in node.outputs}
    for node in reversed(executed):
        if node.outputs and node.outputs[0] in aliases and is_layout(graph, node):
            source = node.inputs[0]
            if source in made and source not in aliases:
                aliases[source] = aliases[node.outputs[0]]
