"""What a gradient rule is tried on: one operator with inputs, attributes and what is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.gradients.evaluator import make_evaluator

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientCase:
    """One operator to differentiate.

    Parameters
    ----------
    op_type : str
    name : str
        What is special about it.
    inputs : mapping of str to array or None
        In the operator's order; floats in float64; None leaves an optional input out.
    attributes : mapping of str to attribute value
    constants : sequence of str
        Inputs that are initializers instead.
    trained : sequence of str, optional
        All inputs of floating point if not given.
    outputs : int
    seeded : sequence of int
        Places of the outputs whose gradients are fed.
    opset : int
    domain : str
    types : sequence of int, optional
        Element types of the outputs, where they are not those of the first input.
    batched : sequence of str, optional
        Inputs of which the first dim, and of no other input any, may be unknown.
    runs_on_onnxruntime : bool
        Whether onnxruntime has the operator itself at all.
    tolerance : float
        Of float32 against float64, relative to the largest element.
    """

    op_type: str
    name: str
    inputs: Mapping[str, Array | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Sequence[str] = ()
    trained: Sequence[str] | None = None
    outputs: int = 1
    seeded: Sequence[int] = (0,)
    opset: int = 18
    domain: str = ""
    batched: Sequence[str] | None = None
    runs_on_onnxruntime: bool = True
    tolerance: float = 2e-5

    def __str__(self) -> str:
        """Name the case in a test's identity."""
        return f"{self.op_type}: {self.name}"

    @property
    def _outputs(self) -> list[str]:
        """Return the names of the outputs."""
        return [f"output{place}" for place in range(self.outputs)]

    def list_trained(self) -> list[str]:
        """Return the names of the trained inputs."""
        if self.trained is not None:
            return list(self.trained)
        return [
            name
            for name, value in self.inputs.items()
            if value is not None and value.dtype == np.float64
        ]

    def make_model(self, dtype: type[np.floating[Any]], *, sized: bool = True) -> onnx.ModelProto:
        """Make a model of the one operator.

        Parameters
        ----------
        dtype : type
            Of everything of floating point.
        sized : bool
            Whether the dims of the inputs are numbers; else they are unknown, as far as may be.
        """
        given = {name: value for name, value in self.inputs.items() if value is not None}
        arrays = {name: cast_floats(value, dtype) for name, value in given.items()}
        node = onnx.helper.make_node(
            self.op_type,
            [name if value is not None else "" for name, value in self.inputs.items()],
            [f"output{place}" for place in range(self.outputs)],
            name="operator",
            domain=self.domain,
            **self.attributes,
        )
        graph = onnx.helper.make_graph(
            [node],
            "case",
            [
                self._describe(name, value, sized=sized)
                for name, value in arrays.items()
                if name not in self.constants
            ],
            [onnx.ValueInfoProto(name=name) for name in node.output],
            [onnx.numpy_helper.from_array(arrays[name], name) for name in self.constants],
        )
        opsets = [onnx.helper.make_opsetid("", self.opset)]
        if self.domain:
            opsets.append(onnx.helper.make_opsetid(self.domain, 1))
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
        # Inference can't tell the rank of a result that follows from fed axes; a run can.
        results = make_evaluator(model).run(None, self.make_feeds(dtype))
        for output, result in zip(list(graph.output), results, strict=True):
            output.CopyFrom(self._describe(output.name, np.asarray(result), sized=sized))
        model.graph.CopyFrom(graph)
        return model

    def _describe(self, name: str, value: Array, *, sized: bool) -> onnx.ValueInfoProto:
        """Describe an array, or one of which only the rank or all but the batch is known."""
        number = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        shape: list[int | None] = list(value.shape)
        if not sized and self.batched is None:
            shape = [None] * value.ndim
        elif not sized and self.batched is not None and name in {*self.batched, *self._outputs}:
            shape[0] = None
        return onnx.helper.make_tensor_value_info(name, number, shape)

    def make_feeds(self, dtype: type[np.floating[Any]]) -> dict[str, Array]:
        """Return the arrays that the model's inputs are fed."""
        return {
            name: cast_floats(value, dtype)
            for name, value in self.inputs.items()
            if value is not None and name not in self.constants
        }


def cast_floats(values: Array, dtype: type[np.floating[Any]]) -> Array:
    """Cast an array of float64; leave any other as it is."""
    return values.astype(dtype) if values.dtype == np.float64 else values


def draw(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Array:
    """Draw numbers evenly; they keep a small distance from each other and from zero, as kinks do.

    Parameters
    ----------
    *shape : int
    seed : int
    low, high : float
    """
    rng = np.random.default_rng([seed, *shape])
    count = int(np.prod(shape))
    # Places of an even grid in random order: no two numbers tie.
    grid = low + (high - low) * (np.arange(count) + rng.uniform(0.3, 0.7, count)) / max(count, 1)
    values = rng.permutation(grid)
    small = np.abs(values) < 1e-2
    return np.asarray(np.where(small, 1e-2 + np.abs(values), values).reshape(shape))


def fix_and_feed(case: GradientCase, *names: str) -> list[GradientCase]:
    """Return a case twice: with some inputs known beforehand, and with the same ones fed."""
    fixed = replace(case, name=f"{case.name}, known", constants=[*case.constants, *names])
    return [fixed, replace(case, name=f"{case.name}, fed")]
