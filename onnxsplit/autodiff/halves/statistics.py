"""Batch normalisation in training: statistics of the batch, and running ones beside.

As ONNX has it, the running variance is the population's, and ``momentum`` is the share that is
kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxsplit.autodiff.batch_norms import BatchNorm, read_momentum, write_batch_norm
from onnxsplit.autodiff.halves.naming import next_name
from onnxsplit.errors import UnknownShapeError
from onnxsplit.graph import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatistics:
    """A model whose batch normalisations use the batch.

    Parameters
    ----------
    proto : onnx.ModelProto
    updates : mapping of str to str
        Value to the running statistic that it is the next value of.
    places : mapping of str to int or None
        Of the nodes.
    late : frozenset of str
        Nodes that move running statistics on. They run with the updates of the parameters, so that
        a step that is cut off on its way leaves nothing behind.
    owners : mapping of str to str
        New node to the norm that it is a part of.
    """

    proto: onnx.ModelProto
    updates: Mapping[str, str]
    places: Mapping[str, int | None]
    late: frozenset[str]
    owners: Mapping[str, str]


def use_batch_statistics(
    proto: onnx.ModelProto,
    statistics: Sequence[str],
    specs: Mapping[str, TensorSpec],
    places: Mapping[str, int | None],
) -> BatchStatistics:
    """Let batch normalisations use the statistics of the batch.

    Parameters
    ----------
    proto : onnx.ModelProto
    statistics : sequence of str
        Running means and variances; norms with others stay as they are.
    specs : mapping of str to TensorSpec
    places : mapping of str to int or None
        Of the model's nodes.

    Raises
    ------
    UnknownShapeError
        The rank of a norm's input can't be inferred.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    nodes = list(changed.graph.node)
    del changed.graph.node[:]
    updates: dict[str, str] = {}
    placed = dict(places)
    late: set[str] = set()
    owners: dict[str, str] = {}
    for node in nodes:
        if node.op_type != "BatchNormalization" or node.input[3] not in statistics:
            changed.graph.node.append(node)
            continue
        rank, dtype = _describe_input(node, specs)
        norm = write_batch_norm(node, rank)
        moved, constants = _move_statistics(node, norm, dtype)
        changed.graph.node.extend([*norm.nodes, *moved])
        changed.graph.initializer.extend([*norm.constants, *constants])
        updates |= {next_name(name): name for name in node.input[3:5]}
        placed |= dict.fromkeys((new.name for new in (*norm.nodes, *moved)), places[node.name])
        late |= {new.name for new in moved}
        owners |= dict.fromkeys((new.name for new in (*norm.nodes, *moved)), node.name)
    return BatchStatistics(
        proto=changed, updates=updates, places=placed, late=frozenset(late), owners=owners
    )


def _move_statistics(
    node: onnx.NodeProto, norm: BatchNorm, dtype: str
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Write the nodes that move running mean and variance towards those of the batch."""
    kept = read_momentum(node)
    numbers = {f"{node.name}|kept": kept, f"{node.name}|taken": 1 - kept}
    constants = [
        numpy_helper.from_array(np.asarray(value, np.dtype(dtype)), name)
        for name, value in numbers.items()
    ]
    old, new = numbers
    nodes = []
    for running, batch in ((node.input[3], norm.mean), (node.input[4], norm.variance)):
        share, rest = f"{batch}|share", f"{batch}|rest"
        nodes += [
            helper.make_node("Mul", [batch, new], [share], name=share),
            helper.make_node("Mul", [running, old], [rest], name=rest),
            helper.make_node("Add", [rest, share], [next_name(running)], name=f"{batch}|next"),
        ]
    return nodes, constants


def _describe_input(node: onnx.NodeProto, specs: Mapping[str, TensorSpec]) -> tuple[int, str]:
    """Return rank and element type of what a norm normalises."""
    spec = specs.get(node.input[0])
    if spec is None or spec.shape is None or spec.dtype is None:
        raise UnknownShapeError(
            f"The rank of {node.input[0]!r}, which {node.name!r} normalises, can't be inferred;"
            " fix the model's input shapes with --shape or --dim."
        )
    return len(spec.shape), spec.dtype
