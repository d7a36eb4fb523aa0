"""Add a gradient up at the places that an operator read its input from."""

from collections.abc import Callable

from onnxsplit.autodiff.sites import Site


def scatter_back(at: Site, gradient: str, pick: Callable[[str], str]) -> str:
    """Return the gradient of an operator that picks elements, whichever way.

    Parameters
    ----------
    at : Site
        Its first input is what elements are picked from.
    gradient : str
        Of what was picked.
    pick : callable
        Emits the operator for another input of the same shape, of int64.

    Returns
    -------
    str
        Has the shape of the first input. The operator is applied to the places of the elements,
        and tells so where each came from.
    """
    x = at.inputs[0]
    sizes = at.sizes(x)
    flat = at.integers([-1])
    count = at.emit("Reshape", at.emit("ReduceProd", sizes, keepdims=0), at.integers([]))
    numbers = at.emit("Range", at.integers(0), count, at.integers(1))
    picked = at.emit("Reshape", pick(at.emit("Reshape", numbers, sizes)), flat)
    zeros = at.emit("Reshape", at.zeros(x), flat)
    added = at.emit(
        "ScatterElements", zeros, picked, at.emit("Reshape", gradient, flat), reduction="add"
    )
    return at.take_shape(added, x)
