"""Cases of operators that compute element by element."""

import numpy as np

from tests.gradients.cases import Array, GradientCase, draw

_SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "same shapes": ((2, 3), (2, 3)),
    "a vector on the right": ((2, 3), (3,)),
    "a scalar on the left": ((), (2, 3)),
    "both sides stretched": ((2, 1, 3), (4, 1)),
    "sizes of one kept": ((1, 3), (1, 1)),
}


def _list_binary() -> list[GradientCase]:
    """Return the broadcasting of operators with two inputs."""
    return [
        GradientCase(
            op_type=op_type,
            name=name,
            inputs={
                "a": draw(*left, seed=1, low=lowest),
                "b": draw(*right, seed=2, low=max(lowest, 0.5 if op_type == "Div" else lowest)),
            },
        )
        for op_type, lowest in {
            **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean"), -2.0),
            "Pow": 0.3,
        }.items()
        for name, (left, right) in _SHAPES.items()
    ]


_UNARY: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("Abs", "Neg", "Exp", "Identity", "Erf", "Reciprocal"), (-2.0, 2.0)),
    **dict.fromkeys(("Sin", "Cos", "Sinh", "Cosh", "Tanh", "Atan", "Asinh"), (-2.0, 2.0)),
    **dict.fromkeys(("Sqrt", "Log"), (0.2, 3.0)),
    **dict.fromkeys(("Asin", "Acos", "Atanh", "Tan"), (-0.9, 0.9)),
    "Acosh": (1.1, 3.0),
    **dict.fromkeys(("Relu", "LeakyRelu", "Elu", "Celu", "Selu"), (-2.0, 2.0)),
    **dict.fromkeys(("Softplus", "Softsign", "Sigmoid", "Mish"), (-2.0, 2.0)),
    **dict.fromkeys(("ThresholdedRelu",), (-2.0, 2.0)),
    **dict.fromkeys(("HardSigmoid", "HardSwish"), (-5.0, 5.0)),
}

_NOT_FOR_SCALARS = {"Reciprocal", "Softsign"}
"""Operators that onnx's evaluator can't compute without dims."""


def _list_unary() -> list[GradientCase]:
    """Return operators of one input, on a shape of two dims and on a scalar."""
    return [
        GradientCase(
            op_type=op_type,
            name=f"{len(shape)} dims",
            inputs={"x": draw(*shape, low=low, high=high)},
        )
        for op_type, (low, high) in _UNARY.items()
        for shape in ((3, 7), ())
        if shape or op_type not in _NOT_FOR_SCALARS
    ]


def _list_attributes() -> list[GradientCase]:
    """Return what attributes and optional inputs change."""
    x = draw(3, 7, seed=5, low=-4.0, high=4.0)
    low, high = np.asarray(-1.5), np.asarray(1.25)
    unary: list[tuple[str, str, dict[str, float | str], int]] = [
        ("LeakyRelu", "another slope", {"alpha": 0.3}, 18),
        ("Elu", "another alpha", {"alpha": 1.7}, 18),
        ("Celu", "another alpha", {"alpha": 0.6}, 18),
        ("Selu", "other numbers", {"alpha": 1.2, "gamma": 0.7}, 18),
        ("ThresholdedRelu", "another threshold", {"alpha": -0.5}, 18),
        ("HardSigmoid", "other numbers", {"alpha": 0.35, "beta": 0.4}, 18),
        ("Gelu", "exact", {}, 20),
        ("Gelu", "by tanh", {"approximate": "tanh"}, 20),
        ("Swish", "plain", {}, 24),
        ("Swish", "another alpha", {"alpha": 1.7}, 24),
    ]
    cases = [
        GradientCase(
            op_type=op_type,
            name=name,
            inputs={"x": x},
            attributes=attributes,
            opset=opset,
        )
        for op_type, name, attributes, opset in unary
    ]
    bounds: dict[str, dict[str, Array | None]] = {
        "both bounds": {"low": low, "high": high},
        "no bounds": {},
        "only a lower bound": {"low": low},
        "only an upper bound": {"low": None, "high": high},
    }
    cases += [
        GradientCase(op_type="Clip", name=name, inputs={"x": x, **given}, trained=["x"])
        for name, given in bounds.items()
    ]
    return cases


def _list_others() -> list[GradientCase]:
    """Return operators with inputs of other kinds."""
    rng = np.random.default_rng(3)
    three = {"a": draw(2, 3, seed=1), "b": draw(3, seed=2), "c": draw(2, 1, seed=3)}
    chosen = rng.random((2, 1, 3)) < 0.5
    power = {name: np.asarray(value) for name, value in (("2", 2.0), ("3", 3.0), ("-1.5", -1.5))}
    return [
        *(GradientCase(op_type=o, name="three inputs", inputs=three) for o in ("Sum", "Mean")),
        *(GradientCase(op_type=o, name="three inputs", inputs=three) for o in ("Max", "Min")),
        *(GradientCase(op_type=o, name="one", inputs={"a": three["a"]}) for o in ("Max", "Sum")),
        *(
            GradientCase(
                op_type="Pow",
                name=f"to the constant power {name}",
                inputs={"a": draw(2, 3, low=0.3), "b": value},
                constants=["b"],
                trained=["a"],
            )
            for name, value in power.items()
        ),
        GradientCase(
            op_type="Pow",
            name="negative bases to whole powers of another type",
            inputs={"a": draw(2, 3), "b": np.asarray([0, 1, 3])},
        ),
        GradientCase(
            op_type="Where",
            name="all three stretched",
            inputs={"which": chosen, "a": draw(4, 1, seed=1), "b": draw(3, seed=2)},
        ),
        GradientCase(
            op_type="PRelu", name="a slope each", inputs={"x": draw(2, 3), "s": draw(2, 3, seed=1)}
        ),
        GradientCase(
            op_type="PRelu",
            name="a slope for each channel",
            inputs={"x": draw(2, 3, 4), "s": draw(3, 1, seed=1)},
        ),
        GradientCase(
            op_type="Mod",
            name="of floats",
            inputs={"a": draw(2, 3), "b": np.asarray(0.7)},
            attributes={"fmod": 1},
            trained=["a"],
        ),
        GradientCase(
            op_type="Cast", name="to double", inputs={"x": draw(2, 3)}, attributes={"to": 11}
        ),
        GradientCase(
            op_type="CastLike",
            name="to the same type",
            inputs={"x": draw(2, 3), "like": draw(1)},
            trained=["x"],
        ),
    ]


CASES = [*_list_binary(), *_list_unary(), *_list_attributes(), *_list_others()]
