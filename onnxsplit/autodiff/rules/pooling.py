"""Rules of poolings with windows."""

from collections.abc import Sequence

import numpy as np
import onnx

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule
from onnxsplit.autodiff.windows import Windows, count_members, read_windows


def _read(at: Site) -> Windows:
    """Read a pooling's windows."""
    kernel = at.attribute("kernel_shape")
    return read_windows(at, image=at.inputs[0], places=at.outputs[0], kernel=kernel)


def _find_lack(node: onnx.NodeProto) -> str | None:
    """Refuse places that are counted column by column."""
    columns = any(a.name == "storage_order" and a.i for a in node.attribute)
    return "storage_order 1" if columns else None


@rule("MaxPool", find_lack=_find_lack)
def differentiate_max_pool(at: Site) -> Sequence[str | None]:
    """Give each window's gradient to the place that the window took its number from."""
    # The operator's own places, for equal numbers of a window must not count twice.
    x, places, flat = at.inputs[0], at.keep_output(1), at.integers([-1])
    numbers = at.emit("Reshape", at.gradient(), flat)
    count = at.emit("ReduceProd", at.sizes(x), keepdims=1)
    zeros = at.emit("Expand", at.scalar(0.0, x), count)
    added = at.emit(
        "ScatterElements",
        zeros,
        at.emit("Reshape", places, flat),
        numbers,
        reduction="add" if _read(at).overlap else None,
    )
    return [at.take_shape(added, x)]


@rule("AveragePool")
def differentiate_average_pool(at: Site) -> Sequence[str | None]:
    """Share each window's gradient equally among the places that it counts."""
    windows = _read(at)
    counted = count_members(windows, padding=bool(at.attribute("count_include_pad", 0)))
    even = counted.size > 0 and np.all(counted == counted.flat[0])
    shares = 1.0 / (counted.flat[:1].reshape(()) if even else counted)
    shared = at.emit("Mul", at.gradient(), at.store(shares, at.inputs[0]))
    return [_spread(at, shared, windows)]


@rule("LpPool")
def differentiate_lp_pool(at: Site) -> Sequence[str | None]:
    """Compute x |x|^(p-2) times the sum of g y^(1-p) over the windows of a place."""
    x, y, power = at.inputs[0], at.outputs[0], at.attribute("p", 2)
    windows = _read(at)
    if power == 1:
        return [at.emit("Mul", at.emit("Sign", x), _spread(at, at.gradient(), windows))]
    # A window of zeros gives none of its places a gradient, and must not divide by zero.
    empty = at.cast_like(at.emit("Equal", y, at.scalar(0.0, y)), y)
    base = at.emit("Add", y, empty)
    scaled = at.emit("Div", at.gradient(), _raise(at, base, power - 1))
    spread = _spread(at, scaled, windows)
    weight = x if power == 2 else at.emit("Mul", x, _raise(at, at.emit("Abs", x), power - 2))  # noqa: PLR2004
    return [at.emit("Mul", weight, spread)]


def _raise(at: Site, value: str, power: int) -> str:
    """Raise a value to a power."""
    return value if power == 1 else at.emit("Pow", value, at.scalar(power, at.inputs[0]))


def _spread(at: Site, numbers: str, windows: Windows) -> str:
    """Add each window's number to all of its places."""
    # Channels are alike, so each is an image of its own.
    apart = at.emit("Reshape", numbers, at.integers([-1, 1, *windows.counts]))
    # In ceil mode windows reach beyond the image and its padding; what they add there is dropped.
    beyond = [min(0, extra) for extra in windows.surplus]
    missed = [max(0, extra) for extra in windows.surplus]
    after = [pad - extra for pad, extra in zip(windows.after, beyond, strict=True)]
    spread = at.emit(
        "ConvTranspose",
        apart,
        at.store(np.ones((1, 1, *windows.kernel)), at.inputs[0]),
        strides=windows.strides,
        dilations=windows.dilations,
        pads=[*windows.before, *after],
        output_padding=missed if any(missed) else None,
    )
    return at.take_shape(spread, at.inputs[0])
