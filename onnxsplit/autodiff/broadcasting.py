"""Bring the gradient of a broadcast result back to the shape of what was broadcast."""

from collections.abc import Sequence

from onnxsplit.autodiff.sites import Site
from onnxsplit.graph import Dim


def unbroadcast(at: Site, gradient: str, *, result: str, operand: str) -> str:
    """Sum a gradient over the axes along which an operand was repeated.

    Parameters
    ----------
    at : Site
    gradient : str
        Has the shape of ``result``.
    result, operand : str
        Forward values; the operand was broadcast to the result.

    Returns
    -------
    str
        Has the shape of ``operand``.
    """
    return sum_to(at, gradient, at.shape(result), at.shape(operand), operand)


def sum_to(
    at: Site, gradient: str, wide: Sequence[Dim], narrow: Sequence[Dim], operand: str
) -> str:
    """Sum a gradient of one shape to another that is broadcast to it.

    Parameters
    ----------
    at : Site
    gradient : str
    wide : sequence of dims
        The gradient's.
    narrow : sequence of dims
        Those that are wanted.
    operand : str
        A value, emitted or forward, of the wanted shape; read only if its dims must be known.
    """
    lead = len(wide) - len(narrow)
    pairs = list(zip(wide[lead:], narrow, strict=True))
    if any(_is_unsure(out, dim) for out, dim in pairs):
        return _sum_at_run_time(at, gradient, lead, operand)
    repeated = [lead + i for i, (out, dim) in enumerate(pairs) if dim == 1 and out != 1]
    return _sum_over(at, gradient, list(range(lead)), repeated)


def _sum_over(at: Site, gradient: str, dropped: list[int], kept: list[int]) -> str:
    """Sum over leading axes, which go, and over others, which stay with size one."""
    if not dropped and not kept:
        return gradient
    if not kept:
        return at.emit("ReduceSum", gradient, at.integers(dropped), keepdims=0)
    summed = at.emit("ReduceSum", gradient, at.integers([*dropped, *kept]), keepdims=1)
    return at.emit("Squeeze", summed, at.integers(dropped)) if dropped else summed


def _is_unsure(out: Dim, dim: Dim) -> bool:
    """Tell whether it can't be known if a dim was repeated."""
    if isinstance(dim, int):
        return False
    return dim is None or dim != out


def _sum_at_run_time(at: Site, gradient: str, lead: int, operand: str) -> str:
    """Sum over the axes whose sizes turn out to differ."""
    sizes = at.emit("Shape", operand)
    padded = at.emit("Concat", at.integers([1] * lead), sizes, axis=0) if lead else sizes
    differs = at.emit("Not", at.emit("Equal", at.emit("Shape", gradient), padded))
    axes = at.emit("Squeeze", at.emit("NonZero", differs), at.integers([0]))
    summed = at.emit("ReduceSum", gradient, axes, keepdims=1, noop_with_empty_axes=1)
    return at.emit("Reshape", summed, sizes, allowzero=1)
