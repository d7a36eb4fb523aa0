"""Graphs within operators: the bodies of If, Loop and Scan, and what they capture."""

from collections.abc import Iterator

import onnx


def find_bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node holds as attributes, one level deep."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def walk_nodes(nodes: "onnx.GraphProto | onnx.FunctionProto") -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph or function, bodies at any depth included."""
    for node in nodes.node:
        yield node
        for body in find_bodies(node):
            yield from walk_nodes(body)


def find_free_values(body: onnx.GraphProto) -> Iterator[str]:
    """Yield the values that a body reads from the graphs around it, in order, with repeats."""
    bound = {value.name for value in body.input}
    bound.update(tensor.name for tensor in body.initializer)
    bound.update(tensor.values.name for tensor in body.sparse_initializer)
    bound.update(name for node in body.node for name in node.output)
    for node in body.node:
        yield from (name for name in list_reads(node) if name not in bound)
    yield from (value.name for value in body.output if value.name not in bound)


def list_reads(node: onnx.NodeProto) -> tuple[str, ...]:
    """Return the values that a node reads, each once: its inputs, then what its bodies capture.

    Omitted optional inputs (empty names) are left out.
    """
    captured = (name for body in find_bodies(node) for name in find_free_values(body))
    return tuple(name for name in dict.fromkeys([*node.input, *captured]) if name)


def list_makes(node: onnx.NodeProto) -> tuple[str, ...]:
    """Return the values that a node makes; omitted optional outputs are left out."""
    return tuple(name for name in node.output if name)
