"""Shape inference by onnx on a copy without weights."""

from collections.abc import Mapping

import onnx

from onnxsplit.graph import TensorSpec
from onnxsplit.model.dtypes import read_type, write_type
from onnxsplit.model.loading import LoadedModel

_KEPT_BYTES = 4096
"""Initializers up to this size are kept: shapes are computed from small ones, not from weights."""


def infer_specs(
    model: LoadedModel, inputs: Mapping[str, TensorSpec] | None = None
) -> dict[str, TensorSpec]:
    """Infer types and shapes without running anything or reading external data.

    Parameters
    ----------
    model : LoadedModel
    inputs : mapping of str to TensorSpec, optional
        Replaces the inputs' own types, to fix symbolic dims.

    Returns
    -------
    dict of str to TensorSpec
        What could be inferred; symbolic dims are str. Names that onnx invents for dims it can't
        relate to an input's are given as None.
    """
    skeleton = copy_without_weights(model.proto)
    if inputs is not None:
        _fix_inputs(skeleton.graph, inputs)
    known = {
        dim.dim_param
        for value in skeleton.graph.input
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_param
    }
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        # Inference is advice: what it can't do, a run does.
        inferred = skeleton.graph
    values = [*inferred.input, *inferred.value_info, *inferred.output]
    specs = (read_type(value.name, value.type) for value in values)
    return {spec.name: _forget_invented(spec, known) for spec in specs if spec.kind != "unknown"}


def _forget_invented(spec: TensorSpec, known: set[str]) -> TensorSpec:
    """Turn symbols that no input has into unknown dims."""
    if spec.shape is None:
        return spec
    shape = tuple(None if isinstance(dim, str) and dim not in known else dim for dim in spec.shape)
    return TensorSpec(name=spec.name, dtype=spec.dtype, shape=shape, kind=spec.kind)


def copy_without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model; large initializers and external ones become inputs of the same type."""
    skeleton = onnx.ModelProto(ir_version=proto.ir_version)
    skeleton.opset_import.extend(proto.opset_import)
    skeleton.functions.extend(proto.functions)
    graph = skeleton.graph
    graph.name = proto.graph.name or "graph"
    graph.node.extend(proto.graph.node)
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    graph.value_info.extend(proto.graph.value_info)
    declared = {value.name for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        if tensor.ByteSize() <= _KEPT_BYTES and not tensor.external_data:
            graph.initializer.append(tensor)
        elif tensor.name not in declared:
            # An input of the same type tells inference all that it needs of a weight.
            graph.input.append(_describe(tensor))
    return skeleton


def _describe(tensor: onnx.TensorProto) -> onnx.ValueInfoProto:
    """Describe an initializer as an input."""
    return onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))


def _fix_inputs(graph: onnx.GraphProto, inputs: Mapping[str, TensorSpec]) -> None:
    """Replace the types of the inputs, and drop shapes that were recorded for other sizes."""
    for value in graph.input:
        spec = inputs.get(value.name)
        if spec is not None and spec.kind == "tensor":
            value.CopyFrom(write_type(spec))
    symbolic = [value for value in graph.value_info if not _is_fixed(value)]
    for value in symbolic:
        graph.value_info.remove(value)
    for value in graph.output:
        if not _is_fixed(value):
            value.type.tensor_type.ClearField("shape")


def _is_fixed(value: onnx.ValueInfoProto) -> bool:
    """Tell whether every dim is a number, or the value is no dense tensor."""
    if value.type.WhichOneof("value") != "tensor_type":
        return True
    return all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
