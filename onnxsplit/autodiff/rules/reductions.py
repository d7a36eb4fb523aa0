"""Rules of reductions. Axes are an optional input, and may be computed."""

from collections.abc import Sequence

import onnx

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


def _find_lack(node: onnx.NodeProto) -> str | None:
    """Tell of reductions over nothing, on whose meaning versions of ONNX disagree."""
    kept = any(a.name == "noop_with_empty_axes" and a.i for a in node.attribute)
    without = len(node.input) < len(("data", "axes")) or not node.input[1]
    return "noop_with_empty_axes" if kept and without else None


def restore_axes(at: Site, value: str) -> str:
    """Give a value of the result's shape the axes that were reduced, of size one."""
    if at.attribute("keepdims", 1):
        return value
    if at.has_input(1):
        return at.emit("Unsqueeze", value, at.inputs[1])
    return at.emit("Reshape", value, at.integers([1] * at.rank(at.inputs[0])))


def _reduces_nothing(at: Site) -> bool:
    """Tell whether the operator is the identity."""
    return bool(at.attribute("noop_with_empty_axes", 0)) and not at.has_input(1)


def _expand(at: Site, value: str) -> str:
    """Repeat a value along the axes that were reduced."""
    shape = at.shape(at.inputs[0])
    axes = _read_axes(at)
    if axes is None:
        return at.emit("Expand", value, at.sizes(at.inputs[0]))
    # Axes that were kept need no size: so the input is not kept for the sake of its shape.
    sizes = [shape[axis] if axis in axes else 1 for axis in range(len(shape))]
    known = [size for size in sizes if isinstance(size, int)]
    same = len(known) == len(sizes)
    return at.emit("Expand", value, at.integers(known) if same else at.sizes(at.inputs[0]))


def _read_axes(at: Site) -> list[int] | None:
    """Return the axes that are reduced, counted from the front, if they are known."""
    rank = at.rank(at.inputs[0])
    if not at.has_input(1):
        return list(range(rank))
    axes = at.read_constant(at.inputs[1])
    return None if axes is None or not axes.size else [int(axis) % rank for axis in axes]


@rule("ReduceSum")
def differentiate_reduce_sum(at: Site) -> Sequence[str | None]:
    """Repeat the gradient."""
    if _reduces_nothing(at):
        return [at.gradient()]
    return [_expand(at, restore_axes(at, at.gradient()))]


@rule("ReduceMean", find_lack=_find_lack)
def differentiate_reduce_mean(at: Site) -> Sequence[str | None]:
    """Repeat the gradient, divided by the number of elements that were averaged."""
    scaled = at.emit("Mul", at.gradient(), _invert_count(at))
    return [_expand(at, restore_axes(at, scaled))]


def _invert_count(at: Site) -> str:
    """Return one over the number of elements that make one of the result."""
    axes, shape = _read_axes(at), at.shape(at.inputs[0])
    sizes = [shape[axis] for axis in axes] if axes is not None else [None]
    count = 1
    for size in sizes:
        if not isinstance(size, int):
            return _invert_count_at_run_time(at)
        count *= size
    return at.scalar(1.0 / max(count, 1), at.inputs[0])


def _invert_count_at_run_time(at: Site) -> str:
    """Divide the number of results by the number of elements."""
    results = at.cast_like(at.emit("Size", at.gradient()), at.inputs[0])
    return at.emit("Div", results, at.cast_like(at.emit("Size", at.inputs[0]), at.inputs[0]))


@rule("ReduceSumSquare", find_lack=_find_lack)
def differentiate_reduce_sum_square(at: Site) -> Sequence[str | None]:
    """Compute 2 g x."""
    twice = at.emit("Mul", restore_axes(at, at.gradient()), at.scalar(2.0, at.inputs[0]))
    return [at.emit("Mul", at.inputs[0], twice)]


@rule("ReduceL1", find_lack=_find_lack)
def differentiate_reduce_l1(at: Site) -> Sequence[str | None]:
    """Compute g sign x; zero at zero."""
    return [at.emit("Mul", at.emit("Sign", at.inputs[0]), restore_axes(at, at.gradient()))]


@rule("ReduceL2", find_lack=_find_lack)
def differentiate_reduce_l2(at: Site) -> Sequence[str | None]:
    """Compute x g / y; zero where the norm is zero."""
    y = at.outputs[0]
    zero = at.cast_like(at.emit("Equal", y, at.scalar(0.0, y)), y)
    scaled = at.emit("Div", at.gradient(), at.emit("Add", y, zero))
    return [at.emit("Mul", at.inputs[0], restore_axes(at, scaled))]


@rule("ReduceLogSum", find_lack=_find_lack)
def differentiate_reduce_log_sum(at: Site) -> Sequence[str | None]:
    """Compute g / exp(y)."""
    scaled = at.emit("Div", at.gradient(), at.emit("Exp", at.outputs[0]))
    return [_expand(at, restore_axes(at, scaled))]


@rule("ReduceLogSumExp", find_lack=_find_lack)
def differentiate_reduce_log_sum_exp(at: Site) -> Sequence[str | None]:
    """Compute g exp(x - y)."""
    share = at.emit("Exp", at.emit("Sub", at.inputs[0], restore_axes(at, at.outputs[0])))
    return [at.emit("Mul", share, restore_axes(at, at.gradient()))]


def _reduce_again(at: Site, op_type: str, value: str) -> str:
    """Reduce a value of the input's shape as the operator does, keeping the axes."""
    axes = [at.inputs[1]] if at.has_input(1) else []
    return at.emit(op_type, value, *axes, keepdims=1)


@rule("ReduceMax", "ReduceMin", find_lack=_find_lack)
def differentiate_reduce_extremum(at: Site) -> Sequence[str | None]:
    """Pass the gradient to the elements that attain the result; those that tie share equally."""
    x = at.inputs[0]
    hits = at.cast_like(at.emit("Equal", x, restore_axes(at, at.outputs[0])), x)
    shared = at.emit("Div", restore_axes(at, at.gradient()), _reduce_again(at, "ReduceSum", hits))
    return [at.emit("Mul", hits, shared)]


@rule("ReduceProd", find_lack=_find_lack)
def differentiate_reduce_prod(at: Site) -> Sequence[str | None]:
    """Multiply by the product of the other elements, of which one or more may be zero."""
    x = at.inputs[0]
    zeros = at.cast_like(at.emit("Equal", x, at.scalar(0.0, x)), x)
    filled = at.emit("Add", x, zeros)
    product = _reduce_again(at, "ReduceProd", filled)
    others = at.emit("Div", at.emit("Mul", product, restore_axes(at, at.gradient())), filled)
    # A factor counts only where none of the others is zero.
    left = at.emit("Sub", _reduce_again(at, "ReduceSum", zeros), zeros)
    free = at.cast_like(at.emit("Equal", left, at.scalar(0.0, x)), x)
    return [at.emit("Mul", others, free)]
