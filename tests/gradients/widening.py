"""Turn a float32 model into the same model in float64, for checks against finite differences."""

import numpy as np
import onnx

_FLOAT, _DOUBLE = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model in which everything of float32 is of float64.

    Parameters
    ----------
    model : onnx.ModelProto
        Without functions.
    """
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    graph = wide.graph
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.tensor_type.elem_type == _FLOAT:
            value.type.tensor_type.elem_type = _DOUBLE
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen_tensor(attribute.t)
            elif attribute.name in {"to", "dtype"} and attribute.i == _FLOAT:
                attribute.i = _DOUBLE
    return wide


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    """Turn a tensor of float32 into one of float64, in place."""
    if tensor.data_type == _FLOAT:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
