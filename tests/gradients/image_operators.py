"""Convolutions and poolings for onnx's evaluator, in the type of their input and of any rank.

onnx's own are wrong for some padding, dilation and ceil mode, or compute in float32. These are
held against onnxruntime.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]
Ints = Sequence[int]


def take(*places: int | slice) -> tuple[Any, ...]:
    """Return an index of the last axes."""
    return (..., *places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """Where windows lie."""

    kernel: Ints
    strides: Ints
    dilations: Ints
    before: Ints
    after: Ints
    counts: Ints

    @property
    def reach(self) -> list[int]:
        """Return how long the padded image must be for all windows to lie on it."""
        return [
            (count - 1) * stride + (k - 1) * dilation + 1
            for count, stride, k, dilation in zip(
                self.counts, self.strides, self.kernel, self.dilations, strict=True
            )
        ]

    def pad(self, x: Array, value: float) -> Array:
        """Pad an image so far that every window lies on it."""
        ends = [
            max(begin + size + end, reach) - begin - size
            for begin, size, end, reach in zip(
                self.before, x.shape[2:], self.after, self.reach, strict=True
            )
        ]
        return np.pad(
            x, [(0, 0), (0, 0), *zip(self.before, ends, strict=True)], constant_values=value
        )

    def offsets(self) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
        """Yield every offset of the kernel, and where all windows have it on a padded image."""
        for offset in np.ndindex(*self.kernel):
            yield (
                offset,
                (
                    ...,
                    *(
                        slice(o * d, o * d + (count - 1) * s + 1, s)
                        for o, d, count, s in zip(
                            offset, self.dilations, self.counts, self.strides, strict=True
                        )
                    ),
                ),
            )


def slide(
    sizes: Ints,
    kernel: Ints,
    strides: Ints | None,
    dilations: Ints | None,
    pads: Ints | None,
    auto_pad: str | None,
    *,
    ceil: bool = False,
) -> Slide:
    """Work out where windows lie, by the operators' definition."""
    rank = len(kernel)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pads = list(pads or [0] * 2 * rank)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto_pad in {"SAME_UPPER", "SAME_LOWER"}:
        totals = [
            max(0, (math.ceil(size / s) - 1) * s + extent - size)
            for size, s, extent in zip(sizes, strides, extents, strict=True)
        ]
        halves = [t // 2 for t in totals]
        rests = [t - t // 2 for t in totals]
        pads = halves + rests if auto_pad == "SAME_UPPER" else rests + halves
    elif auto_pad == "VALID":
        pads = [0] * 2 * rank
    counts = []
    for axis in range(rank):
        span = sizes[axis] + pads[axis] + pads[rank + axis] - extents[axis]
        count = (math.ceil(span / strides[axis]) if ceil else span // strides[axis]) + 1
        if ceil and (count - 1) * strides[axis] >= sizes[axis] + pads[axis]:
            count -= 1
        counts.append(count)
    return Slide(
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        before=pads[:rank],
        after=pads[rank:],
        counts=counts,
    )


class Conv(OpRun):
    """A convolution."""

    def _run(  # noqa: PLR0913 - the operator's attributes
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        *,
        auto_pad: str | None = None,
        dilations: Ints | None = None,
        group: int = 1,
        kernel_shape: Ints | None = None,
        pads: Ints | None = None,
        strides: Ints | None = None,
    ) -> tuple[Array]:
        del kernel_shape
        at = slide(x.shape[2:], w.shape[2:], strides, dilations, pads, auto_pad)
        padded = at.pad(x, 0)
        padded = padded.reshape(x.shape[0], group, x.shape[1] // group, *padded.shape[2:])
        kernels = w.reshape(group, w.shape[0] // group, *w.shape[1:])
        parts = [
            np.einsum("ngc...,gmc->ngm...", padded[place], kernels[take(*offset)])
            for offset, place in at.offsets()
        ]
        y = np.sum(parts, axis=0).reshape(x.shape[0], w.shape[0], *at.counts)
        return (y if b is None else y + b.reshape(-1, *[1] * len(at.counts)),)


class ConvTranspose(OpRun):
    """A transposed convolution."""

    def _run(  # noqa: PLR0913 - the operator's attributes
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        *,
        auto_pad: str | None = None,
        dilations: Ints | None = None,
        group: int = 1,
        kernel_shape: Ints | None = None,
        output_padding: Ints | None = None,
        output_shape: Ints | None = None,
        pads: Ints | None = None,
        strides: Ints | None = None,
    ) -> tuple[Array]:
        del kernel_shape
        rank, kernel = w.ndim - 2, w.shape[2:]
        strides, dilations = strides or [1] * rank, dilations or [1] * rank
        added = output_padding or [0] * rank
        at = Slide(
            kernel=kernel,
            strides=strides,
            dilations=dilations,
            before=[0] * rank,
            after=[0] * rank,
            counts=x.shape[2:],
        )
        if auto_pad in {"SAME_UPPER", "SAME_LOWER"} and output_shape is None:
            output_shape = [size * s for size, s in zip(x.shape[2:], strides, strict=True)]
        pads = list(pads or [0] * 2 * rank)
        if output_shape is not None:
            totals = [
                max(0, r + a - o) for r, a, o in zip(at.reach, added, output_shape, strict=True)
            ]
            halves, rests = [t // 2 for t in totals], [t - t // 2 for t in totals]
            pads = halves + rests if auto_pad == "SAME_UPPER" else rests + halves
        wide = [
            max(r + a, o + p) if output_shape is not None else r + a
            for r, a, o, p in zip(
                at.reach, added, output_shape or at.reach, pads[:rank], strict=True
            )
        ]
        full = np.zeros((x.shape[0], group, w.shape[1], *wide), x.dtype)
        split = x.reshape(x.shape[0], group, x.shape[1] // group, *x.shape[2:])
        kernels = w.reshape(group, w.shape[0] // group, *w.shape[1:])
        for offset, place in at.offsets():
            full[place] += np.einsum("ngc...,gcm->ngm...", split, kernels[take(*offset)])
        ends = [
            p + o if output_shape is not None else size - q
            for p, q, o, size in zip(
                pads[:rank], pads[rank:], output_shape or at.reach, wide, strict=True
            )
        ]
        y = full[take(*(slice(p, e) for p, e in zip(pads[:rank], ends, strict=True)))]
        y = y.reshape(x.shape[0], group * w.shape[1], *y.shape[3:])
        return (y if b is None else y + b.reshape(-1, *[1] * rank),)


class MaxPool(OpRun):
    """A pooling by the largest, with the places it took."""

    def _run(
        self,
        x: Array,
        *,
        auto_pad: str | None = None,
        ceil_mode: int = 0,
        dilations: Ints | None = None,
        kernel_shape: Ints = (),
        pads: Ints | None = None,
        storage_order: int = 0,
        strides: Ints | None = None,
    ) -> tuple[Array, Array]:
        assert not storage_order
        at = slide(
            x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil=bool(ceil_mode)
        )
        numbers = np.arange(x.size).reshape(x.shape)
        padded, places = at.pad(x, -np.inf), at.pad(numbers, -1)
        seen = np.stack([padded[place] for _, place in at.offsets()])
        from_ = np.stack([places[place] for _, place in at.offsets()])
        best = seen.argmax(axis=0)[None]
        return (
            np.take_along_axis(seen, best, 0)[0],
            np.take_along_axis(from_, best, 0)[0].astype(np.int64),
        )


class AveragePool(OpRun):
    """A pooling by the mean."""

    def _run(
        self,
        x: Array,
        *,
        auto_pad: str | None = None,
        ceil_mode: int = 0,
        count_include_pad: int = 0,
        dilations: Ints | None = None,
        kernel_shape: Ints = (),
        pads: Ints | None = None,
        strides: Ints | None = None,
    ) -> tuple[Array]:
        at = slide(
            x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil=bool(ceil_mode)
        )
        if count_include_pad:
            ends = [(0, 0), (0, 0), *zip(at.before, at.after, strict=True)]
            counted = np.pad(np.ones_like(x), ends, constant_values=1)
            missing = [
                (0, max(0, reach - size))
                for reach, size in zip(at.reach, counted.shape[2:], strict=True)
            ]
            counted = np.pad(counted, [(0, 0), (0, 0), *missing])
        else:
            counted = at.pad(np.ones_like(x), 0)
        padded = at.pad(x, 0)
        total = sum(padded[place] for _, place in at.offsets())
        return (np.asarray(total / sum(counted[place] for _, place in at.offsets()), x.dtype),)


class LpPool(OpRun):
    """A pooling by a norm."""

    def _run(
        self,
        x: Array,
        *,
        auto_pad: str | None = None,
        ceil_mode: int = 0,
        dilations: Ints | None = None,
        kernel_shape: Ints = (),
        p: int = 2,
        pads: Ints | None = None,
        strides: Ints | None = None,
    ) -> tuple[Array]:
        at = slide(
            x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil=bool(ceil_mode)
        )
        padded = np.abs(at.pad(x, 0)) ** p
        total = sum(padded[place] for _, place in at.offsets())
        return (np.asarray(total ** (1 / p), x.dtype),)


class GlobalLpPool(OpRun):
    """A norm over all places."""

    def _run(self, x: Array, *, p: int = 2) -> tuple[Array]:
        total = np.sum(np.abs(x) ** p, axis=tuple(range(2, x.ndim)), keepdims=True)
        return (np.asarray(total ** (1 / p), x.dtype),)


class GlobalMaxPool(OpRun):
    """The largest of all places."""

    def _run(self, x: Array) -> tuple[Array]:
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


class LpNormalization(OpRun):
    """A division by a norm along an axis."""

    def _run(self, x: Array, *, axis: int = -1, p: int = 2) -> tuple[Array]:
        norm = np.sum(np.abs(x) ** p, axis=axis, keepdims=True) ** (1 / p)
        return (np.asarray(np.divide(x, norm, out=np.zeros_like(x), where=norm > 0), x.dtype),)


class LRN(OpRun):
    """A normalisation by the squares of neighbouring channels."""

    def _run(
        self, x: Array, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int = 1
    ) -> tuple[Array]:
        before, after = (size - 1) // 2, size // 2
        ends = [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)]
        square = np.pad(x**2, ends)
        total = sum(square[:, place : place + x.shape[1]] for place in range(size))
        return (np.asarray(x / (bias + alpha / size * total) ** beta, x.dtype),)


class GroupNormalization(OpRun):
    """A normalisation of groups of channels; one scale per channel."""

    def _run(
        self,
        x: Array,
        scale: Array,
        bias: Array,
        *,
        epsilon: float = 1e-5,
        num_groups: int = 1,
        stash_type: int = 1,
    ) -> tuple[Array]:
        del stash_type
        grouped = x.reshape(x.shape[0], num_groups, -1)
        centred = grouped - grouped.mean(axis=2, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + epsilon)
        wide = (-1, *[1] * (x.ndim - 2))
        per = x.shape[1] // scale.size
        scales, biases = (np.repeat(given, per).reshape(wide) for given in (scale, bias))
        return (np.asarray(unit.reshape(x.shape) * scales + biases, x.dtype),)


class MeanVarianceNormalization(OpRun):
    """A normalisation over given axes."""

    def _run(self, x: Array, *, axes: Ints = (0, 2, 3)) -> tuple[Array]:
        centred = x - x.mean(axis=tuple(axes), keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=tuple(axes), keepdims=True))
        return (np.asarray(centred / (deviation + 1e-9), x.dtype),)


MENDED = (
    Conv,
    ConvTranspose,
    MaxPool,
    AveragePool,
    LpPool,
    GlobalLpPool,
    GlobalMaxPool,
    GroupNormalization,
    MeanVarianceNormalization,
    LpNormalization,
    LRN,
)
