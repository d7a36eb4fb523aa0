"""What tells one model from another: the hash of its bytes, and that of its structure."""

import hashlib
from collections.abc import Iterable, Sequence

import onnx

from onnxsplit.model.dtypes import DTYPE_NAMES


def hash_structure(model: onnx.ModelProto) -> str:
    """Hash topology, operator types, attributes and input shapes, without names and weights.

    Parameters
    ----------
    model : onnx.ModelProto

    Returns
    -------
    str
        A sha256 in hexadecimal. Values and symbolic dims count by order of appearance. Of
        initializers and tensor attributes (those of ``Constant`` among them) only element type
        and shape count, since what they hold are weights.
    """
    writer = _StructureWriter()
    for entry in sorted((opset.domain, opset.version) for opset in model.opset_import):
        writer.write("opset", entry)
    for function in sorted(model.functions, key=lambda f: (f.domain, f.name, f.overload)):
        writer.write_function(function)
    writer.write_graph(model.graph)
    return writer.digest()


class _StructureWriter:
    """Feeds a hash with a canonical form of graphs."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._hash = hashlib.sha256()
        self._numbers: dict[str, int] = {}
        self._symbols: dict[str, int] = {}

    def digest(self) -> str:
        """Return the hash of all that was written."""
        return self._hash.hexdigest()

    def write(self, *parts: object) -> None:
        """Add one record."""
        self._hash.update(repr(parts).encode() + b"\n")

    def write_graph(self, graph: onnx.GraphProto) -> None:
        """Add a graph: constants, inputs, nodes, outputs."""
        constants = {tensor.name: tensor for tensor in graph.initializer}
        sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
        for value in graph.input:
            if value.name not in constants:
                self.write("input", self._number(value.name), self._type(value.type))
        for node in graph.node:
            for name in node.input:
                if name in constants and name not in self._numbers:
                    self.write("constant", self._number(name), _describe(constants[name]))
                elif name in sparse and name not in self._numbers:
                    self.write("sparse", self._number(name), tuple(sparse[name].dims))
            self._write_node(node)
        self.write("outputs", [self._number(value.name) for value in graph.output])

    def write_function(self, function: onnx.FunctionProto) -> None:
        """Add a model-local function."""
        self.write("function", function.domain, function.name, function.overload)
        self.write("attributes", sorted(function.attribute))
        self.write("inputs", [self._number(name) for name in function.input])
        for node in function.node:
            self._write_node(node)
        self.write("outputs", [self._number(name) for name in function.output])

    def _write_node(self, node: onnx.NodeProto) -> None:
        """Add an operator with its attributes and bodies."""
        reads = [self._number(name) for name in node.input]
        self.write("node", node.domain, node.op_type, node.overload, reads)
        for attribute in sorted(node.attribute, key=lambda attribute: attribute.name):
            self._write_attribute(attribute)
        self.write("makes", [self._number(name) for name in node.output])

    def _write_attribute(self, attribute: onnx.AttributeProto) -> None:
        """Add an attribute; tensors count by type and shape, graphs by their structure."""
        kinds = onnx.AttributeProto
        self.write("attribute", attribute.name, attribute.type, attribute.ref_attr_name)
        if attribute.type in {kinds.GRAPH, kinds.GRAPHS}:
            for body in [attribute.g] if attribute.type == kinds.GRAPH else attribute.graphs:
                self.write_graph(body)
        elif attribute.type in {kinds.TENSOR, kinds.TENSORS}:
            tensors = [attribute.t] if attribute.type == kinds.TENSOR else attribute.tensors
            self.write([_describe(tensor) for tensor in tensors])
        elif attribute.type in {kinds.SPARSE_TENSOR, kinds.SPARSE_TENSORS}:
            single = attribute.type == kinds.SPARSE_TENSOR
            sparse = [attribute.sparse_tensor] if single else attribute.sparse_tensors
            self.write([tuple(tensor.dims) for tensor in sparse])
        else:
            self.write(_read_plain(attribute))

    def _number(self, name: str) -> int:
        """Return a value's number by order of appearance; omitted ones are -1."""
        return self._numbers.setdefault(name, len(self._numbers)) if name else -1

    def _type(self, value_type: onnx.TypeProto) -> object:
        """Describe an input's type with symbols by order of appearance."""
        field = value_type.WhichOneof("value")
        if field != "tensor_type":
            return field
        tensor = value_type.tensor_type
        if not tensor.HasField("shape"):
            return (tensor.elem_type, None)
        dims: Iterable[object] = (
            dim.dim_value
            if dim.HasField("dim_value")
            else ("symbol", self._symbols.setdefault(dim.dim_param, len(self._symbols)))
            for dim in tensor.shape.dim
        )
        return (tensor.elem_type, tuple(dims))


def _describe(tensor: onnx.TensorProto) -> tuple[str | None, tuple[int, ...]]:
    """Return a tensor's element type and shape."""
    return DTYPE_NAMES.get(tensor.data_type), tuple(tensor.dims)


def _read_plain(attribute: onnx.AttributeProto) -> Sequence[object]:
    """Return the numbers and strings of an attribute."""
    return [
        attribute.f,
        attribute.i,
        attribute.s,
        list(attribute.floats),
        list(attribute.ints),
        list(attribute.strings),
    ]
