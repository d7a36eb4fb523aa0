"""Where a rule is applied: one operator, what is known of its values, and what it may emit.

Note on sizes. A rule may rely on dims that are numbers, and on equal symbols being equal sizes.
Where it needs a size that is not known it reads it at run time, from a forward value's ``Shape``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from onnxsplit.autodiff.emission import Attribute, Emitter
from onnxsplit.errors import UnknownShapeError
from onnxsplit.graph import Dim, TensorSpec
from onnxsplit.model.dtypes import DTYPE_NUMBERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One operator, seen by its rule.

    Parameters
    ----------
    node : onnx.NodeProto
        The forward operator.
    opset : int
        Version of its domain; the standard domain's is 18 or newer.
    gradients : tuple of str or None
        What arrives for each of its outputs; None where nothing does.
    wanted : tuple of bool
        For each input whether its gradient is needed.
    specs : mapping of str to TensorSpec
        Types and shapes of the forward values.
    read_constant : callable
        Returns the array that a forward value always holds, or None.
    stash : callable
        See `keep_output`.
    emitter : Emitter
    """

    node: onnx.NodeProto
    opset: int
    gradients: tuple[str | None, ...]
    wanted: tuple[bool, ...]
    specs: Mapping[str, TensorSpec]
    read_constant: Callable[[str], np.ndarray | None]
    stash: Callable[[int], str]
    emitter: Emitter

    @property
    def inputs(self) -> Sequence[str]:
        """Names of the operator's inputs; empty where an optional one is left out."""
        return self.node.input

    @property
    def outputs(self) -> Sequence[str]:
        """Names of the operator's outputs."""
        return self.node.output

    def has_input(self, place: int) -> bool:
        """Tell whether an optional input is given."""
        return len(self.node.input) > place and bool(self.node.input[place])

    def wants(self, place: int) -> bool:
        """Tell whether the gradient of an input is needed."""
        return len(self.wanted) > place and self.wanted[place]

    def attribute(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as ONNX has them
        """Return an attribute's value; bytes are turned into str."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                value = onnx.helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def shape(self, name: str) -> tuple[Dim, ...]:
        """Return a forward value's shape.

        Raises
        ------
        UnknownShapeError
            Not even the rank is known.
        """
        spec = self.specs.get(name)
        if spec is None or spec.shape is None:
            raise UnknownShapeError(
                f"The rank of {name!r}, which {self.node.name!r} reads or makes, can't be inferred,"
                " and its gradient needs it; fix the model's input shapes with --shape or --dim."
            )
        return spec.shape

    def rank(self, name: str) -> int:
        """Return a forward value's number of dims."""
        return len(self.shape(name))

    def static_shape(self, name: str) -> tuple[int, ...] | None:
        """Return a forward value's shape if every dim is a number."""
        shape = self.shape(name)
        dims = tuple(dim for dim in shape if isinstance(dim, int))
        return dims if len(dims) == len(shape) else None

    def axis(self, name: str, axis: int) -> int:
        """Count a possibly negative axis of a forward value from the front."""
        return axis % max(1, self.rank(name))

    def data_type(self, name: str) -> int:
        """Return ONNX's number of a forward value's element type."""
        spec = self.specs.get(name)
        if spec is None or spec.dtype is None:
            raise UnknownShapeError(f"The element type of {name!r} can't be inferred.")
        return DTYPE_NUMBERS[spec.dtype]

    def emit(self, op_type: str, *inputs: str, **attributes: Attribute | None) -> str:
        """Emit a node of the standard domain that makes one value, and return its name."""
        return self.emitter.emit([self.node.name], op_type, inputs, attributes=attributes)[0]

    def emit_many(
        self, op_type: str, inputs: Sequence[str], outputs: int, **attributes: Attribute | None
    ) -> tuple[str, ...]:
        """Emit a node that makes several values."""
        return self.emitter.emit(
            [self.node.name], op_type, inputs, attributes=attributes, outputs=outputs
        )

    def scalar(self, value: float, like: str) -> str:
        """Keep a number of the element type of a forward value."""
        return self.emitter.store(np.asarray(value), self.data_type(like))

    def integers(self, values: int | Sequence[int]) -> str:
        """Keep int64 numbers: axes, sizes, places."""
        return self.emitter.store(np.asarray(values, dtype=np.int64))

    def store(self, values: np.ndarray, like: str) -> str:
        """Keep an array in the element type of a forward value."""
        return self.emitter.store(values, self.data_type(like))

    def keep_output(self, place: int) -> str:
        """Return an optional output's name; the forward operator is made to yield it."""
        return self.stash(place)

    def gradient(self, place: int = 0) -> str:
        """Return the gradient of an output; zeros where none arrives."""
        arrived = self.gradients[place]
        return arrived if arrived is not None else self.zeros(self.node.output[place])

    def zeros(self, like: str) -> str:
        """Emit zeros of the type and shape of a forward value."""
        return self.emit("Expand", self.scalar(0.0, like), self.sizes(like))

    def sizes(self, name: str) -> str:
        """Return the name of a forward value's sizes: a constant where they are known."""
        static = self.static_shape(name)
        return self.integers(static) if static is not None else self.emit("Shape", name)

    def take_shape(self, value: str, like: str) -> str:
        """Reshape a value, of as many elements, to the shape of a forward value."""
        shape = self.shape(like)
        unknown = [dim for dim in shape if not isinstance(dim, int)]
        if len(unknown) > 1 or (unknown and 0 in shape):
            return self.emit("Reshape", value, self.emit("Shape", like), allowzero=1)
        dims = [dim if isinstance(dim, int) else -1 for dim in shape]
        return self.emit("Reshape", value, self.integers(dims), allowzero=1 if 0 in dims else None)

    def cast_like(self, value: str, like: str) -> str:
        """Cast a value, or a condition to ones and zeros, to a forward value's element type."""
        return self.emit("Cast", value, to=self.data_type(like))

    def widen_integers(self, name: str) -> str:
        """Return integers as int64, the only type that every kernel of indices takes."""
        if self.data_type(name) == onnx.TensorProto.INT64:
            return name
        return self.emit("Cast", name, to=onnx.TensorProto.INT64)
