"""The model as a DAG of operators and tensors: names and sizes, no protobufs and no costs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from onnxsplit.errors import ModelError

ValueKind = Literal["tensor", "sparse_tensor", "sequence", "optional", "map", "unknown"]
Dim = int | str | None

ITEM_BYTES: Mapping[str, float] = {
    **dict.fromkeys(("bool", "int8", "uint8"), 1.0),
    **dict.fromkeys(
        ("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float8e8m0"), 1.0
    ),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2.0),
    **dict.fromkeys(("int32", "uint32", "float32"), 4.0),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8.0),
    "complex128": 16.0,
    **dict.fromkeys(("int4", "uint4", "float4e2m1"), 0.5),
    **dict.fromkeys(("int2", "uint2"), 0.25),
}
"""Bytes of one element, by ONNX's own dtype names in lower case (``float`` is ``float32``)."""

FLOATING: frozenset[str] = frozenset({"float16", "bfloat16", "float32", "float64"})
"""Element types that gradients have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """What tells one model from another.

    Parameters
    ----------
    sha256 : str or None
        Hash of the model file's own bytes (external data files are not part of it).
    structure : str or None
        Hash over topology, operator types, attributes and input shapes, without names and weights.
    """

    sha256: str | None = None
    structure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Type and shape of a value between operators.

    Parameters
    ----------
    name : str
        Name of the value in the model.
    dtype : str or None
        Element type such as ``float32``; None where it is not known.
    shape : tuple of int, str or None, or None
        Dims; a str is a symbolic dim, None an unnamed unknown one; None if the rank is unknown.
    kind : str
        ``tensor`` unless the value is a sequence, an optional, a map or a sparse tensor.
    """

    name: str
    dtype: str | None
    shape: tuple[Dim, ...] | None
    kind: ValueKind = "tensor"

    @property
    def elements(self) -> int | None:
        """Number of elements, or None while a dim is unknown."""
        if self.shape is None:
            return None
        dims = [dim for dim in self.shape if isinstance(dim, int)]
        return math.prod(dims) if len(dims) == len(self.shape) else None

    @property
    def size_bytes(self) -> int | None:
        """Elements times item size, or None while either is unknown."""
        elements = self.elements
        if self.kind != "tensor" or elements is None or self.dtype is None:
            return None
        if self.dtype not in ITEM_BYTES:
            return None
        return math.ceil(elements * ITEM_BYTES[self.dtype])

    @property
    def travel_obstacle(self) -> str | None:
        """Why this value can't cross a link, or None if it can."""
        if self.kind != "tensor":
            return f"it is of kind {self.kind}, and only dense tensors travel"
        if self.dtype is None:
            return "its element type is not known"
        if self.dtype not in ITEM_BYTES:
            return f"its element type {self.dtype} has no fixed size"
        if self.size_bytes is None:
            return "its size is not known"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A live, non-constant node of the model's top graph.

    Parameters
    ----------
    name : str
        Unique name (the node's own where that is unique and non-empty).
    op_type, domain : str
        As in the model; the default domain is ``""``.
    index : int
        Place in the model's ``graph.node``.
    inputs : tuple of str
        Non-constant values it reads, each once, in order; values that only the bodies of If,
        Loop or Scan capture come last.
    outputs : tuple of str
        Values it makes; omitted optional outputs are left out.
    weights : tuple of str
        Initializers it depends on, directly or through a cone of constants.
    is_random : bool
        It draws random numbers (also within a body or function), so it must never be copied.
    """

    name: str
    op_type: str
    domain: str
    index: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...] = ()
    is_random: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorGraph:
    """The DAG of live operators with the values between them.

    Parameters
    ----------
    identity : ModelIdentity
    operators : tuple of Operator
        In a topological order that follows the model's own where that is valid.
    tensors : mapping of str to TensorSpec
        Every model input, every operator's output and every model output.
    inputs : tuple of str
        Model inputs that must be fed (overridable initializers are not among them), in order.
    outputs : tuple of str
        Model outputs, in order.
    constant_operators : tuple of str
        Names of the operators that depend on constants alone; every stage gets its own copies.
    dead_operators : tuple of str
        Names of the operators that no model output depends on.
    constant_outputs : tuple of str
        Model outputs made of constants alone (initializers among them).
    weight_bytes : mapping of str to int
        Size of every initializer that a live operator depends on.
    weight_dtypes : mapping of str to str
        Element type of these initializers, where it is known.

    Raises
    ------
    ModelError
        A name is not unique, a value has two producers or none, or the order is not topological.
    """

    identity: ModelIdentity
    operators: tuple[Operator, ...]
    tensors: Mapping[str, TensorSpec]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constant_operators: tuple[str, ...] = ()
    dead_operators: tuple[str, ...] = ()
    constant_outputs: tuple[str, ...] = ()
    weight_bytes: Mapping[str, int] = field(default_factory=dict)
    weight_dtypes: Mapping[str, str] = field(default_factory=dict)
    _position: dict[str, int] = field(init=False, repr=False, compare=False)
    _producer: dict[str, str] = field(init=False, repr=False, compare=False)
    _consumers: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index producers and consumers, and refuse what is no DAG."""
        position: dict[str, int] = {}
        producer: dict[str, str] = {}
        consumers: dict[str, list[str]] = {}
        available = set(self.inputs) | set(self.constant_outputs)
        for place, operator in enumerate(self.operators):
            if operator.name in position:
                raise ModelError(
                    f"Two operators are named {operator.name!r}; names must be unique."
                )
            position[operator.name] = place
            for tensor in operator.inputs:
                if tensor not in available:
                    raise ModelError(
                        f"Operator {operator.name!r} reads {tensor!r} before anything makes it;"
                        " the graph is not in topological order, or the value has no producer."
                    )
                consumers.setdefault(tensor, []).append(operator.name)
            for tensor in operator.outputs:
                if tensor in available:
                    raise ModelError(
                        f"The value {tensor!r} is made twice; names of values must be unique."
                    )
                producer[tensor] = operator.name
                available.add(tensor)
        missing = [name for name in self.outputs if name not in available]
        if missing:
            raise ModelError(f"Nothing makes the model output {missing[0]!r}.")
        unknown = sorted(available - set(self.tensors) - set(self.constant_outputs))
        if unknown:
            raise ModelError(f"The value {unknown[0]!r} has no entry among the tensors.")
        object.__setattr__(self, "_position", position)
        object.__setattr__(self, "_producer", producer)
        object.__setattr__(
            self, "_consumers", {name: tuple(users) for name, users in consumers.items()}
        )

    def __iter__(self) -> Iterator[Operator]:
        """Iterate over the operators in topological order."""
        return iter(self.operators)

    def __len__(self) -> int:
        """Count the live, non-constant operators."""
        return len(self.operators)

    def operator(self, name: str) -> Operator:
        """Return the operator of that name; KeyError if there is none."""
        return self.operators[self._position[name]]

    def position(self, name: str) -> int:
        """Return the operator's place in topological order; KeyError if there is none."""
        return self._position[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether a live, non-constant operator has that name."""
        return name in self._position

    def producer(self, tensor: str) -> str | None:
        """Return the operator that makes the value; None for model inputs and constants."""
        return self._producer.get(tensor)

    def consumers(self, tensor: str) -> tuple[str, ...]:
        """Return the operators that read the value, each once, in topological order."""
        return self._consumers.get(tensor, ())

    def predecessors(self, name: str) -> tuple[str, ...]:
        """Return the operators whose values this one reads, each once."""
        makers = (self._producer.get(tensor) for tensor in self.operator(name).inputs)
        return tuple(dict.fromkeys(maker for maker in makers if maker is not None))

    def successors(self, name: str) -> tuple[str, ...]:
        """Return the operators that read this one's values, each once."""
        outputs = self.operator(name).outputs
        return tuple(dict.fromkeys(user for tensor in outputs for user in self.consumers(tensor)))

    @property
    def roots(self) -> tuple[str, ...]:
        """Operators whose inputs are all model inputs or constants."""
        return tuple(op.name for op in self.operators if not self.predecessors(op.name))

    @property
    def leaves(self) -> tuple[str, ...]:
        """Operators without consumers."""
        return tuple(op.name for op in self.operators if not self.successors(op.name))
