"""onnx's evaluator, mended where it computes in float32 whatever it is given, and the like."""

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from tests.gradients import image_operators

Array = NDArray[Any]


class Erf(OpRun):
    """The error function in the type of its input."""

    def _run(self, x: Array) -> tuple[Array]:
        values = [math.erf(value) for value in x.ravel()]
        return (np.asarray(values, x.dtype).reshape(x.shape),)


class Celu(OpRun):
    """The continuously differentiable exponential unit in the type of its input."""

    def _run(self, x: Array, alpha: float = 1.0) -> tuple[Array]:
        below = alpha * np.expm1(np.minimum(x, 0) / alpha)
        return (np.asarray(np.maximum(x, 0) + below, x.dtype),)


class GatherElements(OpRun):
    """Picking by index, where onnx's own fails for indices that repeat or do not span an axis."""

    def _run(self, data: Array, indices: Array, axis: int = 0) -> tuple[Array]:
        places: list[Array] = list(np.indices(indices.shape))
        places[axis] = indices
        return (data[tuple(places)],)


class Gelu(OpRun):
    """The Gaussian error linear unit in the type of its input."""

    def _run(self, x: Array, approximate: str = "none") -> tuple[Array]:
        if approximate == "tanh":
            inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
            return (np.asarray(x / 2 * (1 + np.tanh(inner)), x.dtype),)
        shares = [math.erfc(-value / math.sqrt(2)) / 2 for value in x.ravel()]
        return (np.asarray(x * np.reshape(shares, x.shape), x.dtype),)


class Mean(OpRun):
    """The mean of arrays that are broadcast."""

    def _run(self, *given: Array) -> tuple[Array]:
        total = sum(given[1:], start=given[0])
        return (np.asarray(total / len(given), given[0].dtype),)


_MENDED = (Celu, Erf, GatherElements, Gelu, Mean, *image_operators.MENDED)


def make_evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """Make an evaluator that computes in the type of its inputs."""
    for operator in _MENDED:
        operator.op_domain = ""
    return ReferenceEvaluator(model, new_ops=list(_MENDED))
