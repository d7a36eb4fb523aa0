"""Cases of convolutions."""

from typing import Any

from tests.gradients.cases import GradientCase, draw

_CONV: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "one axis": ((2, 3, 7), (4, 3, 3), {"pads": [1, 1]}),
    "one axis, strided and dilated": ((2, 2, 9), (5, 2, 2), {"strides": [2], "dilations": [3]}),
    "plain": ((2, 5, 4, 5), (3, 5, 3, 2), {}),
    "padded unevenly": ((2, 5, 4, 5), (2, 5, 3, 3), {"pads": [2, 0, 1, 1]}),
    "more padding than the kernel needs": ((1, 5, 3, 3), (2, 5, 2, 2), {"pads": [2, 3, 2, 2]}),
    "strides that leave a rest": ((2, 5, 6, 7), (2, 5, 3, 3), {"strides": [2, 3]}),
    "dilated": ((1, 5, 7, 6), (2, 5, 3, 2), {"dilations": [2, 3], "pads": [1, 1, 2, 2]}),
    "strides and dilation": (
        (1, 5, 9, 8),
        (2, 5, 2, 3),
        {"dilations": [3, 2], "strides": [2, 3], "pads": [1, 0, 2, 1]},
    ),
    "few channels": ((2, 3, 7, 6), (4, 3, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "few channels, dilated": ((2, 2, 9, 8), (3, 2, 3, 2), {"dilations": [2, 2]}),
    "few channels, strided with a rest": ((2, 2, 8, 8), (3, 2, 3, 3), {"strides": [4, 3]}),
    "many places": ((1, 5, 9, 9), (2, 5, 2, 2), {"pads": [0, 1, 1, 0]}),
    "places beyond those that turning pays for": ((1, 1, 17, 17), (1, 1, 2, 2), {}),
    "one by one": ((2, 5, 3, 4), (3, 5, 1, 1), {}),
    "one by one, strided": ((2, 5, 5, 4), (3, 5, 1, 1), {"strides": [2, 2]}),
    "one by one, padded": ((2, 5, 3, 3), (3, 5, 1, 1), {"pads": [1, 0, 0, 1]}),
    "one by one in groups": ((2, 4, 3, 3), (6, 2, 1, 1), {"group": 2}),
    "groups": ((2, 4, 4, 5), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "groups, strided": ((2, 6, 5, 5), (3, 2, 3, 2), {"group": 3, "strides": [2, 2]}),
    "depthwise": ((2, 4, 5, 5), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "depthwise, strided and dilated": (
        (2, 3, 8, 9),
        (3, 1, 3, 2),
        {"group": 3, "strides": [2, 3], "dilations": [2, 2], "pads": [1, 2, 0, 1]},
    ),
    "depthwise, wide": ((1, 2, 3, 29), (2, 1, 2, 2), {"group": 2, "pads": [0, 1, 1, 0]}),
    "depthwise, wide and strided": ((1, 2, 4, 40), (2, 1, 2, 3), {"group": 2, "strides": [2, 3]}),
    "depthwise with several kernels each": ((2, 3, 4, 4), (6, 1, 3, 3), {"group": 3}),
    "depthwise on one axis": ((2, 3, 6), (3, 1, 3), {"group": 3, "pads": [1, 1]}),
    "same, upper": ((2, 5, 5, 6), (2, 5, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same, lower": ((2, 5, 5, 6), (2, 5, 2, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 1]}),
    "valid": ((2, 5, 5, 6), (2, 5, 3, 2), {"auto_pad": "VALID", "strides": [2, 2]}),
    "three axes": ((1, 5, 3, 4, 3), (2, 5, 2, 2, 3), {"pads": [1, 0, 0, 0, 1, 1]}),
    "three axes in groups": (
        (1, 4, 4, 3, 4),
        (2, 2, 2, 2, 2),
        {"group": 2, "strides": [2, 1, 3]},
    ),
    "three axes, depthwise": (
        (1, 2, 3, 3, 4),
        (2, 1, 2, 3, 2),
        {"group": 2, "dilations": [2, 1, 1]},
    ),
}


def _list_convolutions() -> list[GradientCase]:
    """Return convolutions, every second one with a bias."""
    return [
        GradientCase(
            op_type="Conv",
            name=name,
            inputs={
                "x": draw(*image, seed=1),
                "w": draw(*weight, seed=2),
                **({"b": draw(weight[0], seed=3)} if place % 2 == 0 else {}),
            },
            attributes=attributes,
            batched=["x"],
        )
        for place, (name, (image, weight, attributes)) in enumerate(_CONV.items())
    ]


_REFUSED = {"dilated, with padding of the output"}
"""Transposed convolutions that onnxruntime does not compute: padding as wide as the stride."""

_TRANSPOSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "one axis": ((2, 5, 4), (5, 2, 3), {"strides": [2]}),
    "plain": ((2, 5, 3, 4), (5, 2, 3, 2), {}),
    "doubling": ((2, 5, 3, 3), (5, 2, 2, 2), {"strides": [2, 2]}),
    "padded": ((2, 5, 3, 4), (5, 2, 3, 3), {"strides": [2, 1], "pads": [1, 0, 1, 2]}),
    "with padding of the output": (
        (2, 5, 3, 3),
        (5, 2, 3, 3),
        {"strides": [2, 3], "output_padding": [1, 2], "pads": [1, 1, 1, 1]},
    ),
    "dilated": ((1, 5, 3, 3), (5, 2, 3, 2), {"dilations": [2, 3], "strides": [1, 2]}),
    "dilated, with padding of the output": (
        (1, 5, 3, 3),
        (5, 2, 2, 2),
        {"dilations": [3, 3], "output_padding": [2, 1]},
    ),
    "groups": ((2, 4, 3, 3), (4, 3, 2, 3), {"group": 2, "strides": [2, 2]}),
    "depthwise": ((2, 3, 3, 4), (3, 1, 3, 3), {"group": 3, "strides": [2, 2], "pads": [1] * 4}),
    "one by one": ((2, 5, 3, 3), (5, 2, 1, 1), {}),
    "few channels": ((2, 4, 3, 3), (4, 2, 3, 3), {"strides": [2, 2]}),
    "of a given shape": ((2, 5, 3, 3), (5, 2, 3, 3), {"strides": [2, 2], "output_shape": [6, 5]}),
    "same, upper": ((2, 5, 3, 3), (5, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same, lower": ((2, 5, 3, 3), (5, 2, 3, 4), {"strides": [2, 1], "auto_pad": "SAME_LOWER"}),
    "three axes": ((1, 3, 2, 2, 3), (3, 2, 2, 2, 2), {"strides": [2, 1, 2]}),
}


def _list_transposed() -> list[GradientCase]:
    """Return transposed convolutions, every second one with a bias."""
    return [
        GradientCase(
            op_type="ConvTranspose",
            name=name,
            inputs={
                "x": draw(*image, seed=1),
                "w": draw(*weight, seed=2),
                **(
                    {"b": draw(weight[1] * attributes.get("group", 1), seed=3)}
                    if place % 2 == 0
                    else {}
                ),
            },
            attributes=attributes,
            batched=["x"],
            runs_on_onnxruntime=name not in _REFUSED,
        )
        for place, (name, (image, weight, attributes)) in enumerate(_TRANSPOSED.items())
    ]


CASES = [*_list_convolutions(), *_list_transposed()]
