"""Rules of Conv and ConvTranspose, each the other's gradient with respect to its input."""

import math
from collections.abc import Sequence
from dataclasses import replace

from onnxsplit.autodiff.depthwise import has_few_pairs, spread_pairs
from onnxsplit.autodiff.kernels import correlate
from onnxsplit.autodiff.patches import trail_channels
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule
from onnxsplit.autodiff.windows import Windows, read_numbers, read_sizes, read_windows

_PLANE = 2
_TURNED_PLACES = 256
"""Places of windows up to which convolving with the turned kernel is faster than transposed."""
_COLUMN_PLACES = 49
"""Places up to which one product for the whole batch is, though all windows lie in memory then."""


@rule("Conv", inputs=(0, 1, 2))
def differentiate_conv(at: Site) -> Sequence[str | None]:
    """Spread the gradient by the kernel; correlate it with the image; sum it for the bias."""
    image, weight = at.inputs[:2]
    kernel = read_sizes(at, weight)
    windows = read_windows(at, image=image, places=at.outputs[0], kernel=kernel)
    gradient = at.gradient()
    given = [
        _spread(at, gradient, windows) if at.wants(0) else None,
        correlate(at, image=image, places=gradient, windows=windows, weight=weight)
        if at.wants(1)
        else None,
        _sum_places(at, gradient) if at.wants(2) else None,
    ]
    return given[: len(at.inputs)]


def _spread(at: Site, gradient: str, windows: Windows) -> str:
    """Return the gradient of a convolution's image."""
    weight, group = at.inputs[1], at.attribute("group", 1)
    if group == 1 and windows.is_pointwise:
        return at.emit("Conv", gradient, _swap_channels(at, weight))
    if group == 1 and _has_few_places(windows):
        return _add_columns(at, gradient, windows)
    if _is_depthwise(at) and has_few_pairs(windows):
        return spread_pairs(at, gradient, windows)
    if group == 1 and _can_turn(windows):
        return _convolve_turned(at, gradient, windows)
    return at.emit(
        "ConvTranspose",
        gradient,
        weight,
        strides=windows.strides,
        dilations=windows.dilations,
        pads=[*windows.before, *windows.after],
        output_padding=windows.surplus if any(windows.surplus) else None,
        group=group,
    )


def _is_depthwise(at: Site) -> bool:
    """Tell whether every channel has one kernel of its own."""
    kernels, channels = at.shape(at.inputs[1])[:2]
    return channels == 1 and kernels == at.attribute("group", 1)


def _has_few_places(windows: Windows) -> bool:
    """Tell whether all windows of a batch may lie in memory, apart from each other."""
    # onnxruntime adds up wrong places where there is one axis and a stride.
    return len(windows.counts) == _PLANE and math.prod(windows.counts) <= _COLUMN_PLACES


def _add_columns(at: Site, gradient: str, windows: Windows) -> str:
    """Multiply the places of the whole batch by the kernel, and add up what falls on one place."""
    kernels, channels = read_numbers(at, at.inputs[1])[:2]
    places, width = math.prod(windows.counts), channels * math.prod(windows.kernel)
    rows = at.emit("Reshape", trail_channels(at, gradient, windows), at.integers([-1, kernels]))
    weight = at.emit("Reshape", at.inputs[1], at.integers([kernels, width]))
    seen = at.emit("Reshape", at.emit("MatMul", rows, weight), at.integers([-1, places, width]))
    return at.emit(
        "Col2Im",
        at.emit("Transpose", seen, perm=[0, 2, 1]),
        at.integers(windows.sizes),
        at.integers(windows.kernel),
        strides=windows.strides,
        dilations=windows.dilations,
        pads=[*windows.before, *windows.after],
    )


def _can_turn(windows: Windows) -> bool:
    """Tell whether a convolution with the turned kernel is possible, and faster."""
    places = math.prod(windows.counts)
    ends = [*zip(windows.before, windows.extents, strict=True)]
    ends += zip(windows.after, windows.extents, strict=True)
    fits = all(pad < extent for pad, extent in ends)
    # Turning the kernel costs; many places are spread as fast.
    return fits and set(windows.strides) == {1} and places <= _TURNED_PLACES


def _convolve_turned(at: Site, gradient: str, windows: Windows) -> str:
    """Convolve the gradient with the kernel turned in space, its channels swapped."""
    rank = len(windows.kernel)
    last, axes = at.integers([-1] * rank), at.integers(range(2, 2 + rank))
    before_first = at.integers([-size - 1 for size in windows.kernel])
    turned = at.emit("Slice", at.inputs[1], last, before_first, axes, last)
    ends = (windows.before, windows.after)
    pads = [e - 1 - pad for end in ends for e, pad in zip(windows.extents, end, strict=True)]
    return at.emit(
        "Conv", gradient, _swap_channels(at, turned), dilations=windows.dilations, pads=pads
    )


def _swap_channels(at: Site, weight: str) -> str:
    """Swap the first two axes of a kernel."""
    return at.emit("Transpose", weight, perm=[1, 0, *range(2, at.rank(at.inputs[1]))])


def _sum_places(at: Site, gradient: str) -> str:
    """Return the gradient of a bias."""
    axes = at.integers([0, *range(2, at.rank(at.outputs[0]))])
    return at.emit("ReduceSum", gradient, axes, keepdims=0)


@rule("ConvTranspose", inputs=(0, 1, 2))
def differentiate_conv_transpose(at: Site) -> Sequence[str | None]:
    """Convolve the gradient; correlate it with the input; sum it for the bias."""
    places, weight = at.inputs[:2]
    windows = _read_spread(at)
    gradient = at.gradient()
    given = [
        _gather(at, gradient, windows) if at.wants(0) else None,
        correlate(at, image=gradient, places=places, windows=windows, weight=weight)
        if at.wants(1)
        else None,
        _sum_places(at, gradient) if at.wants(2) else None,
    ]
    return given[: len(at.inputs)]


def _read_spread(at: Site) -> Windows:
    """Read the windows of a transposed convolution, which slide over its output.

    They are those of the convolution that it transposes, but for padding that may be implied.
    """
    kernel = read_sizes(at, at.inputs[1])
    given = read_windows(at, image=at.outputs[0], places=at.inputs[0], kernel=kernel)
    mode = at.attribute("auto_pad", "NOTSET")
    if at.attribute("output_shape") is None and not mode.startswith("SAME"):
        return given
    added = at.attribute("output_padding") or [0] * len(kernel)
    totals = [
        max(0, covered + extra - size)
        for covered, extra, size in zip(given.covered, added, given.sizes, strict=True)
    ]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    before, after = (small, large) if mode == "SAME_UPPER" else (large, small)
    return replace(given, before=tuple(before), after=tuple(after))


def _gather(at: Site, gradient: str, windows: Windows) -> str:
    """Return the gradient of a transposed convolution's input."""
    found = at.emit(
        "Conv",
        gradient,
        at.inputs[1],
        strides=windows.strides,
        dilations=windows.dilations,
        pads=[*windows.before, *windows.after],
        group=at.attribute("group", 1),
    )
    if all(extra < stride for extra, stride in zip(windows.surplus, windows.strides, strict=True)):
        return found
    # Padding of the output as wide as a stride makes room for windows that were none.
    starts, ends = [0] * len(windows.counts), list(windows.counts)
    axes = at.integers(range(2, 2 + len(ends)))
    return at.emit("Slice", found, at.integers(starts), at.integers(ends), axes)
