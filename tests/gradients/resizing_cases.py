"""Cases of Resize."""

from typing import Any

import numpy as np

from tests.gradients.cases import Array, GradientCase, draw

_HALF = "half_pixel"


def _resize(
    name: str,
    shape: tuple[int, ...],
    *,
    scales: list[float] | None = None,
    sizes: list[int] | None = None,
    roi: list[float] | None = None,
    **attributes: Any,  # noqa: ANN401 - as ONNX has them
) -> GradientCase:
    """Return a case; scales, sizes and the region are constants."""
    given: dict[str, Array | None] = {
        "x": draw(*shape, seed=1),
        "roi": None if roi is None else np.asarray(roi, np.float32),
        "scales": None if scales is None else np.asarray(scales, np.float32),
        "sizes": None if sizes is None else np.asarray(sizes, np.int64),
    }
    return GradientCase(
        op_type="Resize",
        name=name,
        inputs=given,
        attributes=attributes,
        constants=[key for key, value in given.items() if key != "x" and value is not None],
        trained=["x"],
        batched=["x"],
    )


CASES = [
    _resize("nearest, doubled", (2, 2, 3, 2), scales=[1, 1, 2, 2], mode="nearest"),
    _resize(
        "nearest, asymmetric and floored",
        (2, 2, 3, 4),
        scales=[1, 1, 1.5, 0.6],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    _resize("nearest, to a size", (2, 2, 3, 4), sizes=[5, 3], axes=[2, 3], mode="nearest"),
    _resize("linear, doubled", (2, 2, 3, 4), scales=[1, 1, 2, 2], mode="linear"),
    _resize(
        "linear, corners aligned",
        (2, 2, 3, 4),
        sizes=[5, 7],
        axes=[2, 3],
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    _resize(
        "linear, along one axis",
        (2, 2, 3, 4),
        scales=[1, 1, 1, 1.7],
        mode="linear",
        coordinate_transformation_mode="pytorch_half_pixel",
    ),
    _resize("linear, smaller", (1, 2, 6, 5), scales=[1, 1, 0.5, 0.6], mode="linear"),
    _resize("cubic", (1, 2, 4, 5), scales=[1, 1, 2, 1.5], mode="cubic"),
    _resize(
        "cubic, nothing outside",
        (1, 2, 5, 4),
        scales=[1, 1, 1.5, 2],
        mode="cubic",
        exclude_outside=1,
        cubic_coeff_a=-0.5,
    ),
    _resize("of named axes", (2, 2, 3, 4), scales=[2, 1.5], mode="linear", axes=[2, 3]),
]
