"""Rules of activation functions. Where a function has a kink, the slope there is named."""

import math
from collections.abc import Sequence

from onnxsplit.autodiff.rules.arithmetic import reduce_to_input
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


def _compare(at: Site, comparison: str, left: str, right: float) -> str:
    """Return ones where a forward value compares to a number so, else zeros."""
    return at.cast_like(at.emit(comparison, left, at.scalar(right, left)), left)


@rule("Relu")
def differentiate_relu(at: Site) -> Sequence[str | None]:
    """Pass the gradient where the result is positive; zero at zero."""
    # Casting the result to bool and back is the fastest mask that onnxruntime computes.
    chosen = at.emit("Cast", at.outputs[0], to=9)
    return [at.emit("Mul", at.gradient(), at.cast_like(chosen, at.outputs[0]))]


@rule("LeakyRelu")
def differentiate_leaky_relu(at: Site) -> Sequence[str | None]:
    """Multiply by alpha where the input is negative; one at zero."""
    alpha = at.attribute("alpha", 0.01)
    return [at.emit("Mul", at.gradient(), _step(at, alpha))]


def _step(at: Site, below: float) -> str:
    """Return ones where the input is at least zero, else a number."""
    positive = _compare(at, "GreaterOrEqual", at.inputs[0], 0.0)
    scaled = at.emit("Mul", positive, at.scalar(1.0 - below, at.inputs[0]))
    return at.emit("Add", scaled, at.scalar(below, at.inputs[0]))


@rule("PRelu")
def differentiate_prelu(at: Site) -> Sequence[str | None]:
    """Multiply by the slope where the input is negative, and give the slope the input there."""
    x, slope = at.inputs
    negative = _compare(at, "Less", x, 0.0)
    positive = _compare(at, "GreaterOrEqual", x, 0.0)
    below = at.emit("Mul", at.gradient(), negative)
    first = at.emit("Add", at.emit("Mul", at.gradient(), positive), at.emit("Mul", below, slope))
    if not at.wants(1):
        return [first]
    return [first, reduce_to_input(at, at.emit("Mul", below, x), 1)]


@rule("ThresholdedRelu")
def differentiate_thresholded_relu(at: Site) -> Sequence[str | None]:
    """Pass the gradient where the input exceeds the threshold."""
    above = _compare(at, "Greater", at.inputs[0], at.attribute("alpha", 1.0))
    return [at.emit("Mul", at.gradient(), above)]


@rule("Clip", inputs=(0,))
def differentiate_clip(at: Site) -> Sequence[str | None]:
    """Pass the gradient strictly between the bounds."""
    # At a bound the slope is zero, so that ReLU6 agrees with a Relu at zero.
    within = [
        at.emit(comparison, at.inputs[0], at.inputs[place])
        for place, comparison in ((1, "Greater"), (2, "Less"))
        if at.has_input(place)
    ]
    if not within:
        return [at.gradient()]
    chosen = within[0] if len(within) == 1 else at.emit("And", *within)
    return [at.emit("Mul", at.gradient(), at.cast_like(chosen, at.inputs[0]))]


@rule("Sigmoid")
def differentiate_sigmoid(at: Site) -> Sequence[str | None]:
    """Compute g y (1 - y)."""
    y = at.outputs[0]
    slope = at.emit("Mul", y, at.emit("Sub", at.scalar(1.0, y), y))
    return [at.emit("Mul", at.gradient(), slope)]


@rule("HardSigmoid")
def differentiate_hard_sigmoid(at: Site) -> Sequence[str | None]:
    """Multiply by alpha where the result lies strictly between zero and one."""
    y = at.outputs[0]
    within = at.emit(
        "And",
        at.emit("Greater", y, at.scalar(0.0, y)),
        at.emit("Less", y, at.scalar(1.0, y)),
    )
    scaled = at.emit("Mul", at.gradient(), at.scalar(at.attribute("alpha", 0.2), y))
    return [at.emit("Mul", scaled, at.cast_like(within, y))]


@rule("HardSwish")
def differentiate_hard_swish(at: Site) -> Sequence[str | None]:
    """Compute g (h + x / 6 where -3 < x < 3), with h the hard sigmoid of x."""
    x = at.inputs[0]
    gate = at.emit("HardSigmoid", x, alpha=1.0 / 6.0, beta=0.5)
    within = at.emit(
        "And",
        at.emit("Greater", x, at.scalar(-3.0, x)),
        at.emit("Less", x, at.scalar(3.0, x)),
    )
    inner = at.emit("Mul", at.emit("Mul", x, at.scalar(1.0 / 6.0, x)), at.cast_like(within, x))
    return [at.emit("Mul", at.gradient(), at.emit("Add", gate, inner))]


@rule("Elu", "Celu", "Selu")
def differentiate_exponential_unit(at: Site) -> Sequence[str | None]:
    """Compute the slope of scale (x where x > 0, else alpha (exp(x / width) - 1))."""
    scale, alpha, width = _read_exponential_unit(at)
    x = at.inputs[0]
    positive = _compare(at, "Greater", x, 0.0)
    below = at.emit("Min", x, at.scalar(0.0, x))
    if width != 1.0:
        below = at.emit("Mul", below, at.scalar(1.0 / width, x))
    curve = at.emit("Mul", at.emit("Exp", below), at.scalar(scale * alpha / width, x))
    curve = at.emit("Mul", curve, _compare(at, "LessOrEqual", x, 0.0))
    slope = at.emit("Add", curve, at.emit("Mul", positive, at.scalar(scale, x)))
    return [at.emit("Mul", at.gradient(), slope)]


