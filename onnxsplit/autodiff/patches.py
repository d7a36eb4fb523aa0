"""Take images apart: channels first or last, padding, one offset of a kernel at all its places."""

from collections.abc import Sequence

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.windows import Windows


def lead_channels(at: Site, image: str, windows: Windows) -> str:
    """Swap batch and channels."""
    return at.emit("Transpose", image, perm=[1, 0, *range(2, 2 + len(windows.kernel))])


def trail_channels(at: Site, image: str, windows: Windows) -> str:
    """Move the channels behind the spatial axes."""
    return at.emit("Transpose", image, perm=[0, *range(2, 2 + len(windows.kernel)), 1])


def pad_image(
    at: Site, image: str, windows: Windows, *, first: int = 2, count: int | None = None
) -> str:
    """Pad an image with zeros as its windows have it.

    Parameters
    ----------
    at : Site
    image : str
    windows : Windows
    first : int
        Place of the first spatial axis.
    count : int, optional
        How many spatial axes to pad; all if not given.
    """
    before, after = windows.before[:count], windows.after[:count]
    if not any(before) and not any(after):
        return image
    axes = at.integers(range(first, first + len(before)))
    return at.emit("Pad", image, at.integers([*before, *after]), "", axes)


def shift_image(
    at: Site, image: str, windows: Windows, offset: Sequence[int], *, first: int = 2
) -> str:
    """Take what lies at one offset of the kernel, at the places of all windows.

    Parameters
    ----------
    at : Site
    image : str
        Padded.
    windows : Windows
    offset : sequence of int
        Of the first spatial axes, of all or fewer.
    first : int
        Place of the first spatial axis.
    """
    axes = range(len(offset))
    starts = [offset[axis] * windows.dilations[axis] for axis in axes]
    spans = [(windows.counts[axis] - 1) * windows.strides[axis] + 1 for axis in axes]
    steps = list(windows.strides[: len(offset)])
    wholes = [windows.before[i] + windows.sizes[i] + windows.after[i] for i in axes]
    if spans == wholes and set(steps) <= {1}:
        return image
    ends = [start + span for start, span in zip(starts, spans, strict=True)]
    places = at.integers([first + axis for axis in axes])
    return at.emit(
        "Slice", image, at.integers(starts), at.integers(ends), places, at.integers(steps)
    )
