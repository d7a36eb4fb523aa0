"""Rules of matrix products.

Products of two matrices are emitted as Gemm, never as MatMul: onnxruntime fuses a MatMul with an
Add behind it, and a sum of gradients would then round differently on the two sides of a cut.
"""

from collections.abc import Sequence

from onnxsplit.autodiff.broadcasting import sum_to, unbroadcast
from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule
from onnxsplit.graph import Dim

_MATRIX = 2


@rule("MatMul")
def differentiate_matmul(at: Site) -> Sequence[str | None]:
    """Compute g B^T and A^T g, with leading axes flattened or batched."""
    left, right = at.rank(at.inputs[0]), at.rank(at.inputs[1])
    if right == _MATRIX and left >= _MATRIX:
        return _differentiate_flat(at)
    return _differentiate_batched(at)


def _differentiate_flat(at: Site) -> Sequence[str | None]:
    """Multiply by a single matrix: all rows are one matrix."""
    left, right = at.inputs
    gradient = _flatten(at, at.gradient(), at.rank(left))
    first = second = None
    if at.wants(0):
        first = at.emit("Gemm", gradient, right, transB=1)
        first = first if at.rank(left) == _MATRIX else at.take_shape(first, left)
    if at.wants(1):
        second = at.emit("Gemm", _flatten(at, left, at.rank(left)), gradient, transA=1)
    return [first, second]


def _flatten(at: Site, value: str, rank: int) -> str:
    """Make a value's rows one matrix."""
    return value if rank == _MATRIX else at.emit("Flatten", value, axis=rank - 1)


def _differentiate_batched(at: Site) -> Sequence[str | None]:
    """Multiply matrix by matrix; vectors are matrices of one row or column meanwhile."""
    (left, left_shape), (right, right_shape) = _see_matrix(at, 0), _see_matrix(at, 1)
    gradient = at.gradient()
    missing = [-2] if len(at.shape(at.inputs[0])) == 1 else []
    missing += [-1] if len(at.shape(at.inputs[1])) == 1 else []
    for axis in reversed(missing):
        gradient = at.emit("Unsqueeze", gradient, at.integers([axis]))
    batch = _broadcast(left_shape[:-2], right_shape[:-2])
    made: list[str | None] = [None, None]
    if at.wants(0):
        product = at.emit("MatMul", gradient, _turn(at, right, len(right_shape)))
        product = sum_to(at, product, [*batch, *left_shape[-2:]], left_shape, left)
        made[0] = at.emit("Squeeze", product, at.integers([-2])) if -2 in missing else product  # noqa: PLR2004 - an axis
    if at.wants(1):
        product = at.emit("MatMul", _turn(at, left, len(left_shape)), gradient)
        product = sum_to(at, product, [*batch, *right_shape[-2:]], right_shape, right)
        made[1] = at.emit("Squeeze", product, at.integers([-1])) if -1 in missing else product
    return made


def _see_matrix(at: Site, place: int) -> tuple[str, tuple[Dim, ...]]:
    """Return an operand with two axes at least, and its shape."""
    name = at.inputs[place]
    shape = at.shape(name)
    if len(shape) > 1:
        return name, shape
    axis = 0 if place == 0 else 1
    wider = (1, *shape) if place == 0 else (*shape, 1)
    return at.emit("Unsqueeze", name, at.integers([axis])), wider


def _broadcast(left: Sequence[Dim], right: Sequence[Dim]) -> tuple[Dim, ...]:
    """Return the dims of what two shapes are broadcast to; None where that is not known."""
    rank = max(len(left), len(right))
    pairs = zip(
        [1] * (rank - len(left)) + list(left), [1] * (rank - len(right)) + list(right), strict=True
    )
    return tuple(_join(one, two) for one, two in pairs)


def _join(one: Dim, two: Dim) -> Dim:
    """Return the size of an axis of two operands."""
    if one == 1:
        return two
    if two in {1, one}:
        return one
    # A number above one is the size, whatever the other is.
    return next((dim for dim in (one, two) if isinstance(dim, int)), None)


def _turn(at: Site, name: str, rank: int) -> str:
    """Transpose the last two axes."""
    return at.emit("Transpose", name, perm=[*range(rank - 2), rank - 1, rank - 2])


@rule("Gemm")
def differentiate_gemm(at: Site) -> Sequence[str | None]:
    """Compute alpha g B'^T, alpha A'^T g and beta g."""
    gradient, (left, right) = at.gradient(), at.inputs[:2]
    alpha, beta = at.attribute("alpha", 1.0), at.attribute("beta", 1.0)
    turned_left, turned_right = at.attribute("transA", 0), at.attribute("transB", 0)
    first = (
        at.emit("Gemm", right, gradient, alpha=alpha, transA=turned_right, transB=1)
        if turned_left
        else at.emit("Gemm", gradient, right, alpha=alpha, transB=1 - turned_right)
    )
    second = (
        at.emit("Gemm", gradient, left, alpha=alpha, transA=1, transB=turned_left)
        if turned_right
        else at.emit("Gemm", left, gradient, alpha=alpha, transA=1 - turned_left)
    )
    if not at.wants(2):
        return [first, second]
    third = unbroadcast(at, gradient, result=at.outputs[0], operand=at.inputs[2])
    if beta != 1.0:
        third = at.emit("Mul", third, at.scalar(beta, at.outputs[0]))
    return [first, second, third]
