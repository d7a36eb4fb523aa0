"""Rule of Dropout."""

from collections.abc import Sequence

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule

_RATIO = 0.5
"""ONNX's default."""
_TRAINING = 2


@rule("Dropout", inputs=(0,), inert=(1,))
def differentiate_dropout(at: Site) -> Sequence[str | None]:
    """Drop of the gradient what the operator itself dropped, and scale the rest as it did."""
    if not at.has_input(_TRAINING):
        return [at.gradient()]
    training = at.inputs[_TRAINING]
    known = at.read_constant(training)
    if known is not None and not known.item():
        return [at.gradient()]
    x = at.inputs[0]
    ratio = at.cast_like(at.inputs[1], x) if at.has_input(1) else at.scalar(_RATIO, x)
    lost = ratio if known is not None else at.emit("Mul", ratio, at.cast_like(training, x))
    kept = at.emit("Mul", at.gradient(), at.cast_like(at.keep_output(1), x))
    return [at.emit("Div", kept, at.emit("Sub", at.scalar(1.0, x), lost))]
