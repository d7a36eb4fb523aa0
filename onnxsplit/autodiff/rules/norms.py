"""Rules of divisions by a norm along an axis, and by the squares of neighbouring channels."""

from collections.abc import Sequence

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule
from onnxsplit.autodiff.windows import read_numbers


@rule("LpNormalization")
def differentiate_lp_normalization(at: Site) -> Sequence[str | None]:
    """Subtract from the gradient its part along the result, and divide by the norm."""
    x, y, power = at.inputs[0], at.outputs[0], at.attribute("p", 2)
    axis = at.integers([at.attribute("axis", -1)])
    norm = at.emit("ReduceL1" if power == 1 else "ReduceL2", x, axis, keepdims=1)
    # Where all are zero so is the result, and the gradient must be a number.
    empty = at.cast_like(at.emit("Equal", norm, at.scalar(0.0, x)), x)
    length = at.emit("Add", norm, empty)
    along = at.emit("ReduceSum", at.emit("Mul", at.gradient(), y), axis, keepdims=1)
    direction = at.emit("Sign", x) if power == 1 else y
    rest = at.emit("Sub", at.gradient(), at.emit("Mul", direction, along))
    return [at.emit("Div", rest, length)]


@rule("LRN")
def differentiate_local_response(at: Site) -> Sequence[str | None]:
    """Compute g s^-b - (2 a b / n) x sum(g x s^(-b-1)) with s = k + (a / n) sum(x^2)."""
    x, size = at.inputs[0], at.attribute("size")
    alpha, beta = at.attribute("alpha", 1e-4), at.attribute("beta", 0.75)
    before, after = (size - 1) // 2, size // 2
    mean = _average_channels(at, at.emit("Mul", x, x), size, before, after)
    scaled = at.emit("Mul", mean, at.scalar(alpha, x))
    base = at.emit("Add", scaled, at.scalar(at.attribute("bias", 1.0), x))
    direct = at.emit("Mul", at.gradient(), at.emit("Pow", base, at.scalar(-beta, x)))
    product = at.emit("Div", at.emit("Mul", direct, x), base)
    # The channels that read this one lie as far before it as those that it reads lie behind.
    shared = _average_channels(at, product, size, after, before)
    through = at.emit("Mul", at.emit("Mul", x, shared), at.scalar(2 * alpha * beta, x))
    return [at.emit("Sub", direct, through)]


def _average_channels(at: Site, value: str, size: int, before: int, after: int) -> str:
    """Average over neighbouring channels; those that are missing count as zeros."""
    x = at.inputs[0]
    channels = read_numbers(at, x, first=1)[0]
    flat = at.emit("Reshape", value, at.integers([0, 1, channels, -1]))
    mean = at.emit(
        "AveragePool",
        flat,
        kernel_shape=[size, 1],
        pads=[before, 0, after, 0],
        count_include_pad=1,
    )
    return at.take_shape(mean, x)
