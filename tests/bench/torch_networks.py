"""The networks of the training bench in PyTorch, where it is installed; it is never required.

Convolutional networks are run from the very ONNX models that we train, each operator by the
function that PyTorch's own modules call. The transformer is written as its users write it, with
fused attention, GELU and layer norms. Both start from the weights of the ONNX model.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxsplit.engines.port import Array

Tensor = Any
"""PyTorch has no types here, for it may not be installed."""
Network = Callable[[Mapping[str, Tensor]], Tensor]


def is_installed() -> bool:
    """Tell whether PyTorch is there."""
    return importlib.util.find_spec("torch") is not None


class TorchStep:
    """Training steps of a network in PyTorch: forward, cross-entropy, backward, update.

    Parameters
    ----------
    proto : onnx.ModelProto
    threads : int
    rate, momentum : float
    """

    def __init__(
        self, proto: onnx.ModelProto, *, threads: int, rate: float, momentum: float
    ) -> None:
        self._torch = importlib.import_module("torch")
        self._torch.set_num_threads(threads)
        self._functional = importlib.import_module("torch.nn.functional")
        tensors = {
            tensor.name: self._torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
            for tensor in proto.graph.initializer
        }
        encodes = any(node.op_type == "LayerNormalization" for node in proto.graph.node)
        parameters = _list_parameters(proto)
        for name in parameters:
            tensors[name].requires_grad_()
        self._network: Network = (
            TorchEncoder(proto, tensors, self._functional)
            if encodes
            else TorchConvolutions(proto, tensors, self._functional, self._torch.cat)
        )
        self._optimizer = self._torch.optim.SGD(
            [tensors[name] for name in parameters], lr=rate, momentum=momentum
        )

    def run(self, feeds: Mapping[str, Array], label: Array) -> float:
        """Run one step and return its loss."""
        self._optimizer.zero_grad()
        given = {name: self._torch.from_numpy(value) for name, value in feeds.items()}
        loss = self._functional.cross_entropy(self._network(given), self._torch.from_numpy(label))
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())


def _list_parameters(proto: onnx.ModelProto) -> list[str]:
    """Return the floats with dims that are no running statistics."""
    statistics = {
        name
        for node in proto.graph.node
        if node.op_type == "BatchNormalization"
        for name in node.input[3:]
    }
    return [
        tensor.name
        for tensor in proto.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and tensor.dims
        and tensor.name not in statistics
    ]


class TorchConvolutions:
    """A convolutional network of one input, run operator by operator."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        tensors: Mapping[str, Tensor],
        functional: Any,  # noqa: ANN401 - a module without types here
        concatenate: Callable[[Sequence[Tensor], int], Tensor],
    ) -> None:
        self._functional = functional
        self._concatenate = concatenate
        self._tensors = tensors
        self._output = proto.graph.output[0].name
        self._nodes = [
            (node, {a.name: helper.get_attribute_value(a) for a in node.attribute})
            for node in proto.graph.node
        ]

    def __call__(self, feeds: Mapping[str, Tensor]) -> Tensor:
        """Run it on a batch."""
        values = {**self._tensors, **feeds}
        for node, attributes in self._nodes:
            given = [values[name] for name in node.input]
            values[node.output[0]] = self._apply(node.op_type, given, attributes)
        return values[self._output]

    def _apply(self, op_type: str, given: list[Tensor], attributes: Mapping[str, Any]) -> Tensor:
        """Run one operator."""
        functional = self._functional
        simple: dict[str, Callable[[], Tensor]] = {
            "Add": lambda: given[0] + given[1],
            "BatchNormalization": lambda: functional.batch_norm(
                given[0], given[3], given[4], given[1], given[2], training=True
            ),
            "Clip": lambda: functional.hardtanh(given[0], 0.0, 6.0),
            "Concat": lambda: self._concatenate(given, attributes["axis"]),
            "Flatten": lambda: given[0].flatten(1),
            "Gemm": lambda: functional.linear(*given),
            "GlobalAveragePool": lambda: functional.adaptive_avg_pool2d(given[0], 1),
            "Relu": lambda: functional.relu(given[0]),
        }
        return simple[op_type]() if op_type in simple else self._slide(op_type, given, attributes)

    def _slide(self, op_type: str, given: list[Tensor], attributes: Mapping[str, Any]) -> Tensor:
        """Run an operator with windows."""
        strides = attributes["strides"]
        pads = attributes.get("pads", [0, 0])[: len(strides)]
        if op_type == "Conv":
            bias = given[2] if len(given) == 3 else None
            group = attributes.get("group", 1)
            return self._functional.conv2d(*given[:2], bias, strides, pads, 1, group)
        pool = {
            "AveragePool": self._functional.avg_pool2d,
            "MaxPool": self._functional.max_pool2d,
        }[op_type]
        return pool(given[0], attributes["kernel_shape"], strides, pads)


class TorchEncoder:
    """An encoder like BERT with the weights of the sample network, by PyTorch's fused functions."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        tensors: Mapping[str, Tensor],
        functional: Any,  # noqa: ANN401 - a module without types here
    ) -> None:
        self._functional = functional
        self._tensors = tensors
        names = [t.name for t in proto.graph.initializer if t.name.endswith("/norm2.scale")]
        self._layers = len(names)

    def __call__(self, feeds: Mapping[str, Tensor]) -> Tensor:
        """Run it on a batch."""
        ids, mask = feeds["input_ids"], feeds["attention_mask"]
        words, places = (self._tensors[f"embeddings/{k}.weight"] for k in ("word", "position"))
        kinds = self._tensors["embeddings/type.weight"]
        x = self._functional.embedding(ids, words) + places[: ids.shape[1]] + kinds[0]
        x = self._normalise(x, "embeddings/norm")
        bias = (1.0 - mask[:, None, None, :].float()) * -1e4
        for layer in range(self._layers):
            name = f"layer{layer}"
            x = self._normalise(x + self._attend(x, bias, f"{name}/attention"), f"{name}/norm1")
            y = self._functional.gelu(self._project(x, f"{name}/intermediate"))
            x = self._normalise(x + self._project(y, f"{name}/output"), f"{name}/norm2")
        weight, shift = (self._tensors[f"pooler/dense.{part}"] for part in ("weight", "bias"))
        return self._functional.linear(x[:, 0], weight, shift).tanh()

    def _normalise(self, x: Tensor, name: str) -> Tensor:
        """Add a layer normalisation."""
        scale, shift = self._tensors[f"{name}.scale"], self._tensors[f"{name}.shift"]
        return self._functional.layer_norm(x, scale.shape, scale, shift)

    def _project(self, x: Tensor, name: str) -> Tensor:
        """Add a linear map, whose weights ONNX has the other way round."""
        return self._functional.linear(
            x, self._tensors[f"{name}.weight"].t(), self._tensors[f"{name}.bias"]
        )

    def _attend(self, x: Tensor, bias: Tensor, name: str) -> Tensor:
        """Add attention of heads of 64."""
        batch, length, width = x.shape
        queries, keys, values = (
            self._project(x, f"{name}/{part}").view(batch, length, -1, 64).transpose(1, 2)
            for part in "qkv"
        )
        mixed = self._functional.scaled_dot_product_attention(queries, keys, values, bias)
        return self._project(mixed.transpose(1, 2).reshape(batch, length, width), f"{name}/out")
