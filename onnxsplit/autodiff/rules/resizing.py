"""Rule of Resize.

Every mode is linear in the input, and works on one axis after another; so along each axis it is
a product with a matrix, which is what the operator makes of an identity.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule
from onnxsplit.errors import UnknownShapeError

_ROI, _SCALES, _SIZES = 1, 2, 3
_KEPT = (
    "antialias",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "mode",
    "nearest_mode",
)
"""Attributes that the matrices are made with. What lies outside does not depend on the input."""
_CROP = "tf_crop_and_resize"


def _find_lack(node: onnx.NodeProto) -> str | None:
    """Refuse sizes that are changed to keep the image's proportions."""
    for attribute in node.attribute:
        if attribute.name == "keep_aspect_ratio_policy" and attribute.s != b"stretch":
            return f"keep_aspect_ratio_policy {attribute.s.decode()}"
    return None


@rule("Resize", inputs=(0,), inert=(_ROI, _SCALES), find_lack=_find_lack)
def differentiate_resize(at: Site) -> Sequence[str | None]:
    """Multiply by the transposed matrix of every axis that is resized."""
    gradient = at.gradient()
    for axis in reversed(_list_resized(at)):
        gradient = _multiply(at, gradient, axis, _make_matrix(at, axis))
    return [gradient]


def _list_axes(at: Site) -> list[int]:
    """Return the axes that roi, scales and sizes speak of."""
    rank = at.rank(at.inputs[0])
    axes = at.attribute("axes")
    return [axis % rank for axis in axes] if axes is not None else list(range(rank))


def _list_resized(at: Site) -> list[int]:
    """Return the axes whose numbers change."""
    before, after = at.shape(at.inputs[0]), at.shape(at.outputs[0])
    crop = at.attribute("coordinate_transformation_mode") == _CROP
    scales = at.read_constant(at.inputs[_SCALES]) if at.has_input(_SCALES) else None
    known = scales if scales is not None and scales.size else None
    return [
        axis
        for place, axis in enumerate(_list_axes(at))
        if crop
        or (before[axis] is None and known is None)
        or before[axis] != after[axis]
        or (known is not None and known[place] != 1)
    ]


def _make_matrix(at: Site, axis: int) -> str:
    """Resize an identity along its last axis as the operator resizes an axis; (1, 1, in, out)."""
    size = at.shape(at.inputs[0])[axis]
    if not isinstance(size, int):
        raise UnknownShapeError(
            f"The gradient of {at.node.name!r} needs the size of axis {axis} of {at.inputs[0]!r},"
            " which is no number; fix the model's input shapes with --shape or --dim."
        )
    place = _list_axes(at).index(axis)
    attributes = {name: at.attribute(name) for name in _KEPT}
    identity = at.store(np.eye(size)[None, None], at.inputs[0])
    roi = scales = sizes = ""
    if attributes["coordinate_transformation_mode"] == _CROP:
        roi = _pick_roi(at, place)
    if at.has_input(_SIZES):
        ahead = at.integers([1, 1, size])
        sizes = at.emit("Concat", ahead, _pick(at, at.inputs[_SIZES], place), axis=0)
    else:
        ahead = at.store(np.ones(3), at.inputs[_SCALES])
        scales = at.emit("Concat", ahead, _pick(at, at.inputs[_SCALES], place), axis=0)
    return at.emit("Resize", identity, roi, scales, sizes, **attributes)


def _pick(at: Site, value: str, place: int) -> str:
    """Take one element, as a vector."""
    return at.emit("Slice", value, at.integers([place]), at.integers([place + 1]))


def _pick_roi(at: Site, place: int) -> str:
    """Return the region of interest of the identity: the whole, but along its last axis."""
    roi, count = at.inputs[_ROI], len(_list_axes(at))
    start, end = _pick(at, roi, place), _pick(at, roi, count + place)
    none, whole = at.store(np.zeros(3), roi), at.store(np.ones(3), roi)
    return at.emit("Concat", none, start, whole, end, axis=0)


def _multiply(at: Site, gradient: str, axis: int, matrix: str) -> str:
    """Multiply along an axis by a transposed matrix."""
    rank = at.rank(at.inputs[0])
    flat = at.emit("Squeeze", matrix, at.integers([0, 1]))
    if axis == rank - 2:
        return at.emit("MatMul", flat, gradient)
    turned = at.emit("Transpose", flat, perm=[1, 0])
    if axis == rank - 1:
        return at.emit("MatMul", gradient, turned)
    perm = [*range(axis), *range(axis + 1, rank), axis]
    moved = at.emit("MatMul", at.emit("Transpose", gradient, perm=perm), turned)
    back = [perm.index(place) for place in range(rank)]
    return at.emit("Transpose", moved, perm=back)
