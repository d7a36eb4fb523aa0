"""Gradients of convolution kernels, each in the form that onnxruntime computes fastest.

All correlate an image with numbers at the places of windows: kernel[m, c, k] is the sum over batch
and places p of places[m, p] image[c, p * stride + k * dilation - pad]. Convolutions themselves
would do, with batch and channels swapped, but stand for that only where there are few channels.
"""

import math

import numpy as np

from onnxsplit.autodiff.depthwise import correlate_channels
from onnxsplit.autodiff.patches import lead_channels, pad_image, shift_image
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.windows import Windows, read_numbers

_FEW_CHANNELS = 4
_FEW_PLACES = 64


def correlate(at: Site, *, image: str, places: str, windows: Windows, weight: str) -> str:
    """Return the gradient of a kernel.

    Parameters
    ----------
    at : Site
        Of a convolution, transposed or not.
    image : str
        (batch, channels, sizes): a forward value or a gradient.
    places : str
        (batch, kernels, counts): likewise.
    windows : Windows
    weight : str
        The kernel, (kernels, channels / groups, kernel sizes).
    """
    kernels, channels = read_numbers(at, weight)[:2]
    group = at.attribute("group", 1)
    pointwise = max(windows.kernel) == 1 and not windows.is_padded
    if pointwise and _has_many_places(windows, kernels, group * channels):
        found = _multiply_pointwise(at, image, places, windows, group)
    elif channels == 1 and group == kernels:
        found = correlate_channels(at, image, places, windows)
    elif group == 1 and channels <= _FEW_CHANNELS:
        return _convolve_swapped(at, image, places, windows)
    elif group == 1 and math.prod(windows.counts) > _FEW_PLACES:
        found = _multiply_offsets(at, image, places, windows)
    else:
        found = _multiply_patches(at, image, places, windows, (group, kernels, channels))
    return at.emit("Reshape", found, at.integers([kernels, channels, *windows.kernel]))


def _has_many_places(windows: Windows, kernels: int, channels: int) -> bool:
    """Tell whether to sum products of every image is less work than to bring channels forward."""
    return math.prod(windows.counts) * (kernels + channels) >= kernels * channels


def _multiply_pointwise(at: Site, image: str, places: str, windows: Windows, group: int) -> str:
    """Multiply places by channels for every member of the batch, and sum."""
    rank = len(windows.kernel)
    kept = shift_image(at, image, windows, [0] * rank)
    axes = [0, group, -1, math.prod(windows.counts)]
    # Reshape takes the batch from its input, and how many channels a group has from what is left.
    left = at.emit("Reshape", places, at.integers(axes))
    right = at.emit("Transpose", at.emit("Reshape", kept, at.integers(axes)), perm=[0, 1, 3, 2])
    return at.emit("ReduceSum", at.emit("MatMul", left, right), at.integers([0]), keepdims=0)


def _convolve_swapped(at: Site, image: str, places: str, windows: Windows) -> str:
    """Convolve the image with the places as a kernel, batch and channels swapped."""
    found = at.emit(
        "Conv",
        lead_channels(at, image, windows),
        lead_channels(at, places, windows),
        pads=[*windows.before, *windows.after],
        strides=windows.dilations,
        dilations=windows.strides,
    )
    if any(windows.surplus):
        # Places that no window reaches give more offsets than the kernel has.
        starts, ends = [0] * len(windows.kernel), list(windows.kernel)
        axes = at.integers([2 + axis for axis in windows.axes])
        found = at.emit("Slice", found, at.integers(starts), at.integers(ends), axes)
    return lead_channels(at, found, windows)


def _multiply_offsets(at: Site, image: str, places: str, windows: Windows) -> str:
    """Multiply places by the image once for every offset of the kernel."""
    leading = pad_image(at, lead_channels(at, image, windows), windows)
    flat = at.integers([0, -1])
    rows = at.emit("Reshape", lead_channels(at, places, windows), flat)
    found = []
    for offset in np.ndindex(windows.kernel):
        columns = at.emit("Reshape", shift_image(at, leading, windows, offset), flat)
        product = at.emit("Gemm", rows, columns, transB=1)
        found.append(at.emit("Unsqueeze", product, at.integers([2])))
    return at.emit("Concat", *found, axis=2)


def _multiply_patches(
    at: Site, image: str, places: str, windows: Windows, sizes: tuple[int, int, int]
) -> str:
    """Multiply places by all that their windows see, group by group."""
    group, kernels, channels = sizes
    leading = pad_image(at, lead_channels(at, image, windows), windows)
    apart = at.integers([group, channels, 1, -1])
    seen = [
        at.emit("Reshape", shift_image(at, leading, windows, offset), apart)
        for offset in np.ndindex(windows.kernel)
    ]
    width = channels * math.prod(windows.kernel)
    patches = at.emit("Concat", *seen, axis=2)
    patches = at.emit("Reshape", patches, at.integers([group, width, -1]))
    rows = at.emit(
        "Reshape",
        lead_channels(at, places, windows),
        at.integers([group, kernels // group, -1]),
    )
    return at.emit("MatMul", rows, at.emit("Transpose", patches, perm=[0, 2, 1]))
