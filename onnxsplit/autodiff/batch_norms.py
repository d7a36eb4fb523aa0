"""Batch normalisation in training, written out: statistics of the batch, and running ones.

onnxruntime's own training mode overwrites the caller's running variance on a CPU, and its CUDA
provider refuses it. So the statistics are computed beside, and the operator for inference is given
them; it is marked, for its rule must know that they depend on what is normalised. No gradient
passes the statistics' own operators: the rule gives the whole of it, in fewer passes over the
values than they would take (Ioffe and Szegedy 2015, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

BATCH_STATISTICS = "onnxsplit.batch_statistics"
"""Metadata of a BatchNormalization whose mean and variance are those of its input."""

_MOMENTUM = 0.9
"""ONNX's default: the share of the running statistics that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm:
    """A batch normalisation that uses its batch.

    Parameters
    ----------
    nodes : tuple of onnx.NodeProto
        In order; the one that makes the result has the operator's own name.
    constants : tuple of onnx.TensorProto
    mean, variance : str
        Values with one number per channel; the variance is the population's, as in ONNX.
    """

    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[onnx.TensorProto, ...]
    mean: str
    variance: str


def write_batch_norm(node: onnx.NodeProto, rank: int) -> BatchNorm:
    """Let a batch normalisation use the statistics of its batch.

    Parameters
    ----------
    node : onnx.NodeProto
        A BatchNormalization.
    rank : int
        Of its input.
    """
    x, scale, bias = node.input[:3]
    prefix = f"{node.name}|"
    axes = numpy_helper.from_array(np.array([0, *range(2, rank)], np.int64), f"{prefix}axes")
    flat = numpy_helper.from_array(np.array([-1], np.int64), f"{prefix}flat")
    nodes: list[onnx.NodeProto] = []

    def emit(op_type: str, inputs: Sequence[str], name: str, keepdims: int | None = None) -> str:
        nodes.append(helper.make_node(op_type, inputs, [name], name=name, keepdims=keepdims))
        return name

    wide = emit("ReduceMean", [x, axes.name], f"{prefix}wide_mean", keepdims=1)
    centred = emit("Sub", [x, wide], f"{prefix}centred")
    square = emit("Mul", [centred, centred], f"{prefix}square")
    variance = emit("ReduceMean", [square, axes.name], f"{prefix}variance", keepdims=0)
    mean = emit("Reshape", [wide, flat.name], f"{prefix}mean")
    norm = helper.make_node(
        "BatchNormalization", [x, scale, bias, mean, variance], node.output[:1], name=node.name
    )
    norm.attribute.extend(a for a in node.attribute if a.name == "epsilon")
    norm.metadata_props.add(key=BATCH_STATISTICS, value="1")
    nodes.append(norm)
    return BatchNorm(nodes=tuple(nodes), constants=(axes, flat), mean=mean, variance=variance)


def read_momentum(node: onnx.NodeProto) -> float:
    """Return the share of the running statistics that a batch normalisation keeps."""
    return next((a.f for a in node.attribute if a.name == "momentum"), _MOMENTUM)
