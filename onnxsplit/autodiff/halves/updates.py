"""Optimizers as graphs: gradient, parameter and state in, updated ones out.

The formulas are those of ``torch.optim`` (SGD without dampening; Adam and AdamW of Kingma and Ba,
ICLR 2015, and of Loshchilov and Hutter, ICLR 2019); what depends on the step alone is computed in
float64, once for all parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxsplit.autodiff.halves.naming import (
    LEARNING_RATE,
    STEP,
    next_name,
    optimizer_name,
    slot_name,
)
from onnxsplit.autodiff.halves.recipe import Optimizer

_SHARED = "schedule"
"""In the names of nodes that serve all parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """Nodes that update parameters.

    Parameters
    ----------
    shared : tuple of onnx.NodeProto
        Those that read learning rate and step alone; every half runs them.
    nodes : mapping of str to tuple of onnx.NodeProto
        Parameter to its own.
    constants : tuple of onnx.TensorProto
    """

    shared: tuple[onnx.NodeProto, ...]
    nodes: Mapping[str, tuple[onnx.NodeProto, ...]]
    constants: tuple[onnx.TensorProto, ...]


def build_updates(
    optimizer: Optimizer, gradients: Mapping[str, str], data_types: Mapping[str, int]
) -> Updates:
    """Build the nodes that update parameters.

    Parameters
    ----------
    optimizer : Optimizer
    gradients : mapping of str to str
        Parameter to the name of its gradient.
    data_types : mapping of str to int
        Parameter to ONNX's number of its element type.

    Returns
    -------
    Updates
        The next value of a parameter ``p`` is ``next|p``, that of its momentum ``next|momentum|p``.
    """
    builder = _Builder(optimizer=optimizer)
    nodes = {
        parameter: tuple(builder.update(parameter, gradient, data_types[parameter]))
        for parameter, gradient in gradients.items()
    }
    return Updates(
        shared=tuple(builder.shared),
        nodes=nodes,
        constants=tuple(builder.constants.values()),
    )


class _Builder:
    """Emits nodes for one parameter after another."""

    def __init__(self, *, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.shared: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._owner = ""
        self._made: dict[tuple[str, int | None], str] = {}

    def update(self, parameter: str, gradient: str, data_type: int) -> list[onnx.NodeProto]:
        """Return the nodes that update one parameter."""
        self._nodes, self._owner = [], parameter
        if self.optimizer.name == "sgd":
            self._descend(parameter, gradient, data_type)
        else:
            self._adapt(parameter, gradient, data_type)
        return self._nodes

    def _descend(self, parameter: str, gradient: str, data_type: int) -> None:
        """Stochastic gradient descent with momentum."""
        step = self._decay(parameter, gradient, data_type)
        if self.optimizer.momentum:
            slot = slot_name("momentum", parameter)
            kept = self._emit("Mul", slot, self._number(self.optimizer.momentum, data_type))
            step = self._emit("Add", kept, step, output=next_name(slot))
        scaled = self._emit("Mul", step, self._cast(LEARNING_RATE, data_type))
        self._emit("Sub", parameter, scaled, output=next_name(parameter))

    def _adapt(self, parameter: str, gradient: str, data_type: int) -> None:
        """Adam, and AdamW where the decay is apart from the gradient."""
        optimizer = self.optimizer
        value = parameter
        if optimizer.name == "adamw" and optimizer.weight_decay:
            value = self._emit("Mul", parameter, self._cast(self._shrink(), data_type))
        elif optimizer.name == "adam":
            gradient = self._decay(parameter, gradient, data_type)
        mean = self._average(slot_name("mean", parameter), gradient, optimizer.beta1, data_type)
        square = self._emit("Mul", gradient, gradient)
        variance = self._average(
            slot_name("variance", parameter), square, optimizer.beta2, data_type
        )
        root = self._emit("Sqrt", variance)
        scaled = self._emit("Div", root, self._cast(self._root_correction(), data_type))
        divisor = self._emit("Add", scaled, self._number(optimizer.epsilon, data_type))
        direction = self._emit("Div", mean, divisor)
        change = self._emit("Mul", direction, self._cast(self._step_size(), data_type))
        self._emit("Sub", value, change, output=next_name(parameter))

    def _decay(self, parameter: str, gradient: str, data_type: int) -> str:
        """Add weight decay to a gradient."""
        if not self.optimizer.weight_decay:
            return gradient
        decay = self._emit("Mul", parameter, self._number(self.optimizer.weight_decay, data_type))
        return self._emit("Add", gradient, decay)

    def _average(self, slot: str, value: str, beta: float, data_type: int) -> str:
        """Move a running average."""
        kept = self._emit("Mul", slot, self._number(beta, data_type))
        added = self._emit("Mul", value, self._number(1 - beta, data_type))
        return self._emit("Add", kept, added, output=next_name(slot))

    def _shrink(self) -> str:
        """Return what AdamW multiplies a parameter with: 1 - rate x decay."""
        decay = self._number(self.optimizer.weight_decay, TensorProto.DOUBLE)
        taken = self._share("Mul", LEARNING_RATE, decay)
        return self._share("Sub", self._number(1.0, TensorProto.DOUBLE), taken)

    def _step_size(self) -> str:
        """Return the rate over the mean's bias correction."""
        return self._share("Div", LEARNING_RATE, self._correction(self.optimizer.beta1))

    def _root_correction(self) -> str:
        """Return the root of the variance's bias correction."""
        return self._share("Sqrt", self._correction(self.optimizer.beta2))

    def _correction(self, beta: float) -> str:
        """Return 1 - beta^step."""
        count = self._share("Cast", STEP, to=TensorProto.DOUBLE)
        power = self._share("Pow", self._number(beta, TensorProto.DOUBLE), count)
        return self._share("Sub", self._number(1.0, TensorProto.DOUBLE), power)

    def _cast(self, number: str, data_type: int) -> str:
        """Turn a float64 number into a parameter's element type, once for all parameters."""
        if data_type == TensorProto.DOUBLE:
            return number
        return self._share("Cast", number, to=data_type)

    def _share(self, op_type: str, *inputs: str, to: int | None = None) -> str:
        """Emit a node that serves all parameters, unless it is there."""
        key = (f"{op_type}:{','.join(inputs)}", to)
        if key not in self._made:
            name = optimizer_name(_SHARED, len(self.shared))
            attributes: dict[str, Any] = {} if to is None else {"to": to}
            self.shared.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
            self._made[key] = name
        return self._made[key]

    def _emit(self, op_type: str, *inputs: str, output: str = "") -> str:
        """Emit a node for the parameter."""
        name = optimizer_name(self._owner, len(self._nodes))
        self._nodes.append(helper.make_node(op_type, inputs, [output or name], name=name))
        return output or name

    def _number(self, value: float, data_type: int) -> str:
        """Keep a number of an element type."""
        name = f"opt|{value!r}|{data_type}"
        if name not in self.constants:
            dtype = helper.tensor_dtype_to_np_dtype(data_type)
            self.constants[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name
