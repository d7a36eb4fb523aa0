"""Rules of normalisations of each image: of its channels, of groups of them, of all it has."""

from collections.abc import Sequence

from onnxsplit.autodiff.channels import spread_channels, sum_channels
from onnxsplit.autodiff.rules.global_pooling import list_places
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule
from onnxsplit.errors import UnknownGradientError

_EPSILON = 1e-5
"""ONNX's default."""
_CHANNEL_SCALES = 21
"""The opset since which GroupNormalization scales channels instead of groups."""
_SMALLEST = 1e-18
"""The square of what ONNX adds to the deviation, so that nothing is divided by zero."""


def _normalise(at: Site, x: str, axes: str, epsilon: float) -> tuple[str, str]:
    """Return a value without mean and deviation, and one over the deviation."""
    centred = at.emit("Sub", x, at.emit("ReduceMean", x, axes, keepdims=1))
    variance = at.emit("ReduceMean", at.emit("Mul", centred, centred), axes, keepdims=1)
    shifted = at.emit("Add", variance, at.scalar(epsilon, at.inputs[0]))
    inverse = at.emit("Reciprocal", at.emit("Sqrt", shifted))
    return at.emit("Mul", centred, inverse), inverse


def _go_back(at: Site, gradient: str, unit: str, inverse: str, axes: str) -> str:
    """Return the gradient of what was normalised: without its parts along mean and deviation."""
    mean = at.emit("ReduceMean", gradient, axes, keepdims=1)
    along = at.emit("ReduceMean", at.emit("Mul", gradient, unit), axes, keepdims=1)
    rest = at.emit("Sub", at.emit("Sub", gradient, mean), at.emit("Mul", unit, along))
    return at.emit("Mul", rest, inverse)


@rule("InstanceNormalization")
def differentiate_instance_normalization(at: Site) -> Sequence[str | None]:
    """Normalise each channel of each image by itself once more, and go back."""
    x, scale = at.inputs[:2]
    gradient, axes = at.gradient(), at.integers(list_places(at))
    unit, inverse = _normalise(at, x, axes, at.attribute("epsilon", _EPSILON))
    scaled = at.emit("Mul", gradient, spread_channels(at, scale))
    return [
        _go_back(at, scaled, unit, inverse, axes) if at.wants(0) else None,
        sum_channels(at, at.emit("Mul", gradient, unit)) if at.wants(1) else None,
        sum_channels(at, gradient) if at.wants(2) else None,
    ]


@rule("GroupNormalization")
def differentiate_group_normalization(at: Site) -> Sequence[str | None]:
    """Normalise each group of each image once more, and go back.

    Raises
    ------
    UnknownGradientError
        The operator is of an opset where its scales are those of groups.
    """
    if at.opset < _CHANNEL_SCALES:
        raise UnknownGradientError(
            f"{at.node.name!r} is a GroupNormalization of opset {at.opset}, which ONNX took back;"
            f" export the model with opset {_CHANNEL_SCALES} or newer."
        )
    x, scale = at.inputs[:2]
    groups = at.attribute("num_groups")
    gradient, last, apart = at.gradient(), at.integers([2]), at.integers([0, groups, -1])
    grouped = at.emit("Reshape", x, apart)
    unit, inverse = _normalise(at, grouped, last, at.attribute("epsilon", _EPSILON))
    spread = spread_channels(at, scale)
    scaled = at.emit("Reshape", at.emit("Mul", gradient, spread), apart)
    product = at.emit("Mul", gradient, at.take_shape(unit, x))
    return [
        at.take_shape(_go_back(at, scaled, unit, inverse, last), x) if at.wants(0) else None,
        sum_channels(at, product) if at.wants(1) else None,
        sum_channels(at, gradient) if at.wants(2) else None,
    ]


@rule("MeanVarianceNormalization")
def differentiate_mean_variance_normalization(at: Site) -> Sequence[str | None]:
    """Normalise over the given axes once more, and go back."""
    axes = at.integers(at.attribute("axes") or [0, 2, 3])
    unit, inverse = _normalise(at, at.inputs[0], axes, _SMALLEST)
    return [_go_back(at, at.gradient(), unit, inverse, axes)]
