"""Batch normalisation in training: statistics of the batch, and running ones beside.

Written out in plain operators: onnxruntime's own training mode overwrites the caller's running
variance on a CPU, and its CUDA provider refuses it. As ONNX has it, the running variance is the
population's, and ``momentum`` is the share that is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxsplit.autodiff.halves.naming import next_name
from onnxsplit.errors import UnknownShapeError
from onnxsplit.graph import TensorSpec

_EPSILON, _MOMENTUM = 1e-5, 0.9
"""ONNX's defaults."""


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
    """

    proto: onnx.ModelProto
    updates: Mapping[str, str]
    places: Mapping[str, int | None]
    late: frozenset[str]


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
    for node in nodes:
        if node.op_type != "BatchNormalization" or node.input[3] not in statistics:
            changed.graph.node.append(node)
            continue
        writer = _Norm(node, specs)
        written = writer.write()
        changed.graph.node.extend(written)
        changed.graph.initializer.extend(writer.constants)
        updates |= writer.updates
        late |= writer.late
        placed |= dict.fromkeys((new.name for new in written), places[node.name])
    return BatchStatistics(proto=changed, updates=updates, places=placed, late=frozenset(late))


class _Norm:
    """Writes one batch normalisation out."""

    def __init__(self, node: onnx.NodeProto, specs: Mapping[str, TensorSpec]) -> None:
        spec = specs.get(node.input[0])
        if spec is None or spec.shape is None or spec.dtype is None:
            raise UnknownShapeError(
                f"The rank of {node.input[0]!r}, which {node.name!r} normalises, can't be inferred;"
                " fix the model's input shapes with --shape or --dim."
            )
        self._node = node
        self._rank = len(spec.shape)
        self._dtype = np.dtype(spec.dtype)
        self._attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self._nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.updates: dict[str, str] = {}
        self.late: set[str] = set()

    def write(self) -> list[onnx.NodeProto]:
        """Return the nodes in its place."""
        value, scale, bias, running_mean, running_variance = self._node.input[:5]
        axes = self._store("axes", np.array([0, *range(2, self._rank)], np.int64))
        column = self._store("column", np.array([-1, *[1] * (self._rank - 2)], np.int64))
        flat = self._store("flat", np.array([-1], np.int64))
        mean = self._emit("ReduceMean", [value, axes], "mean", keepdims=1)
        centred = self._emit("Sub", [value, mean], "centred")
        square = self._emit("Mul", [centred, centred], "square")
        variance = self._emit("ReduceMean", [square, axes], "variance", keepdims=1)
        epsilon = self._number("epsilon", self._attributes.get("epsilon", _EPSILON))
        shifted = self._emit("Add", [variance, epsilon], "shifted")
        deviation = self._emit("Sqrt", [shifted], "deviation")
        unit = self._emit("Div", [centred, deviation], "unit")
        scales = self._emit("Reshape", [scale, column], "scales")
        biases = self._emit("Reshape", [bias, column], "biases")
        scaled = self._emit("Mul", [unit, scales], "scaled")
        self._emit("Add", [scaled, biases], "", output=self._node.output[0])
        kept = float(self._attributes.get("momentum", _MOMENTUM))
        old, new = self._number("kept", kept), self._number("taken", 1 - kept)
        for running, batch, name in (
            (running_mean, mean, "next_mean"),
            (running_variance, variance, "next_variance"),
        ):
            before = len(self._nodes)
            row = self._emit("Reshape", [batch, flat], f"{name}|row")
            share = self._emit("Mul", [row, new], f"{name}|share")
            rest = self._emit("Mul", [running, old], f"{name}|rest")
            self._emit("Add", [rest, share], name, output=next_name(running))
            self.updates[next_name(running)] = running
            self.late |= {node.name for node in self._nodes[before:]}
        return self._nodes

    def _emit(
        self,
        op_type: str,
        inputs: list[str],
        suffix: str,
        *,
        output: str = "",
        **attributes: Any,  # noqa: ANN401 - as ONNX has them
    ) -> str:
        """Emit a node."""
        name = f"{self._node.name}|{suffix}" if suffix else self._node.name
        made = output or f"fwd|{name}"
        self._nodes.append(helper.make_node(op_type, inputs, [made], name=name, **attributes))
        return made

    def _store(self, suffix: str, values: np.ndarray) -> str:
        """Keep a constant."""
        name = f"fwd|{self._node.name}|{suffix}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _number(self, suffix: str, value: float) -> str:
        """Keep a number of the norm's element type."""
        return self._store(suffix, np.asarray(value, self._dtype))