def _read_exponential_unit(at: Site) -> tuple[float, float, float]:
    """Return scale, alpha and width."""
    if at.node.op_type == "Selu":
        alpha = at.attribute("alpha", 1.67326319217681884765625)
        return at.attribute("gamma", 1.05070102214813232421875), alpha, 1.0
    alpha = at.attribute("alpha", 1.0)
    return 1.0, alpha, alpha if at.node.op_type == "Celu" else 1.0


@rule("Softplus")
def differentiate_softplus(at: Site) -> Sequence[str | None]:
    """Compute g sigmoid(x)."""
    return [at.emit("Mul", at.gradient(), at.emit("Sigmoid", at.inputs[0]))]


@rule("Softsign")
def differentiate_softsign(at: Site) -> Sequence[str | None]:
    """Compute g / (1 + |x|)^2."""
    x = at.inputs[0]
    width = at.emit("Add", at.emit("Abs", x), at.scalar(1.0, x))
    return [at.emit("Div", at.gradient(), at.emit("Mul", width, width))]


@rule("Swish")
def differentiate_swish(at: Site) -> Sequence[str | None]:
    """Compute g (s + a x s (1 - s)) with s = sigmoid(a x)."""
    x = at.inputs[0]
    alpha = at.attribute("alpha", 1.0)
    inner = at.emit("Mul", x, at.scalar(alpha, x))
    gate = at.emit("Sigmoid", inner)
    rest = at.emit("Sub", at.scalar(1.0, x), gate)
    slope = at.emit("Mul", gate, at.emit("Add", at.emit("Mul", inner, rest), at.scalar(1.0, x)))
    return [at.emit("Mul", at.gradient(), slope)]


@rule("Mish")
def differentiate_mish(at: Site) -> Sequence[str | None]:
    """Compute g (t + x (1 - t^2) sigmoid(x)) with t = tanh(softplus(x))."""
    x = at.inputs[0]
    t = at.emit("Tanh", at.emit("Softplus", x))
    rest = at.emit("Sub", at.scalar(1.0, x), at.emit("Mul", t, t))
    curve = at.emit("Mul", at.emit("Mul", x, rest), at.emit("Sigmoid", x))
    return [at.emit("Mul", at.gradient(), at.emit("Add", t, curve))]


@rule("Erf")
def differentiate_erf(at: Site) -> Sequence[str | None]:
    """Compute g 2 / sqrt(pi) exp(-x^2)."""
    x = at.inputs[0]
    bell = at.emit("Exp", at.emit("Neg", at.emit("Mul", x, x)))
    scaled = at.emit("Mul", at.gradient(), at.scalar(2.0 / math.sqrt(math.pi), x))
    return [at.emit("Mul", scaled, bell)]


@rule("Gelu")
def differentiate_gelu(at: Site) -> Sequence[str | None]:
    """Compute the slope of x times the normal distribution, or of its approximation by tanh."""
    slope = _slope_by_tanh(at) if at.attribute("approximate", "none") == "tanh" else _slope(at)
    return [at.emit("Mul", at.gradient(), slope)]


def _slope(at: Site) -> str:
    """Compute P(x) + x p(x), with the normal distribution P and its density p."""
    x = at.inputs[0]
    erf = at.emit("Erf", at.emit("Mul", x, at.scalar(math.sqrt(0.5), x)))
    half = at.scalar(0.5, x)
    share = at.emit("Add", at.emit("Mul", erf, half), half)
    bell = at.emit("Exp", at.emit("Mul", at.emit("Mul", x, x), at.scalar(-0.5, x)))
    density = at.emit("Mul", bell, at.scalar(1.0 / math.sqrt(2.0 * math.pi), x))
    return at.emit("Add", share, at.emit("Mul", x, density))


def _slope_by_tanh(at: Site) -> str:
    """Compute (1 + t) / 2 + x (1 - t^2) u' / 2 with t = tanh(u), u = r (x + 0.044715 x^3)."""
    x = at.inputs[0]
    root, cubic = math.sqrt(2.0 / math.pi), 0.044715
    square = at.emit("Mul", x, x)
    line = at.emit("Mul", square, at.scalar(root * cubic, x))
    inner = at.emit("Mul", x, at.emit("Add", line, at.scalar(root, x)))
    t = at.emit("Tanh", inner)
    steep = at.emit("Mul", square, at.scalar(3.0 * root * cubic, x))
    steep = at.emit("Add", steep, at.scalar(root, x))
    rest = at.emit("Sub", at.scalar(1.0, x), at.emit("Mul", t, t))
    curve = at.emit("Mul", at.emit("Mul", x, rest), steep)
    total = at.emit("Add", at.emit("Add", t, at.scalar(1.0, x)), curve)
    return at.emit("Mul", total, at.scalar(0.5, x))
