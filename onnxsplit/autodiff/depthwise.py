"""Gradients of depthwise kernels, of which every channel has one of its own."""

import math

import numpy as np

from onnxsplit.autodiff.patches import lead_channels, pad_image, shift_image, trail_channels
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.windows import Windows

_FEW_PAIRS = 2500
"""Pairs of a place and one of the image up to which products with all pairs are used."""
_WIDE = 12
"""Columns of the image per column of the kernel, above which few products of columns are used."""


def correlate_channels(at: Site, image: str, places: str, windows: Windows) -> str:
    """Correlate every channel of an image with the same channel of the places.

    Parameters
    ----------
    at : Site
    image, places : str
        Of as many channels.
    windows : Windows

    Returns
    -------
    str
        Of as many elements as the kernels, in their order.
    """
    if has_few_pairs(windows):
        return _multiply_pairs(at, image, places, windows)
    if windows.sizes[-1] <= _WIDE * windows.kernel[-1]:
        return _multiply_columns(at, image, places, windows)
    return _multiply_offsets(at, image, places, windows)


def has_few_pairs(windows: Windows) -> bool:
    """Tell whether a matrix over all places and the whole image is small."""
    return math.prod(windows.counts) * math.prod(windows.sizes) <= _FEW_PAIRS


def spread_pairs(at: Site, places: str, windows: Windows) -> str:
    """Return the gradient of a depthwise convolution's image, of which there are few places.

    Each channel's kernel is written as a matrix over all places and the whole image.
    """
    count, size = math.prod(windows.counts), math.prod(windows.sizes)
    offsets = math.prod(windows.kernel)
    weight = at.emit("Reshape", at.inputs[1], at.integers([-1, offsets]))
    pairs = _pair_places(windows).reshape(offsets, count * size)
    matrices = at.emit("MatMul", weight, at.store(pairs, at.inputs[1]))
    matrices = at.emit("Reshape", matrices, at.integers([-1, count, size]))
    rows = at.emit("Reshape", lead_channels(at, places, windows), at.integers([0, -1, count]))
    spread = at.emit("Transpose", at.emit("MatMul", rows, matrices), perm=[1, 0, 2])
    return at.take_shape(spread, at.inputs[0])


def _multiply_pairs(at: Site, image: str, places: str, windows: Windows) -> str:
    """Multiply each place with all of the image, and sum pairs of equal distance."""
    count, size = math.prod(windows.counts), math.prod(windows.sizes)
    seen = at.emit("Reshape", lead_channels(at, image, windows), at.integers([0, -1, size]))
    rows = at.emit("Reshape", lead_channels(at, places, windows), at.integers([0, -1, count]))
    product = at.emit("MatMul", at.emit("Transpose", rows, perm=[0, 2, 1]), seen)
    flat = at.emit("Reshape", product, at.integers([0, count * size]))
    pairs = _pair_places(windows).reshape(-1, count * size).T
    return at.emit("MatMul", flat, at.store(pairs, at.inputs[1]))


def _pair_places(windows: Windows) -> np.ndarray:
    """Tell by a one, (offsets, places, image), which of the image a place reads at an offset."""
    pairs = np.ones((1, 1, 1))
    for axis in windows.axes:
        pairs = np.kron(pairs, _pair_along(windows, axis))
    return pairs


def _pair_along(windows: Windows, axis: int) -> np.ndarray:
    """Tell the same along one axis."""
    size, count, kernel = windows.sizes[axis], windows.counts[axis], windows.kernel[axis]
    pairs = np.zeros((kernel, count, size))
    for step, place in np.ndindex(kernel, count):
        at = place * windows.strides[axis] + step * windows.dilations[axis] - windows.before[axis]
        if 0 <= at < size:
            pairs[step, place, at] = 1
    return pairs


def _multiply_offsets(at: Site, image: str, places: str, windows: Windows) -> str:
    """Multiply and sum once for every offset of the kernel, with channels last."""
    trailing = pad_image(at, trail_channels(at, image, windows), windows, first=1)
    numbers = trail_channels(at, places, windows)
    summed = at.integers(range(1 + len(windows.kernel)))
    found = []
    for offset in np.ndindex(windows.kernel):
        product = at.emit("Mul", shift_image(at, trailing, windows, offset, first=1), numbers)
        total = at.emit("ReduceSum", product, summed, keepdims=0)
        found.append(at.emit("Unsqueeze", total, at.integers([1])))
    return at.emit("Concat", *found, axis=1)


def _multiply_columns(at: Site, image: str, places: str, windows: Windows) -> str:
    """Multiply each column of the image by each of the places, and sum pairs of equal distance.

    That is more products than needed, but matrices multiply so much faster than vectors that it
    pays up to some width.
    """
    rows = len(windows.kernel) - 1
    wide, high = windows.sizes[-1], windows.counts[-1]
    leading = pad_image(at, lead_channels(at, image, windows), windows, count=rows)
    numbers = at.emit("Reshape", lead_channels(at, places, windows), at.integers([0, -1, high]))
    found = []
    for offset in np.ndindex(windows.kernel[:-1]):
        shifted = shift_image(at, leading, windows, offset)
        columns = at.emit("Reshape", shifted, at.integers([0, -1, wide]))
        product = at.emit("MatMul", at.emit("Transpose", columns, perm=[0, 2, 1]), numbers)
        found.append(at.emit("Reshape", product, at.integers([0, 1, wide * high])))
    along = _pair_along(windows, len(windows.kernel) - 1)
    pairs = at.store(along.transpose(2, 1, 0).reshape(wide * high, -1), at.inputs[1])
    return at.emit("MatMul", at.emit("Concat", *found, axis=1), pairs)
