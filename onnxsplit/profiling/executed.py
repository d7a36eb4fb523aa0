"""The nodes of the graph that an engine runs, as plain data."""

from dataclasses import dataclass

import onnx

from onnxsplit.model.bodies import list_makes, list_reads

BLOCKED_DOMAIN = "com.microsoft.nchwc"
"""Kernels of onnxruntime whose values are laid out in blocks of channels."""

_FUSED_DOMAINS = {BLOCKED_DOMAIN, "com.microsoft"}
_ADDEND = 3
"""The input of a fused convolution that is added to its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedNode:
    """A node of the graph that the engine runs in the place of the model's own.

    Parameters
    ----------
    name, op_type : str
        As in that graph; a node that the engine made may have no name.
    inputs, outputs : tuple of str
        Values that it reads (bodies of If, Loop or Scan included) and makes.
    domain : str
        Of the operator type; ``""`` is ONNX's own.
    addend : str or None
        The value that a fused convolution adds to its result.
    activation : str or None
        Type of the operator that a fused convolution applies to its result.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domain: str = ""
    addend: str | None = None
    activation: str | None = None

    @property
    def is_blocked(self) -> bool:
        """Tell whether its values are laid out in blocks of channels."""
        return self.domain == BLOCKED_DOMAIN


def read_executed(graph: onnx.GraphProto) -> list[ExecutedNode]:
    """Return the nodes of the graph that the engine runs, in order of execution."""
    return [_read_node(node) for node in graph.node]


def _read_node(node: onnx.NodeProto) -> ExecutedNode:
    """Read one node, with what it fuses where it says so."""
    is_fused = node.op_type.endswith("Conv") and node.domain in _FUSED_DOMAINS
    return ExecutedNode(
        name=node.name,
        op_type=node.op_type,
        inputs=list_reads(node),
        outputs=list_makes(node),
        domain=node.domain,
        addend=(node.input[_ADDEND] or None) if is_fused and len(node.input) > _ADDEND else None,
        activation=_read_activation(node) if is_fused else None,
    )


def _read_activation(node: onnx.NodeProto) -> str | None:
    """Return the operator type that a fused node names as its activation."""
    for attribute in node.attribute:
        if attribute.name == "activation":
            return attribute.s.decode(errors="replace") or None
    return None
