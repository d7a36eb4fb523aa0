"""Rules of trigonometric and hyperbolic functions."""

from collections.abc import Sequence

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


@rule("Sin")
def differentiate_sin(at: Site) -> Sequence[str | None]:
    """Compute g cos x."""
    return [at.emit("Mul", at.gradient(), at.emit("Cos", at.inputs[0]))]


@rule("Cos")
def differentiate_cos(at: Site) -> Sequence[str | None]:
    """Compute -g sin x."""
    return [at.emit("Neg", at.emit("Mul", at.gradient(), at.emit("Sin", at.inputs[0])))]


@rule("Tan")
def differentiate_tan(at: Site) -> Sequence[str | None]:
    """Compute g (1 + y^2)."""
    square = at.emit("Mul", at.outputs[0], at.outputs[0])
    return [at.emit("Mul", at.gradient(), at.emit("Add", square, at.scalar(1.0, at.inputs[0])))]


@rule("Sinh")
def differentiate_sinh(at: Site) -> Sequence[str | None]:
    """Compute g cosh x."""
    return [at.emit("Mul", at.gradient(), at.emit("Cosh", at.inputs[0]))]


@rule("Cosh")
def differentiate_cosh(at: Site) -> Sequence[str | None]:
    """Compute g sinh x."""
    return [at.emit("Mul", at.gradient(), at.emit("Sinh", at.inputs[0]))]


@rule("Tanh")
def differentiate_tanh(at: Site) -> Sequence[str | None]:
    """Compute g (1 - y^2)."""
    square = at.emit("Mul", at.outputs[0], at.outputs[0])
    return [at.emit("Mul", at.gradient(), at.emit("Sub", at.scalar(1.0, at.inputs[0]), square))]


@rule("Asin", "Acos")
def differentiate_arcsine(at: Site) -> Sequence[str | None]:
    """Compute g / sqrt(1 - x^2), with its sign turned for the arccosine."""
    one = at.scalar(1.0, at.inputs[0])
    square = at.emit("Mul", at.inputs[0], at.inputs[0])
    made = at.emit("Div", at.gradient(), at.emit("Sqrt", at.emit("Sub", one, square)))
    return [made if at.node.op_type == "Asin" else at.emit("Neg", made)]


@rule("Atan")
def differentiate_atan(at: Site) -> Sequence[str | None]:
    """Compute g / (1 + x^2)."""
    square = at.emit("Mul", at.inputs[0], at.inputs[0])
    return [at.emit("Div", at.gradient(), at.emit("Add", at.scalar(1.0, at.inputs[0]), square))]


@rule("Asinh", "Acosh")
def differentiate_area(at: Site) -> Sequence[str | None]:
    """Compute g / sqrt(x^2 + 1), or minus one for the area cosine."""
    one = at.scalar(1.0 if at.node.op_type == "Asinh" else -1.0, at.inputs[0])
    square = at.emit("Mul", at.inputs[0], at.inputs[0])
    return [at.emit("Div", at.gradient(), at.emit("Sqrt", at.emit("Add", square, one)))]


@rule("Atanh")
def differentiate_atanh(at: Site) -> Sequence[str | None]:
    """Compute g / (1 - x^2)."""
    square = at.emit("Mul", at.inputs[0], at.inputs[0])
    return [at.emit("Div", at.gradient(), at.emit("Sub", at.scalar(1.0, at.inputs[0]), square))]
