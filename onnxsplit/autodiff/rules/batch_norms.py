"""Rule of BatchNormalization, with statistics that stay or with those of the batch."""

from collections.abc import Sequence

import onnx

from onnxsplit.autodiff.batch_norms import BATCH_STATISTICS
from onnxsplit.autodiff.channels import (
    scale_channels,
    spread_channels,
    sum_channels,
)
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule

_EPSILON = 1e-5
"""ONNX's default."""


def _find_training(node: onnx.NodeProto) -> str | None:
    """Refuse onnxruntime's own training mode, which spoils the running variance."""
    training = any(a.name == "training_mode" and a.i for a in node.attribute)
    return "training_mode 1" if training else None


@rule("BatchNormalization", inputs=(0, 1, 2), inert=(3, 4), find_lack=_find_training)
def differentiate_batch_normalization(at: Site) -> Sequence[str | None]:
    """Scale by what the channel was scaled by; sum over all but the channels."""
    x, scale, _, mean, variance = at.inputs[:5]
    gradient = at.gradient()
    epsilon = at.attribute("epsilon", _EPSILON)
    by_batch = any(entry.key == BATCH_STATISTICS for entry in at.node.metadata_props)
    total = sum_channels(at, gradient) if at.wants(2) or by_batch else None
    direct = scale_channels(at, gradient, scale, variance=variance, epsilon=epsilon)
    if not at.wants(1) and not by_batch:
        return [direct, None, total]
    centred = at.emit("Sub", x, spread_channels(at, mean))
    inverse = _invert_deviation(at, variance, epsilon)
    product = sum_channels(at, at.emit("Mul", gradient, centred))
    slope = at.emit("Mul", product, inverse)
    if total is not None and by_batch:
        through = _scale_statistics(at, centred, total, slope, inverse)
        direct = at.emit("Add", direct, through)
    return [direct, slope, total]


def _invert_deviation(at: Site, variance: str, epsilon: float) -> str:
    """Return one over the root of a variance, with epsilon added."""
    shifted = at.emit("Add", variance, at.scalar(epsilon, at.inputs[0]))
    return at.emit("Reciprocal", at.emit("Sqrt", shifted))


def _scale_statistics(at: Site, centred: str, total: str, slope: str, inverse: str) -> str:
    """Return the part of the gradient that came by mean and variance of the batch.

    It is -(scale / (n deviation)) (total + slope * centred / deviation) for n numbers per channel.
    """
    x, scale = at.inputs[:2]
    every = at.emit("ReduceProd", at.emit("Shape", x), keepdims=0)
    count = at.emit("Div", every, at.emit("Size", scale))
    share = at.emit("Div", at.emit("Mul", scale, inverse), at.cast_like(count, x))
    bias = at.emit("Neg", at.emit("Mul", share, total))
    factor = at.emit("Neg", at.emit("Mul", at.emit("Mul", share, slope), inverse))
    return scale_channels(at, centred, factor, bias=bias)
