"""Every kind of operator of a model, as a model of its own: what a runtime can be asked about."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx

from onnxsplit.graph import ITEM_BYTES, OperatorGraph, TensorSpec
from onnxsplit.model.bodies import list_makes
from onnxsplit.model.dtypes import DTYPE_NAMES, write_type
from onnxsplit.model.functions import find_functions
from onnxsplit.model.index import ModelIndex, index_model
from onnxsplit.model.loading import LoadedModel

_MOST_BYTES = 1_000_000
"""Constants up to which their values are kept; larger ones, which no operator's form depends on,
become inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedKind:
    """Operators of one kind, and a model of one of them.

    Parameters
    ----------
    operators : tuple of str
        Of the same type and attributes, with inputs of the same element types and ranks.
    op_type : str
    content : bytes or None
        Serialized; None where an input or output is no dense tensor of a known type.
    """

    operators: tuple[str, ...]
    op_type: str
    content: bytes | None


def isolate_kinds(model: LoadedModel, graph: OperatorGraph) -> Iterator[IsolatedKind]:
    """Yield each kind of operator of a model once.

    Parameters
    ----------
    model : LoadedModel
    graph : OperatorGraph
        Of that model, with real sizes.

    Notes
    -----
    Linear in the model's size. Sizes are those of the kind's first operator.
    """
    index = index_model(model.proto)
    node_of = {node.name: place for place, node in enumerate(index.nodes)}
    kinds: dict[str, list[str]] = {}
    for operator in graph:
        key = _describe(index, node_of[operator.name], graph)
        kinds.setdefault(key, []).append(operator.name)
    for names in kinds.values():
        place = node_of[names[0]]
        yield IsolatedKind(
            operators=tuple(names),
            op_type=graph.operator(names[0]).op_type,
            content=_isolate(model.proto, index, place, graph),
        )


def _describe(index: ModelIndex, place: int, graph: OperatorGraph) -> str:
    """Return what two operators of one kind share, as a text."""
    node = index.nodes[place]
    reads = [
        [spec.dtype, spec.kind, None if spec.shape is None else len(spec.shape)]
        if (spec := graph.tensors.get(name)) is not None
        else "constant"
        for name in index.reads[place]
    ]
    given = [bool(name) for name in node.input]
    attributes = sorted(
        attribute.SerializeToString(deterministic=True).hex() for attribute in node.attribute
    )
    return json.dumps([node.domain, node.op_type, given, len(node.output), reads, attributes])


def _isolate(
    proto: onnx.ModelProto, index: ModelIndex, place: int, graph: OperatorGraph
) -> bytes | None:
    """Build a model of one operator, with its constants."""
    node = index.nodes[place]
    alone = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    alone.graph.name = "isolated"
    constants: dict[int, None] = {}
    for name in index.reads[place]:
        if not _add_source(alone.graph, name, index, graph.tensors, constants):
            return None
    alone.graph.node.extend(index.nodes[p] for p in sorted(constants, key=index.order.index))
    alone.graph.node.append(node)
    for name in list_makes(node):
        spec = graph.tensors.get(name)
        if spec is not None and not _is_dense(spec):
            return None
        alone.graph.output.append(
            onnx.ValueInfoProto(name=name) if spec is None else write_type(spec)
        )
    alone.functions.extend(proto.functions[p] for p in find_functions(proto, alone.graph.node))
    return alone.SerializeToString()


def _add_source(
    alone: onnx.GraphProto,
    name: str,
    index: ModelIndex,
    tensors: Mapping[str, TensorSpec],
    constants: dict[int, None],
) -> bool:
    """Add what an operator reads: an input, or a constant with all it is made of."""
    if name in {value.name for value in alone.input} | {value.name for value in alone.initializer}:
        return True
    initializer = index.initializers.get(name)
    if initializer is not None and name not in index.feeds:
        _add_initializer(alone, initializer)
        return True
    maker = index.producer.get(name)
    if maker is not None and maker in index.constant:
        constants[maker] = None
        return all(
            _add_source(alone, read, index, tensors, constants) for read in index.reads[maker]
        )
    spec = tensors.get(name)
    if spec is None or not _is_dense(spec):
        return False
    alone.input.append(write_type(spec))
    return True


def _add_initializer(alone: onnx.GraphProto, initializer: onnx.TensorProto) -> None:
    """Add a constant; a large one, or one whose values lie elsewhere, as an input."""
    is_external = initializer.data_location == onnx.TensorProto.EXTERNAL
    dtype = DTYPE_NAMES.get(initializer.data_type)
    spec = TensorSpec(name=initializer.name, dtype=dtype, shape=tuple(initializer.dims))
    if is_external or (spec.size_bytes or 0) > _MOST_BYTES:
        alone.input.append(write_type(spec))
    else:
        alone.initializer.append(initializer)


def _is_dense(spec: TensorSpec) -> bool:
    """Tell whether a value is a dense tensor of a known type."""
    return spec.kind == "tensor" and (spec.dtype in ITEM_BYTES or spec.dtype == "string")
