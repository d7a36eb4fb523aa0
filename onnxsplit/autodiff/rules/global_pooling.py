"""Rules of poolings over all places of an image."""

from collections.abc import Sequence

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


def list_places(at: Site) -> range:
    """Return the spatial axes of the first input."""
    return range(2, at.rank(at.inputs[0]))


def count_places(at: Site) -> str:
    """Return how many places an image of the first input has, in its element type."""
    x = at.inputs[0]
    sizes = [dim for dim in at.shape(x)[2:] if isinstance(dim, int)]
    if len(sizes) == len(list_places(at)):
        count = 1
        for size in sizes:
            count *= size
        return at.scalar(count, x)
    sizes_read = at.emit("Shape", x, start=2)
    return at.cast_like(at.emit("ReduceProd", sizes_read, keepdims=0), x)


@rule("GlobalAveragePool")
def differentiate_global_average_pool(at: Site) -> Sequence[str | None]:
    """Share the gradient equally among all places."""
    shared = at.emit("Div", at.gradient(), count_places(at))
    return [at.emit("Expand", shared, at.sizes(at.inputs[0]))]


@rule("GlobalMaxPool")
def differentiate_global_max_pool(at: Site) -> Sequence[str | None]:
    """Give the gradient to the largest; those that tie share it equally."""
    x = at.inputs[0]
    hits = at.cast_like(at.emit("Equal", x, at.outputs[0]), x)
    count = at.emit("ReduceSum", hits, at.integers(list_places(at)), keepdims=1)
    return [at.emit("Mul", hits, at.emit("Div", at.gradient(), count))]


@rule("GlobalLpPool")
def differentiate_global_lp_pool(at: Site) -> Sequence[str | None]:
    """Compute g x |x|^(p-2) / y^(p-1), zero where all are zero."""
    x, y, power = at.inputs[0], at.outputs[0], at.attribute("p", 2)
    if power == 1:
        return [at.emit("Mul", at.emit("Sign", x), at.gradient())]
    empty = at.cast_like(at.emit("Equal", y, at.scalar(0.0, y)), y)
    unit = at.emit("Div", x, at.emit("Add", y, empty))
    if power > 2:  # noqa: PLR2004 - the square has the unit alone
        size = at.emit("Pow", at.emit("Abs", unit), at.scalar(power - 2, x))
        unit = at.emit("Mul", unit, size)
    return [at.emit("Mul", unit, at.gradient())]
