"""Windows that slide over an image: kernel, strides, dilations and padding, however given."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxsplit.autodiff.sites import Site
from onnxsplit.errors import UnknownShapeError

Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Places of a window on an image, one number per spatial axis.

    Parameters
    ----------
    kernel, strides, dilations : tuple of int
    before, after : tuple of int
        Padding at both ends.
    sizes : tuple of int
        Of the image.
    counts : tuple of int
        Places of the window.
    """

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    before: Sizes
    after: Sizes
    sizes: Sizes
    counts: Sizes

    @property
    def axes(self) -> range:
        """Return the places of the spatial axes, batch and channels not counted."""
        return range(len(self.kernel))

    @property
    def extents(self) -> Sizes:
        """Return what a window spans, gaps of dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def covered(self) -> Sizes:
        """Return what all windows together span, from the first padding on."""
        pairs = zip(self.counts, self.strides, self.extents, strict=True)
        return tuple((count - 1) * stride + extent for count, stride, extent in pairs)

    @property
    def surplus(self) -> Sizes:
        """Return how far the padded image reaches behind the last window; negative in ceil mode."""
        pairs = zip(self.sizes, self.before, self.after, self.covered, strict=True)
        return tuple(size + begin + end - covered for size, begin, end, covered in pairs)

    @property
    def is_pointwise(self) -> bool:
        """Tell whether the windows are the places of the image."""
        return set(self.kernel) == {1} and set(self.strides) == {1} and not self.is_padded

    @property
    def is_padded(self) -> bool:
        """Tell whether windows may reach over the image's ends."""
        return any(self.before) or any(self.after)

    @property
    def overlap(self) -> bool:
        """Tell whether a place may lie in several windows."""
        return any(e > s for e, s in zip(self.extents, self.strides, strict=True))


def read_windows(at: Site, *, image: str, places: str, kernel: Sequence[int]) -> Windows:
    """Read the windows of a convolution or pooling.

    Parameters
    ----------
    at : Site
    image, places : str
        Forward values: what the windows slide over, and the one with a number per window.
    kernel : sequence of int

    Raises
    ------
    UnknownShapeError
        A height or width is no number.
    """
    rank = len(kernel)
    sizes, counts = read_sizes(at, image), read_sizes(at, places)
    strides = tuple(at.attribute("strides") or [1] * rank)
    dilations = tuple(at.attribute("dilations") or [1] * rank)
    missing = tuple(
        (count - 1) * stride + (k - 1) * dilation + 1 - size
        for count, stride, k, dilation, size in zip(
            counts, strides, kernel, dilations, sizes, strict=True
        )
    )
    before, after = _read_pads(at, missing)
    return Windows(
        kernel=tuple(kernel),
        strides=strides,
        dilations=dilations,
        before=before,
        after=after,
        sizes=sizes,
        counts=counts,
    )


def read_sizes(at: Site, name: str) -> Sizes:
    """Return the sizes of a forward value's spatial axes, which follow batch and channels.

    Raises
    ------
    UnknownShapeError
        One is no number.
    """
    return read_numbers(at, name, first=2)


def read_numbers(at: Site, name: str, *, first: int = 0) -> Sizes:
    """Return a forward value's dims from a place on.

    Raises
    ------
    UnknownShapeError
        One is no number.
    """
    dims = at.shape(name)[first:]
    sizes = tuple(dim for dim in dims if isinstance(dim, int))
    if len(sizes) < len(dims):
        raise UnknownShapeError(
            f"The gradient of {at.node.name!r} needs the dims of {name!r} as numbers, from place"
            f" {first} on, and they are {list(dims)}; fix the model's input shapes with --shape or"
            " --dim."
        )
    return sizes


def _read_pads(at: Site, missing: Sizes) -> tuple[Sizes, Sizes]:
    """Return the padding at both ends; under auto_pad it makes up for what is missing."""
    mode = at.attribute("auto_pad", "NOTSET")
    if mode in {"SAME_UPPER", "SAME_LOWER"}:
        totals = [max(0, total) for total in missing]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        ends = (small, large) if mode == "SAME_UPPER" else (large, small)
        return tuple(ends[0]), tuple(ends[1])
    pads = at.attribute("pads") if mode == "NOTSET" else None
    rank = len(missing)
    pads = list(pads or [0] * 2 * rank)
    return tuple(pads[:rank]), tuple(pads[rank:])


def count_members(windows: Windows, *, padding: bool) -> np.ndarray:
    """Count the places of the image in every window, as AveragePool does.

    Parameters
    ----------
    windows : Windows
    padding : bool
        Count the padding as well, but not what ceil mode adds to it.

    Returns
    -------
    array of int64, of shape ``windows.counts``
    """
    total = np.ones((), dtype=np.int64)
    for axis in windows.axes:
        first = np.arange(windows.counts[axis]) * windows.strides[axis] - windows.before[axis]
        steps = np.arange(windows.kernel[axis]) * windows.dilations[axis]
        places = first[:, None] + steps
        low = -windows.before[axis] if padding else 0
        high = windows.sizes[axis] + (windows.after[axis] if padding else 0)
        members = ((places >= low) & (places < high)).sum(axis=1)
        total = np.multiply.outer(total, members)
    return total
