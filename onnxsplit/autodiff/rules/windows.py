"""Rules of Slice and Pad, which undo each other."""

from collections.abc import Sequence

import numpy as np

from onnxsplit.autodiff.scattering import scatter_back
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule
from onnxsplit.graph import Dim

_AXES, _STEPS = 3, 4


@rule("Slice")
def differentiate_slice(at: Site) -> Sequence[str | None]:
    """Pad the gradient with zeros; what can't be known before it runs is scattered instead."""
    windows = _read_windows(at)
    if windows is None:
        rest = list(at.inputs[1:])
        return [scatter_back(at, at.gradient(), lambda places: at.emit("Slice", places, *rest))]
    gradient, shape = at.gradient(), at.shape(at.inputs[0])
    dims = list(at.shape(at.outputs[0]))
    before, after, beyond = ([0] * len(shape) for _ in range(3))
    for axis, window in windows.items():
        gradient = _spread(at, gradient, dims, axis, window)
        before[axis] = window.start
        left = int(shape[axis] or 0) - window.start - len(window) * window.step
        # With a step the last element brings zeros along that may lie beyond the end.
        after[axis], beyond[axis] = max(0, left), min(0, left)
    gradient = _cut_off(at, gradient, beyond)
    pads = [*before, *after]
    return [at.emit("Pad", gradient, at.integers(pads)) if any(pads) else gradient]


def _cut_off(at: Site, gradient: str, beyond: Sequence[int]) -> str:
    """Drop the last elements along some axes; the counts are negative."""
    axes = [axis for axis, count in enumerate(beyond) if count]
    if not axes:
        return gradient
    starts, ends = at.integers([0] * len(axes)), at.integers([beyond[axis] for axis in axes])
    return at.emit("Slice", gradient, starts, ends, at.integers(axes))


def _read_windows(at: Site) -> dict[int, range] | None:
    """Return the places that are read along each axis, if they are known and run upwards."""
    starts, ends = at.read_constant(at.inputs[1]), at.read_constant(at.inputs[2])
    if starts is None or ends is None:
        return None
    axes = at.read_constant(at.inputs[_AXES]) if at.has_input(_AXES) else np.arange(starts.size)
    steps = at.read_constant(at.inputs[_STEPS]) if at.has_input(_STEPS) else np.ones_like(starts)
    if axes is None or steps is None:
        return None
    shape = at.shape(at.inputs[0])
    windows: dict[int, range] = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = shape[int(axis)]
        if not isinstance(size, int) or step < 1:
            return None
        window = range(*slice(int(start), int(end), int(step)).indices(size))
        if not window:
            return None
        windows[int(axis) % len(shape)] = window
    unknown = sum(not isinstance(dim, int) for dim in at.shape(at.outputs[0]))
    spread = any(window.step > 1 for window in windows.values())
    return None if spread and unknown > 1 else windows


def _spread(at: Site, gradient: str, dims: list[Dim], axis: int, window: range) -> str:
    """Put zeros between the elements along an axis that was read in steps; change its dim too."""
    if window.step == 1:
        return gradient
    wider = at.emit("Unsqueeze", gradient, at.integers([axis + 1]))
    pads = [0] * (2 * len(dims) + 2)
    pads[len(dims) + 1 + axis + 1] = window.step - 1
    padded = at.emit("Pad", wider, at.integers(pads))
    dims[axis] = len(window) * window.step
    sizes = [dim if isinstance(dim, int) else -1 for dim in dims]
    return at.emit("Reshape", padded, at.integers(sizes))


@rule("Pad", inputs=(0,))
def differentiate_pad(at: Site) -> Sequence[str | None]:
    """Cut the padding off, and give zeros for what was cropped; add mirrored parts up."""
    mode = at.attribute("mode", "constant")
    rest = list(at.inputs[1:])
    if mode != "constant":
        # The value, if any is given, has another type than the places, and no say in these modes.
        rest = [name if place != 1 else "" for place, name in enumerate(rest)]
        return [
            scatter_back(at, at.gradient(), lambda places: at.emit("Pad", places, *rest, mode=mode))
        ]
    every = list(range(at.rank(at.inputs[0])))
    axes = at.inputs[_AXES] if at.has_input(_AXES) else at.integers(every)
    return [_crop(at, at.inputs[1], axes)]


def _crop(at: Site, pads: str, axes: str) -> str:
    """Undo a padding that may be negative on some sides."""
    known = at.read_constant(pads)
    if known is None:
        return _crop_at_run_time(at, pads, axes)
    before, after = np.split(np.maximum(known, 0), 2)
    # An end counted from the back can't be zero.
    ends = np.where(after > 0, -after, np.iinfo(np.int64).max)
    gradient = at.gradient()
    if (known > 0).any():
        gradient = at.emit(
            "Slice", gradient, at.integers(before.tolist()), at.integers(ends.tolist()), axes
        )
    lost = np.maximum(-known, 0)
    return (
        at.emit("Pad", gradient, at.integers(lost.tolist()), "", axes) if lost.any() else gradient
    )


def _crop_at_run_time(at: Site, pads: str, axes: str) -> str:
    """Undo a padding whose sizes are computed."""
    zero = at.integers(0)
    grown = at.emit("Max", pads, zero)
    before, after = at.emit_many("Split", [grown], 2, axis=0, num_outputs=2)
    sizes = at.emit("Gather", at.emit("Shape", at.gradient()), axes)
    gradient = at.emit("Slice", at.gradient(), before, at.emit("Sub", sizes, after), axes)
    lost = at.emit("Max", at.emit("Neg", pads), zero)
    return at.emit("Pad", gradient, lost, "", axes)
