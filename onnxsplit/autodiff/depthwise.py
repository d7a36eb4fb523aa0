"""Gradients of depthwise kernels, of which every channel has one of its own."""

import numpy as np

from onnxsplit.autodiff.patches import lead_channels, pad_image, shift_image, trail_channels
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.windows import Windows

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
    if windows.sizes[-1] <= _WIDE * windows.kernel[-1]:
        return _multiply_columns(at, image, places, windows)
    return _multiply_offsets(at, image, places, windows)


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
    pairs = at.store(_pair_columns(windows), at.inputs[1])
    return at.emit("MatMul", at.emit("Concat", *found, axis=1), pairs)


def _pair_columns(windows: Windows) -> np.ndarray:
    """Tell which pairs of columns belong to which column of the kernel, in ones and zeros."""
    wide, high, kernel = windows.sizes[-1], windows.counts[-1], windows.kernel[-1]
    pairs = np.zeros((wide, high, kernel))
    for place, step in np.ndindex(high, kernel):
        column = place * windows.strides[-1] + step * windows.dilations[-1] - windows.before[-1]
        if 0 <= column < wide:
            pairs[column, place, step] = 1
    return pairs.reshape(wide * high, kernel)
