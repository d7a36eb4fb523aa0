"""Emit backward nodes and constants under names that the same model always gets again."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from onnxsplit.errors import InternalError

Attribute = int | float | str | Sequence[int] | Sequence[float] | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackwardNode:
    """A node of the backward pass.

    Parameters
    ----------
    proto : onnx.NodeProto
        Named ``bwd|<operator>|<number>``.
    operators : tuple of str
        The forward operators that it serves: one, or, where it adds up gradients, those whose
        contributions are in the sum. It runs on the earliest tier among them.
    """

    proto: onnx.NodeProto
    operators: tuple[str, ...]


class Emitter:
    """Collects backward nodes, in topological order, and the constants they read.

    Parameters
    ----------
    taken : collection of str
        Names of values that exist already, as in a model that was itself differentiated.
    """

    def __init__(self, taken: Collection[str] = ()) -> None:
        """Start with none."""
        self._taken = frozenset(taken)
        self.nodes: list[BackwardNode] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._counts: dict[str, int] = {}

    def emit(
        self,
        operators: Sequence[str],
        op_type: str,
        inputs: Sequence[str],
        *,
        attributes: Mapping[str, Attribute | None] | None = None,
        outputs: int = 1,
    ) -> tuple[str, ...]:
        """Add a node and return the names of what it makes.

        Parameters
        ----------
        operators : sequence of str
            Forward operators; the node is named after the last.
        op_type : str
            Of the standard domain.
        inputs : sequence of str
            An empty name leaves an optional input out.
        attributes : mapping of str to attribute value, optional
            One that is None is left out.
        outputs : int
        """
        name = self._find_free_name(operators[-1])
        made = (name,) if outputs == 1 else tuple(f"{name}:{place}" for place in range(outputs))
        kept: dict[str, Any] = {k: v for k, v in (attributes or {}).items() if v is not None}
        proto = onnx.helper.make_node(op_type, list(inputs), list(made), name=name, **kept)
        self.nodes.append(BackwardNode(proto=proto, operators=tuple(operators)))
        return made

    def _find_free_name(self, owner: str) -> str:
        """Return the next name for what serves an operator."""
        while True:
            number = self._counts[owner] = self._counts.get(owner, 0) + 1
            name = f"bwd|{owner}|{number}"
            if name not in self._taken and f"{name}:0" not in self._taken:
                return name

    def store(self, values: np.ndarray, data_type: int | None = None) -> str:
        """Keep a constant and return its name; equal constants are kept once.

        Parameters
        ----------
        values : array
        data_type : int, optional
            ONNX's number of the element type, into which the values are turned.
        """
        if data_type is not None:
            values = values.astype(onnx.helper.tensor_dtype_to_np_dtype(data_type))
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape))
        content = tensor.SerializeToString(deterministic=True)
        name = f"bwd|constant|{hashlib.sha256(content).hexdigest()[:16]}"
        while name in self._taken:
            name += "+"
        tensor.name = name
        known = self.constants.setdefault(name, tensor)
        if known.SerializeToString(deterministic=True) != tensor.SerializeToString(
            deterministic=True
        ):
            raise InternalError("Two constants of the backward pass have the same hash.")
        return name
