"""Rules of losses over classes; the weights of classes are constants."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from onnxsplit.autodiff.rules.softmax import sum_along
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule

_CLASSES = 1
"""The axis of classes."""
_ZERO_ONE = np.asarray([0.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    """Labels as a rule needs them.

    Parameters
    ----------
    chosen : str
        One at each label's class, else zero: of the scores' shape.
    share : str
        The gradient of each label's own loss, with the axis of classes of size one.
    """

    chosen: str
    share: str


@rule("SoftmaxCrossEntropyLoss", inputs=(0,))
def differentiate_cross_entropy(at: Site) -> Sequence[str | None]:
    """Compute (softmax(x) - chosen) times each label's share."""
    scores = at.inputs[0]
    logarithms = at.keep_output(1)
    probabilities = at.emit("Exp", logarithms)
    made: list[str] = []
    if at.gradients[0] is not None:
        targets = _read_targets(at, scores)
        slope = at.emit("Sub", probabilities, targets.chosen)
        made.append(at.emit("Mul", slope, targets.share))
    if len(at.gradients) > 1 and at.gradients[1] is not None:
        total = sum_along(at, at.gradient(1), _CLASSES)
        made.append(at.emit("Sub", at.gradient(1), at.emit("Mul", probabilities, total)))
    return [made[0] if len(made) == 1 else at.emit("Add", *made)]


@rule("NegativeLogLikelihoodLoss", inputs=(0,))
def differentiate_likelihood(at: Site) -> Sequence[str | None]:
    """Compute minus each label's share at its class."""
    targets = _read_targets(at, at.inputs[0])
    return [at.emit("Neg", at.emit("Mul", targets.chosen, targets.share))]


def _read_targets(at: Site, scores: str) -> _Targets:
    """Turn labels into what gradients are multiplied by."""
    labels, weights = at.widen_integers(at.inputs[1]), None
    ignored = at.attribute("ignore_index")
    if ignored is not None:
        counts = at.emit("Not", at.emit("Equal", labels, at.integers(ignored)))
        # An ignored label may be no class at all, so it is looked up as the first.
        labels = at.emit("Mul", labels, at.emit("Cast", counts, to=onnx.TensorProto.INT64))
        weights = at.cast_like(counts, scores)
    if at.has_input(2):
        looked_up = at.emit("Gather", at.inputs[2], labels)
        weights = at.emit("Mul", looked_up, weights) if weights else looked_up
    # onnxruntime makes float32 of labels, but neither float64 nor float16.
    values = at.emitter.store(_ZERO_ONE, onnx.TensorProto.FLOAT)
    chosen = at.emit("OneHot", labels, _count_classes(at, scores), values, axis=_CLASSES)
    if at.data_type(scores) != onnx.TensorProto.FLOAT:
        chosen = at.cast_like(chosen, scores)
    return _Targets(chosen=chosen, share=_share(at, weights, at.inputs[1]))


def _count_classes(at: Site, scores: str) -> str:
    """Return the number of classes."""
    known = at.shape(scores)[_CLASSES]
    if isinstance(known, int):
        return at.integers(known)
    size = at.emit("Shape", scores, start=_CLASSES, end=_CLASSES + 1)
    return at.emit("Squeeze", size, at.integers([0]))


def _share(at: Site, weights: str | None, labels: str) -> str:
    """Return the gradient of each label's loss, from that of their mean, sum or themselves."""
    gradient, axis = at.gradient(), at.integers([_CLASSES])
    reduction = at.attribute("reduction", "mean")
    if reduction == "mean":
        count = (
            at.emit("ReduceSum", weights, keepdims=0)
            if weights
            else at.cast_like(at.emit("Size", labels), at.outputs[0])
        )
        gradient = at.emit("Div", gradient, count)
    share = at.emit("Mul", gradient, weights) if weights else gradient
    if weights is None and reduction != "none":
        return share  # one number for all
    return at.emit("Unsqueeze", share, axis)
