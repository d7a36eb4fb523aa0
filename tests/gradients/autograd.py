"""PyTorch's counterparts of ONNX operators, whose gradients are another answer to compare with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.gradients.image_autograd import ImageCounterparts

torch: Any = pytest.importorskip(
    "torch", reason="PyTorch is not installed: an oracle of tests only"
)
functional = torch.nn.functional

Tensor = Any
Counterpart = Callable[[Sequence[Tensor], Mapping[str, Any]], Tensor]


def _apply(function: Callable[..., Tensor]) -> Counterpart:
    """Call a function with all inputs and no attributes."""
    return lambda given, _: function(*given)


def _reduce(function: Callable[..., Tensor]) -> Counterpart:
    """Call a reduction with axes, which are all unless given."""

    def apply(given: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
        x = given[0]
        none = attributes.get("noop_with_empty_axes", 0) and len(given) == 1
        if none:
            return x
        axes = [int(axis) for axis in given[1]] if len(given) > 1 else list(range(x.ndim))
        return function(x, dim=axes, keepdim=bool(attributes.get("keepdims", 1)))

    return apply


def _multiply_along(x: Tensor, dim: Sequence[int], keepdim: bool) -> Tensor:  # noqa: FBT001 - as PyTorch has it
    """Multiply along several axes, of which PyTorch takes one at a time."""
    for axis in sorted((axis % x.ndim for axis in dim), reverse=True):
        x = torch.prod(x, dim=axis, keepdim=keepdim)
    return x


def _clip(given: Sequence[Tensor], _: Mapping[str, Any]) -> Tensor:
    """Limit to bounds that may be left out."""
    low, high = (*given[1:], None, None)[:2]
    return given[0] if low is None and high is None else torch.clamp(given[0], low, high)


def _gemm(given: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    """Compute alpha A' B' + beta C."""
    a = given[0].T if attributes.get("transA") else given[0]
    b = given[1].T if attributes.get("transB") else given[1]
    product = attributes.get("alpha", 1.0) * (a @ b)
    return product + attributes.get("beta", 1.0) * given[2] if len(given) > 2 else product


def _lose(function: Callable[..., Tensor]) -> Counterpart:
    """Call a loss over classes."""

    def apply(given: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
        weights = given[2] if len(given) > 2 else None
        ignored = attributes.get("ignore_index", -100)
        reduction = attributes.get("reduction", "mean")
        return function(
            given[0], given[1], weight=weights, ignore_index=ignored, reduction=reduction
        )

    return apply


def _normalise(given: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    """Normalise over the last axes."""
    shift = given[2] if len(given) > 2 else None
    shape, epsilon = given[1].shape, attributes.get("epsilon", 1e-5)
    return functional.layer_norm(given[0], shape, given[1], shift, epsilon)


def _normalise_root(given: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    """Normalise by the root of the mean square."""
    epsilon = attributes.get("epsilon", 1e-5)
    return functional.rms_norm(given[0], given[1].shape, given[1], epsilon)


def _gather(given: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    """Pick along an axis, by indices of any shape."""
    x, indices = given
    axis = attributes.get("axis", 0) % x.ndim
    picked = torch.index_select(x, axis, indices.reshape(-1) % x.shape[axis])
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _pick(given: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    """Pick element by element along an axis."""
    x, indices = given
    axis = attributes.get("axis", 0)
    return torch.gather(x, axis, indices % x.shape[axis])


def _cumulate(given: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    """Sum up along an axis, from either end, with or without the element itself."""
    x, axis = given[0], int(given[1])
    turned = torch.flip(x, [axis]) if attributes.get("reverse") else x
    total = torch.cumsum(turned, axis)
    total = total - turned if attributes.get("exclusive") else total
    return torch.flip(total, [axis]) if attributes.get("reverse") else total


def _elu(given: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    """Call the exponential unit."""
    return functional.elu(given[0], attributes.get("alpha", 1.0))


COUNTERPARTS: Mapping[str, Counterpart] = {
    "Abs": _apply(torch.abs),
    "Acos": _apply(torch.acos),
    "Acosh": _apply(torch.acosh),
    "Add": _apply(torch.add),
    "Asin": _apply(torch.asin),
    "Asinh": _apply(torch.asinh),
    "Atan": _apply(torch.atan),
    "Atanh": _apply(torch.atanh),
    "Celu": lambda given, a: functional.celu(given[0], a.get("alpha", 1.0)),
    "Clip": _clip,
    "Concat": lambda given, a: torch.cat(list(given), a["axis"]),
    "Cos": _apply(torch.cos),
    "Cosh": _apply(torch.cosh),
    "CumSum": _cumulate,
    "Div": _apply(torch.div),
    "Einsum": lambda given, a: torch.einsum(a["equation"], *given),
    "Elu": _elu,
    "Erf": _apply(torch.erf),
    "Exp": _apply(torch.exp),
    "Gather": _gather,
    "GatherElements": _pick,
    "Gelu": lambda given, a: functional.gelu(given[0], approximate=a.get("approximate", "none")),
    "Gemm": _gemm,
    "HardSwish": _apply(functional.hardswish),
    "Identity": _apply(torch.clone),
    "LayerNormalization": _normalise,
    "LeakyRelu": lambda given, a: functional.leaky_relu(given[0], a.get("alpha", 0.01)),
    "Log": _apply(torch.log),
    "LogSoftmax": lambda given, a: torch.log_softmax(given[0], a.get("axis", -1)),
    "MatMul": _apply(torch.matmul),
    "Mish": _apply(functional.mish),
    "Mul": _apply(torch.mul),
    "Neg": _apply(torch.neg),
    "NegativeLogLikelihoodLoss": _lose(functional.nll_loss),
    "Pow": _apply(torch.pow),
    "RMSNormalization": _normalise_root,
    "Reciprocal": _apply(torch.reciprocal),
    "ReduceL1": _reduce(lambda x, **k: torch.linalg.vector_norm(x, 1, **k)),
    "ReduceL2": _reduce(lambda x, **k: torch.linalg.vector_norm(x, 2, **k)),
    "ReduceLogSum": _reduce(lambda x, **k: torch.log(torch.sum(x, **k))),
    "ReduceLogSumExp": _reduce(torch.logsumexp),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceProd": _reduce(_multiply_along),
    "ReduceSum": _reduce(torch.sum),
    "ReduceSumSquare": _reduce(lambda x, **k: torch.sum(x * x, **k)),
    "Relu": _apply(torch.relu),
    "Selu": lambda given, a: (
        a.get("gamma", 1.05070102214813232421875)
        * functional.elu(given[0], a.get("alpha", 1.67326319217681884765625))
    ),
    "Sigmoid": _apply(torch.sigmoid),
    "Sin": _apply(torch.sin),
    "Sinh": _apply(torch.sinh),
    "Softmax": lambda given, a: torch.softmax(given[0], a.get("axis", -1)),
    "SoftmaxCrossEntropyLoss": _lose(functional.cross_entropy),
    "Softplus": _apply(functional.softplus),
    "Softsign": _apply(functional.softsign),
    "Sqrt": _apply(torch.sqrt),
    "Sub": _apply(torch.sub),
    "Swish": lambda given, a: given[0] * torch.sigmoid(a.get("alpha", 1.0) * given[0]),
    "Tan": _apply(torch.tan),
    "Tanh": _apply(torch.tanh),
    "Tile": lambda given, _: torch.tile(given[0], [int(count) for count in given[1]]),
    "Where": _apply(torch.where),
    **ImageCounterparts(torch).list_all(),
}
"""PyTorch's counterparts by operator type."""
