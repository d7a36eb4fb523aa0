"""Cases of poolings."""

from typing import Any

import numpy as np

from tests.gradients.cases import GradientCase, draw

_POOLINGS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "one axis": ((2, 2, 7), {"kernel_shape": [3], "strides": [2]}),
    "side by side": ((2, 2, 4, 6), {"kernel_shape": [2, 3], "strides": [2, 3]}),
    "with gaps": ((2, 2, 7, 7), {"kernel_shape": [2, 2], "strides": [3, 3]}),
    "overlapping": ((2, 2, 6, 5), {"kernel_shape": [3, 3], "strides": [2, 1]}),
    "padded": (
        (2, 2, 6, 5),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 2]},
    ),
    "ceil mode": ((2, 2, 6, 7), {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    "ceil mode, padded": (
        (2, 2, 6, 7),
        {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    ),
    "ceil mode whose last window would begin behind the image": (
        (1, 2, 4, 4),
        {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1, "pads": [0, 0, 1, 1]},
    ),
    "dilated": ((1, 2, 7, 6), {"kernel_shape": [3, 2], "dilations": [2, 3]}),
    "same, upper": (
        (2, 2, 5, 6),
        {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "same, lower": (
        (2, 2, 5, 6),
        {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    "valid": ((2, 2, 5, 6), {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "VALID"}),
    "three axes": ((1, 2, 3, 4, 3), {"kernel_shape": [2, 2, 2], "strides": [1, 2, 1]}),
}

_FURTHER: dict[str, list[dict[str, Any]]] = {
    "MaxPool": [{}],
    "AveragePool": [{}, {"count_include_pad": 1}],
    "LpPool": [{}, {"p": 1}, {"p": 3}],
}


def _list_windowed() -> list[GradientCase]:
    """Return poolings with windows; norms of other powers on some only."""
    return [
        GradientCase(
            op_type=op_type,
            name=", ".join([name, *(f"{key} {value}" for key, value in more.items())]),
            inputs={"x": draw(*shape, seed=1)},
            attributes={**attributes, **more},
            opset=19 if op_type == "AveragePool" else 18,
            batched=["x"],
        )
        for op_type, variants in _FURTHER.items()
        for more in variants
        for name, (shape, attributes) in _POOLINGS.items()
        if "p" not in more or name in {"overlapping", "padded"}
    ]


def _list_ties() -> list[GradientCase]:
    """Return a case of a maximum with zeros around, as Relu leaves them."""
    return [
        GradientCase(
            op_type=op_type,
            name="of zeros",
            inputs={"x": np.zeros((1, 2, 4, 4))},
            attributes=attributes,
            batched=["x"],
        )
        for op_type, attributes in {"LpPool": {"kernel_shape": [2, 2]}, "GlobalLpPool": {}}.items()
    ]


def _list_global() -> list[GradientCase]:
    """Return poolings over all places; nothing must be known of their input but the rank."""
    return [
        GradientCase(
            op_type=op_type,
            name=", ".join([f"{len(shape) - 2} axes", *(f"p {p}" for p in attributes.values())]),
            inputs={"x": draw(*shape, seed=1)},
            attributes=attributes,
        )
        for op_type, attributes in [
            ("GlobalAveragePool", {}),
            ("GlobalMaxPool", {}),
            ("GlobalLpPool", {}),
            ("GlobalLpPool", {"p": 1}),
            ("GlobalLpPool", {"p": 3}),
        ]
        for shape in ((2, 3, 5), (2, 3, 4, 3))
    ]


CASES = [*_list_windowed(), *_list_global()]
