"""Turn a model of float32 into one of float64 that computes the same."""

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

_NARROW, _WIDE = TensorProto.FLOAT, TensorProto.DOUBLE


def widen(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that computes in float64; inputs, weights and constants are turned."""
    wide = onnx.ModelProto()
    wide.CopyFrom(proto)
    graph = wide.graph
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == _NARROW:
            value.type.tensor_type.elem_type = _WIDE
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _NARROW:
                attribute.i = _WIDE
    return wide


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    """Turn a tensor of float32 in place."""
    if tensor.data_type == _NARROW:
        values = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
