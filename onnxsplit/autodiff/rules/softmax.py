"""Rules of Softmax and LogSoftmax."""

from collections.abc import Sequence

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


def sum_along(at: Site, value: str, axis: int) -> str:
    """Sum along one axis, which stays with size one."""
    return at.emit("ReduceSum", value, at.integers([axis]), keepdims=1)


@rule("Softmax")
def differentiate_softmax(at: Site) -> Sequence[str | None]:
    """Compute y (g - sum(g y))."""
    y, axis = at.outputs[0], at.attribute("axis", -1)
    total = sum_along(at, at.emit("Mul", at.gradient(), y), axis)
    return [at.emit("Mul", y, at.emit("Sub", at.gradient(), total))]


@rule("LogSoftmax")
def differentiate_log_softmax(at: Site) -> Sequence[str | None]:
    """Compute g - exp(y) sum(g)."""
    total = sum_along(at, at.gradient(), at.attribute("axis", -1))
    return [at.emit("Sub", at.gradient(), at.emit("Mul", at.emit("Exp", at.outputs[0]), total))]
