"""Rules of operators that rearrange, join, divide and repeat."""

from collections.abc import Sequence

import numpy as np

from onnxsplit.autodiff.rules.arithmetic import reduce_to_input
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def differentiate_reshape(at: Site) -> Sequence[str | None]:
    """Give the gradient the input's shape."""
    return [at.take_shape(at.gradient(), at.inputs[0])]


@rule("Transpose")
def differentiate_transpose(at: Site) -> Sequence[str | None]:
    """Transpose back."""
    rank = at.rank(at.inputs[0])
    order = at.attribute("perm", list(range(rank))[::-1])
    return [at.emit("Transpose", at.gradient(), perm=[int(i) for i in np.argsort(order)])]


@rule("Concat")
def differentiate_concat(at: Site) -> Sequence[str | None]:
    """Split the gradient."""
    if len(at.inputs) == 1:
        return [at.gradient()]
    axis = at.axis(at.outputs[0], at.attribute("axis"))
    known = [at.shape(name)[axis] for name in at.inputs]
    sizes = [size for size in known if isinstance(size, int)]
    if len(sizes) == len(known):
        lengths = at.integers(sizes)
    else:
        each = [at.emit("Shape", name, start=axis, end=axis + 1) for name in at.inputs]
        lengths = at.emit("Concat", *each, axis=0)
    return at.emit_many("Split", [at.gradient(), lengths], len(known), axis=axis)


@rule("Split")
def differentiate_split(at: Site) -> Sequence[str | None]:
    """Join the gradients; a part that has none counts as zeros."""
    parts = [at.gradient(place) for place in range(len(at.outputs))]
    return [at.emit("Concat", *parts, axis=at.attribute("axis", 0))]


@rule("Expand")
def differentiate_expand(at: Site) -> Sequence[str | None]:
    """Sum over what was repeated."""
    return [reduce_to_input(at, at.gradient(), 0)]


@rule("Tile")
def differentiate_tile(at: Site) -> Sequence[str | None]:
    """Sum over the repeats, each of which gets an axis of its own."""
    x = at.inputs[0]
    rank = at.rank(x)
    if not rank:
        return [at.gradient()]
    repeats, shape = at.read_constant(at.inputs[1]), at.static_shape(x)
    if repeats is not None and shape is not None:
        pairs = zip(map(int, repeats), shape, strict=True)
        apart = at.integers([size for pair in pairs for size in pair])
    else:
        column = at.integers([1])
        rows = [at.emit("Unsqueeze", name, column) for name in (at.inputs[1], at.emit("Shape", x))]
        apart = at.emit("Reshape", at.emit("Concat", *rows, axis=1), at.integers([-1]))
    divided = at.emit("Reshape", at.gradient(), apart, allowzero=1)
    return [at.emit("ReduceSum", divided, at.integers(list(range(0, 2 * rank, 2))), keepdims=0)]


@rule("DepthToSpace")
def differentiate_depth_to_space(at: Site) -> Sequence[str | None]:
    """Move the blocks back into the channels."""
    block = at.attribute("blocksize")
    if at.attribute("mode", "DCR") == "DCR":
        return [at.emit("SpaceToDepth", at.gradient(), blocksize=block)]
    shape = at.shape(at.inputs[0])
    channels, height = shape[1], shape[2]
    # A size that is not known is left to Reshape, which can work one out and copy others.
    if isinstance(channels, int) and isinstance(height, int):
        apart = at.integers([0, channels // block**2, height, block, -1, block])
    else:
        apart = _divide_at_run_time(at, block)
    divided = at.emit("Reshape", at.gradient(), apart)
    turned = at.emit("Transpose", divided, perm=[0, 1, 3, 5, 2, 4])
    return [at.take_shape(turned, at.inputs[0])]


def _divide_at_run_time(at: Site, block: int) -> str:
    """Return the sizes [N, C, H, block, W, block] of the result taken apart."""
    sizes = at.emit("Shape", at.inputs[0])
    whole = at.emit("Div", sizes, at.integers([1, block**2, 1, 1]))
    head, width = at.emit_many("Split", [whole, at.integers([3, 1])], 2, axis=0)
    edge = at.integers([block])
    return at.emit("Concat", head, edge, width, edge, axis=0)


@rule("SpaceToDepth")
def differentiate_space_to_depth(at: Site) -> Sequence[str | None]:
    """Move the blocks back into space."""
    return [at.emit("DepthToSpace", at.gradient(), blocksize=at.attribute("blocksize"))]


@rule("CumSum")
def differentiate_cumsum(at: Site) -> Sequence[str | None]:
    """Sum from the other end."""
    return [
        at.emit(
            "CumSum",
            at.gradient(),
            at.inputs[1],
            exclusive=at.attribute("exclusive", 0),
            reverse=1 - at.attribute("reverse", 0),
        )
    ]


@rule("Trilu")
def differentiate_trilu(at: Site) -> Sequence[str | None]:
    """Keep the same triangle."""
    return [at.emit("Trilu", at.gradient(), *at.inputs[1:], upper=at.attribute("upper", 1))]


@rule("ReverseSequence")
def differentiate_reverse_sequence(at: Site) -> Sequence[str | None]:
    """Reverse again."""
    axes = {"batch_axis": at.attribute("batch_axis", 1), "time_axis": at.attribute("time_axis", 0)}
    return [at.emit("ReverseSequence", at.gradient(), at.inputs[1], **axes)]
