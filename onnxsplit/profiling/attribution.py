"""From the kernels that ran back to the operators of the model."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from onnxsplit.engines.port import KernelEvent
from onnxsplit.model.bodies import list_makes, list_reads

Owners = Sequence[str | None]
"""For each kernel of a run, in order, the operator that it belongs to, or None."""

TRUNCATED_SECONDS = 0.5e-6
"""What a duration loses on average when it is cut to whole microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSignature:
    """What attribution needs to know of a node in the model's top graph.

    Parameters
    ----------
    op_type : str
    outputs : tuple of str
    """

    op_type: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedNode:
    """A node of the graph that the engine runs in the place of the model's own.

    Parameters
    ----------
    name, op_type : str
        As in that graph; a node that the engine made may have no name.
    inputs, outputs : tuple of str
        Values that it reads (bodies of If, Loop or Scan included) and makes.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_signatures(graph: onnx.GraphProto) -> dict[str, NodeSignature]:
    """Return the nodes of a model's top graph by their unique names."""
    return {
        node.name: NodeSignature(op_type=node.op_type, outputs=list_makes(node))
        for node in graph.node
    }


def read_executed(graph: onnx.GraphProto) -> list[ExecutedNode]:
    """Return the nodes of the graph that the engine runs, in order of execution."""
    return [
        ExecutedNode(
            name=node.name,
            op_type=node.op_type,
            inputs=list_reads(node),
            outputs=list_makes(node),
        )
        for node in graph.node
    ]


def split_runs(events: Sequence[KernelEvent], *, warm_ups: int) -> list[list[KernelEvent]]:
    """Group the kernels by run, without the first runs."""
    runs: dict[int, list[KernelEvent]] = defaultdict(list)
    for event in events:
        if event.run >= warm_ups:
            runs[event.run].append(event)
    return list(runs.values())


def own_by_name(
    kernels: Sequence[KernelEvent], nodes: Mapping[str, NodeSignature]
) -> list[str | None]:
    """Give each kernel to the node of the same name and type, the first one only.

    It is exact if no owner is None; else the engine runs another graph than the file holds.
    """
    taken: set[str] = set()
    owners: list[str | None] = []
    for kernel in kernels:
        node = nodes.get(kernel.operator)
        fits = node is not None and node.op_type == kernel.op_type
        fits = fits and kernel.operator not in taken
        taken.add(kernel.operator)
        owners.append(kernel.operator if fits else None)
    return owners


def own_by_graph(
    executed: Sequence[ExecutedNode], nodes: Mapping[str, NodeSignature]
) -> list[str | None]:
    """Give each node that the engine runs to a node of the model.

    A node belongs to the model's node that makes one of its outputs, or else to that of the same
    name and type. Whatever is left makes a value that the model does not have, within a function
    or beside an inserted cast: it belongs to the first one that needs that value.

    Parameters
    ----------
    executed : sequence of ExecutedNode
        In order of execution, so that every reader comes after the maker.
    nodes : mapping of str to NodeSignature
        The nodes of the model's top graph by their unique names.

    Returns
    -------
    list of str or None
        None for nodes that nothing in the model needs.

    Notes
    -----
    Linear in the size of the executed graph.
    """
    makers = {output: name for name, node in nodes.items() for output in node.outputs}
    needed_by: dict[str, str] = {}
    owners: list[str | None] = []
    for node in reversed(executed):
        owner = _own_directly(node, makers, nodes)
        if owner is None:
            owner = next((needed_by[name] for name in node.outputs if name in needed_by), None)
        if owner is not None:
            needed_by.update(dict.fromkeys(node.inputs, owner))
        owners.append(owner)
    return owners[::-1]


def fits_graph(kernels: Sequence[KernelEvent], executed: Sequence[ExecutedNode]) -> bool:
    """Tell whether a run's kernels are these nodes, in this order."""
    return len(kernels) == len(executed) and all(
        kernel.op_type == node.op_type and node.name in {"", kernel.operator}
        for kernel, node in zip(kernels, executed, strict=True)
    )


def sum_by_operator(kernels: Sequence[KernelEvent], owners: Owners) -> dict[str | None, float]:
    """Add up the seconds of one run by owner."""
    seconds: dict[str | None, float] = defaultdict(float)
    for kernel, owner in zip(kernels, owners, strict=True):
        seconds[owner] += kernel.seconds + TRUNCATED_SECONDS
    return dict(seconds)


def place_operators(kernels: Sequence[KernelEvent], owners: Owners) -> dict[str, str]:
    """Return the provider of each operator: that of its longest kernel."""
    longest: dict[str, KernelEvent] = {}
    for kernel, owner in zip(kernels, owners, strict=True):
        if owner is not None and (owner not in longest or kernel.seconds > longest[owner].seconds):
            longest[owner] = kernel
    return {owner: kernel.provider for owner, kernel in longest.items()}


def _own_directly(
    node: ExecutedNode, makers: Mapping[str, str], nodes: Mapping[str, NodeSignature]
) -> str | None:
    """Return the model's node that makes an output of this one, or has its name and type."""
    for output in node.outputs:
        if output in makers:
            return makers[output]
    twin = nodes.get(node.name)
    return node.name if twin is not None and twin.op_type == node.op_type else None
