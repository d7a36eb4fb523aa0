"""Rules of normalisations over the last axes."""

from collections.abc import Sequence

from onnxsplit.autodiff.broadcasting import sum_to
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


@rule("LayerNormalization")
def differentiate_layer_norm(at: Site) -> Sequence[str | None]:
    """Compute i (h - mean(h) - n mean(h n)), with h = g scale and the normalised input n."""
    x = at.inputs[0]
    mean, inverse = _read_statistics(at)
    normal = at.emit("Mul", at.emit("Sub", x, mean), inverse)
    shift = _sum_like(at, at.gradient(), 2) if at.wants(2) else None
    first = None
    if at.wants(0):
        scaled = at.emit("Mul", at.gradient(), at.inputs[1])
        centred = at.emit("Sub", scaled, _average(at, scaled))
        first = _remove_share(at, centred, scaled, normal, inverse)
    return [first, _differentiate_scale(at, normal), shift]


@rule("RMSNormalization")
def differentiate_rms_norm(at: Site) -> Sequence[str | None]:
    """Compute i (h - n mean(h n)), with h = g scale and the normalised input n."""
    x = at.inputs[0]
    square = _average(at, at.emit("Mul", x, x))
    lifted = at.emit("Add", square, at.scalar(at.attribute("epsilon", 1e-5), x))
    inverse = at.emit("Reciprocal", at.emit("Sqrt", lifted))
    normal = at.emit("Mul", x, inverse)
    first = None
    if at.wants(0):
        scaled = at.emit("Mul", at.gradient(), at.inputs[1])
        first = _remove_share(at, scaled, scaled, normal, inverse)
    return [first, _differentiate_scale(at, normal)]


def _read_statistics(at: Site) -> tuple[str, str]:
    """Return mean and inverse deviation, which the forward operator is made to yield."""
    made = at.keep_output(1), at.keep_output(2)
    if at.data_type(at.inputs[0]) == at.attribute("stash_type", 1):
        return made
    return at.cast_like(made[0], at.inputs[0]), at.cast_like(made[1], at.inputs[0])


def _average(at: Site, value: str) -> str:
    """Average over the axes that are normalised, which stay with size one."""
    rank = at.rank(at.inputs[0])
    axes = list(range(at.axis(at.inputs[0], at.attribute("axis", -1)), rank))
    return at.emit("ReduceMean", value, at.integers(axes), keepdims=1)


def _remove_share(at: Site, centred: str, scaled: str, normal: str, inverse: str) -> str:
    """Take away what a change of the deviation would undo."""
    share = _average(at, at.emit("Mul", scaled, normal))
    rest = at.emit("Sub", centred, at.emit("Mul", normal, share))
    return at.emit("Mul", rest, inverse)


def _differentiate_scale(at: Site, normal: str) -> str | None:
    """Compute sum(g n)."""
    if not at.wants(1):
        return None
    return _sum_like(at, at.emit("Mul", at.gradient(), normal), 1)


def _sum_like(at: Site, value: str, place: int) -> str:
    """Sum a value of the result's shape to that of an input."""
    name = at.inputs[place]
    return sum_to(at, value, at.shape(at.inputs[0]), at.shape(name), name)
