"""Work on every channel by itself: sum, scale, spread. Channels are the second axis."""

from onnxsplit.autodiff.sites import Site


def list_all_but_channels(at: Site) -> list[int]:
    """Return the axes of the first input but for the second."""
    return [0, *range(2, at.rank(at.inputs[0]))]


def sum_channels(at: Site, value: str) -> str:
    """Sum over all but the channels."""
    return at.emit("ReduceSum", value, at.integers(list_all_but_channels(at)), keepdims=0)


def spread_channels(at: Site, value: str) -> str:
    """Give a number per channel the rank of the first input."""
    after = [1] * (at.rank(at.inputs[0]) - 2)
    return at.emit("Reshape", value, at.integers([-1, *after]))


def scale_channels(
    at: Site,
    value: str,
    scale: str,
    *,
    bias: str | None = None,
    variance: str | None = None,
    epsilon: float = 0.0,
) -> str:
    """Multiply every channel by a number, divide by a deviation and add a number.

    BatchNormalization does it in one pass over the values; products and sums take several.

    Parameters
    ----------
    at : Site
    value, scale : str
    bias : str, optional
        Nothing is added if not given.
    variance : str, optional
        Of each channel; nothing is divided by if not given.
    epsilon : float
        Added to the variance.
    """
    shape = at.sizes(at.inputs[1])
    none = at.emit("Expand", at.scalar(0.0, at.inputs[0]), shape)
    one = at.emit("Expand", at.scalar(1.0, at.inputs[0]), shape)
    return at.emit(
        "BatchNormalization",
        value,
        scale,
        bias if bias is not None else none,
        none,
        variance if variance is not None else one,
        epsilon=epsilon,
    )
