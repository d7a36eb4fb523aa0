"""Rules of operators that pick and place elements by index."""

from collections.abc import Sequence

import onnx

from onnxsplit.autodiff.scattering import scatter_back
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


def _find_reduction(node: onnx.NodeProto) -> str | None:
    """Tell of scattering that multiplies or compares, which is not covered."""
    found = [attribute.s.decode() for attribute in node.attribute if attribute.name == "reduction"]
    return None if found in ([], ["none"], ["add"]) else f"reduction {found[0]!r}"


@rule("Gather")
def differentiate_gather(at: Site) -> Sequence[str | None]:
    """Add the gradient up at the places that were read."""
    data, indices = at.inputs
    axis = at.axis(data, at.attribute("axis", 0))
    single = _place_single(at, axis)
    if single is not None:
        return [single]
    rank, extra = at.rank(data), at.rank(indices)
    rows, total = at.gradient(), at.zeros(data)
    if axis:
        # The axis that is read comes first, in the gradient those of the indices.
        first = [axis, *(i for i in range(rank) if i != axis)]
        moved = [*range(axis, axis + extra), *range(axis), *range(axis + extra, rank - 1 + extra)]
        rows, total = (
            at.emit("Transpose", rows, perm=moved),
            at.emit("Transpose", total, perm=first),
        )
    places = at.emit("Unsqueeze", indices, at.integers([-1]))
    added = at.emit("ScatterND", total, places, rows, reduction="add")
    back = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
    return [at.emit("Transpose", added, perm=back) if axis else added]


def _place_single(at: Site, axis: int) -> str | None:
    """Pad the gradient if one known place was read."""
    index, size = at.read_constant(at.inputs[1]), at.shape(at.inputs[0])[axis]
    if index is None or index.size != 1 or not isinstance(size, int) or index.ndim > 1:
        return None
    place, rank = int(index.item()) % size, at.rank(at.inputs[0])
    gradient = at.gradient()
    if not index.ndim:
        gradient = at.emit("Unsqueeze", gradient, at.integers([axis]))
    pads = [0] * (2 * rank)
    pads[axis], pads[rank + axis] = place, size - 1 - place
    return at.emit("Pad", gradient, at.integers(pads)) if any(pads) else gradient


@rule("GatherElements")
def differentiate_gather_elements(at: Site) -> Sequence[str | None]:
    """Add the gradient up at the places that were read."""
    axis = at.attribute("axis", 0)
    zeros, places = at.zeros(at.inputs[0]), at.inputs[1]
    return [at.emit("ScatterElements", zeros, places, at.gradient(), axis=axis, reduction="add")]


@rule("GatherND")
def differentiate_gather_nd(at: Site) -> Sequence[str | None]:
    """Add the gradient up at the places that were read."""
    data, indices = at.inputs
    batch = at.attribute("batch_dims", 0)
    if not batch:
        return [at.emit("ScatterND", at.zeros(data), indices, at.gradient(), reduction="add")]
    return [
        scatter_back(
            at,
            at.gradient(),
            lambda places: at.emit("GatherND", places, indices, batch_dims=batch),
        )
    ]


@rule("ScatterND", find_lack=_find_reduction)
def differentiate_scatter_nd(at: Site) -> Sequence[str | None]:
    """Give the updates the gradient at their places, and the data the rest, or all if added."""
    _, indices, updates = at.inputs
    first = at.gradient()
    if at.attribute("reduction", "none") == "none":
        first = at.emit("ScatterND", first, indices, at.zeros(updates))
    return [first, None, at.emit("GatherND", at.gradient(), indices)]


@rule("ScatterElements", find_lack=_find_reduction)
def differentiate_scatter_elements(at: Site) -> Sequence[str | None]:
    """Give the updates the gradient at their places, and the data the rest, or all if added."""
    _, indices, updates = at.inputs
    axis = at.attribute("axis", 0)
    first = at.gradient()
    if at.attribute("reduction", "none") == "none":
        first = at.emit("ScatterElements", first, indices, at.zeros(updates), axis=axis)
    return [first, None, at.emit("GatherElements", at.gradient(), indices, axis=axis)]


@rule("TopK")
def differentiate_top_k(at: Site) -> Sequence[str | None]:
    """Put the gradient at the places of the largest."""
    zeros, places = at.zeros(at.inputs[0]), at.keep_output(1)
    axis = at.attribute("axis", -1)
    return [at.emit("ScatterElements", zeros, places, at.gradient(), axis=axis)]
