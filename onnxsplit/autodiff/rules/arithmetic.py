"""Rules of operators that compute element by element, with broadcasting."""

from collections.abc import Sequence

from onnxsplit.autodiff.broadcasting import unbroadcast
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


def reduce_to_input(at: Site, gradient: str, place: int) -> str:
    """Sum a gradient of the output's shape to the shape of an input."""
    return unbroadcast(at, gradient, result=at.outputs[0], operand=at.inputs[place])


@rule("Add", "Sum")
def differentiate_sum(at: Site) -> Sequence[str | None]:
    """Pass the gradient on to every summand."""
    places = range(len(at.inputs))
    return [reduce_to_input(at, at.gradient(), i) if at.wants(i) else None for i in places]


@rule("Sub")
def differentiate_sub(at: Site) -> Sequence[str | None]:
    """Pass the gradient on, with its sign turned for the second."""
    # Turned after the sum, which is smaller.
    second = at.emit("Neg", reduce_to_input(at, at.gradient(), 1)) if at.wants(1) else None
    return [reduce_to_input(at, at.gradient(), 0), second]


@rule("Mul")
def differentiate_mul(at: Site) -> Sequence[str | None]:
    """Multiply by the other factor."""
    return [
        reduce_to_input(at, at.emit("Mul", at.gradient(), at.inputs[1 - place]), place)
        if at.wants(place)
        else None
        for place in (0, 1)
    ]


@rule("Div")
def differentiate_div(at: Site) -> Sequence[str | None]:
    """Compute g / b for the dividend, and -(g / b) y for the divisor."""
    scaled = at.emit("Div", at.gradient(), at.inputs[1])
    first = reduce_to_input(at, scaled, 0) if at.wants(0) else None
    if not at.wants(1):
        return [first]
    second = reduce_to_input(at, at.emit("Mul", scaled, at.outputs[0]), 1)
    return [first, at.emit("Neg", second)]


@rule("Pow")
def differentiate_pow(at: Site) -> Sequence[str | None]:
    """Compute b a^(b-1) for the base and y log a for the exponent, zero there where a <= 0."""
    return [
        _differentiate_base(at) if at.wants(0) else None,
        _differentiate_exponent(at) if at.wants(1) else None,
    ]


def _differentiate_base(at: Site) -> str:
    """Compute g b a^(b-1)."""
    base, power = at.inputs[0], at.inputs[1]
    known = at.read_constant(power)
    if known is not None and known.size == 1 and float(known.item()) in {2.0, 3.0}:
        lower = base if float(known.item()) == 2.0 else at.emit("Mul", base, base)  # noqa: PLR2004
        scaled = at.emit("Mul", at.gradient(), at.scalar(known.item(), base))
        return reduce_to_input(at, at.emit("Mul", scaled, lower), 0)
    factor = at.cast_like(power, base)
    one = at.scalar(1.0, base)
    lower = at.emit("Pow", base, at.emit("Sub", factor, one))
    # Where the power is zero the result is constant, though 0 times 0^-1 is not a number.
    zero = at.scalar(0.0, base)
    slope = at.emit("Mul", factor, lower)
    slope = at.emit("Where", at.emit("Equal", factor, zero), zero, slope)
    return reduce_to_input(at, at.emit("Mul", at.gradient(), slope), 0)


def _differentiate_exponent(at: Site) -> str:
    """Compute g y log a."""
    base = at.inputs[0]
    zero, one = at.scalar(0.0, base), at.scalar(1.0, base)
    positive = at.emit("Greater", base, zero)
    logarithm = at.emit("Log", at.emit("Where", positive, base, one))
    slope = at.emit("Mul", at.outputs[0], logarithm)
    product = at.emit("Mul", at.gradient(), slope)
    return reduce_to_input(at, at.cast_like(product, at.inputs[1]), 1)


@rule("Mean")
def differentiate_mean(at: Site) -> Sequence[str | None]:
    """Share the gradient equally."""
    share = at.scalar(1.0 / len(at.inputs), at.outputs[0])
    scaled = at.emit("Mul", at.gradient(), share)
    return [reduce_to_input(at, scaled, i) if at.wants(i) else None for i in range(len(at.inputs))]


@rule("Max", "Min")
def differentiate_extremum(at: Site) -> Sequence[str | None]:
    """Pass the gradient to the inputs that attain the result; those that tie share it equally."""
    result = at.outputs[0]
    hits = [at.cast_like(at.emit("Equal", name, result), result) for name in at.inputs]
    if len(hits) == 1:
        return [at.gradient()]
    total = hits[0]
    for hit in hits[1:]:
        total = at.emit("Add", total, hit)
    shared = at.emit("Div", at.gradient(), total)
    return [
        reduce_to_input(at, at.emit("Mul", shared, hit), place) if at.wants(place) else None
        for place, hit in enumerate(hits)
    ]


@rule("Where")
def differentiate_where(at: Site) -> Sequence[str | None]:
    """Pass the gradient to the branch that was chosen."""
    # A product with the mask costs a fraction of what Where with a scalar does.
    chosen = at.cast_like(at.inputs[0], at.outputs[0])
    first = at.emit("Mul", at.gradient(), chosen)
    second = None
    if at.wants(2):
        other = at.cast_like(at.emit("Not", at.inputs[0]), at.outputs[0])
        second = reduce_to_input(at, at.emit("Mul", at.gradient(), other), 2)
    return [None, reduce_to_input(at, first, 1) if at.wants(1) else None, second]


@rule("Neg")
def differentiate_neg(at: Site) -> Sequence[str | None]:
    """Turn the sign."""
    return [at.emit("Neg", at.gradient())]


@rule("Abs")
def differentiate_abs(at: Site) -> Sequence[str | None]:
    """Multiply by the sign; zero at zero."""
    return [at.emit("Mul", at.gradient(), at.emit("Sign", at.inputs[0]))]


@rule("Sqrt")
def differentiate_sqrt(at: Site) -> Sequence[str | None]:
    """Compute g / (2 y)."""
    half = at.emit("Mul", at.gradient(), at.scalar(0.5, at.inputs[0]))
    return [at.emit("Div", half, at.outputs[0])]


@rule("Exp")
def differentiate_exp(at: Site) -> Sequence[str | None]:
    """Multiply by the result."""
    return [at.emit("Mul", at.gradient(), at.outputs[0])]


@rule("Log")
def differentiate_log(at: Site) -> Sequence[str | None]:
    """Divide by the input."""
    return [at.emit("Div", at.gradient(), at.inputs[0])]


@rule("Reciprocal")
def differentiate_reciprocal(at: Site) -> Sequence[str | None]:
    """Compute -g y^2."""
    square = at.emit("Mul", at.outputs[0], at.outputs[0])
    return [at.emit("Neg", at.emit("Mul", at.gradient(), square))]


@rule("Mod", inputs=(0,))
def differentiate_mod(at: Site) -> Sequence[str | None]:
    """Pass the gradient on to the dividend."""
    return [reduce_to_input(at, at.gradient(), 0)]


@rule("Identity", "CastLike", inert=(1,))
def differentiate_identity(at: Site) -> Sequence[str | None]:
    """Pass the gradient on."""
    same = at.data_type(at.inputs[0]) == at.data_type(at.outputs[0])
    return [at.gradient() if same else at.cast_like(at.gradient(), at.inputs[0])]


@rule("Cast")
def differentiate_cast(at: Site) -> Sequence[str | None]:
    """Cast back."""
    return [at.cast_like(at.gradient(), at.inputs[0])]
