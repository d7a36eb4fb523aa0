"""What a model looks like to the planner, before anything is measured."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.planning.cuts.inspected_blocks import InspectedBlock, inspect_blocks
from onnxsplit.planning.cuts.separators import SingleTensorCut, find_single_tensor_cuts

INSPECTION_SCHEMA = "onnxsplit.inspection/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A model's operators, sizes, cut points, blocks, and what can't be cut and why.

    Parameters
    ----------
    graph : OperatorGraph
    cuts : tuple of SingleTensorCut
    blocks : tuple of InspectedBlock
        What lies between consecutive cut vertices.
    """

    graph: OperatorGraph
    cuts: tuple[SingleTensorCut, ...]
    blocks: tuple[InspectedBlock, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the inspection as ``inspect --format json`` prints it."""
        graph = self.graph
        return {
            "schema": INSPECTION_SCHEMA,
            "model": {"sha256": graph.identity.sha256, "structure": graph.identity.structure},
            "inputs": [_spec_to_json(graph.tensors[name]) for name in graph.inputs],
            "outputs": [_spec_to_json(graph.tensors[name]) for name in graph.outputs],
            "weight_bytes": sum(graph.weight_bytes.values()),
            "operators": [
                {
                    "name": operator.name,
                    "op_type": operator.op_type,
                    "domain": operator.domain,
                    "inputs": list(operator.inputs),
                    "outputs": [_spec_to_json(graph.tensors[name]) for name in operator.outputs],
                    "weight_bytes": sum(graph.weight_bytes[name] for name in operator.weights),
                    "random": operator.is_random,
                }
                for operator in graph
            ],
            "op_types": dict(Counter(operator.op_type for operator in graph).most_common()),
            "constant_operators": list(graph.constant_operators),
            "dead_operators": list(graph.dead_operators),
            "cut_points": [
                {
                    "after": cut.after,
                    "tensor": cut.tensor,
                    "bytes": graph.tensors[cut.tensor].size_bytes,
                    "device_operators": cut.device_operators,
                }
                for cut in self.cuts
            ],
            "blocks": [
                {
                    "first": block.first,
                    "last": block.last,
                    "operators": block.operators,
                    "contracts": block.contracts,
                    "reason": block.reason,
                }
                for block in self.blocks
            ],
            "obstacles": [{"tensor": name, "reason": reason} for name, reason in self.obstacles],
        }

    @property
    def obstacles(self) -> tuple[tuple[str, str], ...]:
        """Values between operators that can't travel, and why."""
        return tuple(
            (name, f"{name!r} can't cross a link: {spec.travel_obstacle}.")
            for name, spec in self.graph.tensors.items()
            if spec.travel_obstacle is not None and self.graph.consumers(name)
        )


def inspect_graph(graph: OperatorGraph) -> Inspection:
    """Look at a graph.

    Parameters
    ----------
    graph : OperatorGraph

    Returns
    -------
    Inspection
    """
    return Inspection(
        graph=graph, cuts=find_single_tensor_cuts(graph), blocks=inspect_blocks(graph)
    )


def _spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    """Write a value's type and size."""
    return {
        "name": spec.name,
        "kind": spec.kind,
        "dtype": spec.dtype,
        "shape": None if spec.shape is None else list(spec.shape),
        "bytes": spec.size_bytes,
    }
