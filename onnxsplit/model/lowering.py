"""Rewrite a stage for a runtime that reads older opsets only, without changing what it computes.

Three ways, tried in this order: the operator as it stands, where the older version means the same;
ONNX's own converter, version by version; the operator's function body from its schema. What comes
of the latter two is lowered in turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx
import onnx.inliner
import onnx.shape_inference
import onnx.version_converter
from onnx import helper

from onnxsplit.errors import UnsupportedModelError, UsageError
from onnxsplit.model.bodies import find_bodies, list_makes, list_reads, walk_nodes
from onnxsplit.model.opset_fit import changes_meaning, describe_types, find_schema, relabel

LEAST_OPSET = 7
"""Before it operators broadcast otherwise."""

_LEAST_IR_VERSION = 4
"""Before it every initializer had to be an input as well."""

_MOST_DEPTH = 40
"""Rewritings of rewritings, after which an operator is given up."""

_MOST_ELEMENTS = 1024
"""Of a constant that an operator's form may depend on, such as axes."""

_OWN_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A model in an older opset.

    Parameters
    ----------
    proto : onnx.ModelProto
    converted, expanded : tuple of str
        Operators that ONNX's converter rewrote, and that were replaced by their function's body.
    """

    proto: onnx.ModelProto
    converted: tuple[str, ...] = ()
    expanded: tuple[str, ...] = ()


def lower_opset(proto: onnx.ModelProto, target: int, *, who: str) -> Lowered:
    """Rewrite a model for an older opset of ONNX's own domain.

    Parameters
    ----------
    proto : onnx.ModelProto
        External data stays where it is.
    target : int
    who : str
        How errors call the model.

    Returns
    -------
    Lowered
        The model as it is where its opset is not newer.

    Raises
    ------
    UsageError
        There is no such opset.
    UnsupportedModelError
        Operators can't be lowered; the message names all of them.
    """
    if not LEAST_OPSET <= target <= onnx.defs.onnx_opset_version():
        raise UsageError(
            f"Opset {target} can't be lowered to; give one from {LEAST_OPSET} to"
            f" {onnx.defs.onnx_opset_version()}."
        )
    source = next((i.version for i in proto.opset_import if i.domain in _OWN_DOMAINS), target)
    if source <= target:
        return Lowered(proto=proto)
    lowered = onnx.ModelProto()
    lowered.CopyFrom(onnx.inliner.inline_local_functions(proto) if proto.functions else proto)
    rewriting = _Rewriting.open(lowered, source, target)
    rewriting.rewrite(lowered.graph)
    if rewriting.failed:
        raise UnsupportedModelError(
            f"The {who} can't be lowered from opset {source} to {target}: nothing there does what"
            f" {', '.join(rewriting.failed)} {'do' if len(rewriting.failed) > 1 else 'does'}."
            " Choose a later opset, or pin these operators to another tier."
        )
    for entry in lowered.opset_import:
        if entry.domain in _OWN_DOMAINS:
            entry.version = target
    needed = helper.find_min_ir_version_for(list(lowered.opset_import), ignore_unknown=True)
    lowered.ir_version = min(lowered.ir_version, max(needed, _LEAST_IR_VERSION))
    return Lowered(
        proto=lowered, converted=tuple(rewriting.converted), expanded=tuple(rewriting.expanded)
    )


@dataclass(slots=True, kw_only=True)
class _Rewriting:
    """One model on its way to an older opset, and what is known of its values."""

    source: int
    target: int
    types: dict[str, str]
    constants: dict[str, onnx.TensorProto]
    taken: set[str]
    converted: list[str] = field(default_factory=list)
    expanded: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, model: onnx.ModelProto, source: int, target: int) -> "_Rewriting":
        """Learn the types and small constants of a model."""
        taken = {name for node in walk_nodes(model.graph) for name in (*node.input, *node.output)}
        return cls(
            source=source,
            target=target,
            types=dict(describe_types(_infer(_strip(model)))),
            constants=dict(_list_constants(model.graph)),
            taken=taken,
        )

    def rewrite(self, graph: onnx.GraphProto) -> None:
        """Lower every operator of a graph, bodies included, in place."""
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            lowered = self._lower(node, self.source, node, 0)
            if lowered is None:
                kind = find_schema(node.op_type, self.source)
                since = f", as of opset {kind.since_version}" if kind else ""
                self.failed.append(f"{node.name or node.output[0]!r} ({node.op_type}{since})")
                lowered = [node]
            nodes.extend(lowered)
        del graph.node[:]
        graph.node.extend(nodes)

    def _lower(
        self, node: onnx.NodeProto, opset: int, origin: onnx.NodeProto, depth: int
    ) -> list[onnx.NodeProto] | None:
        """Return operators of the target opset that do what one of a newer opset does."""
        if node.domain not in _OWN_DOMAINS:
            return [node]
        fitted = relabel(node, opset, self.target, self.types)
        if fitted is not None:
            for body in find_bodies(fitted):
                self.types |= dict(_list_types(body))
                self.constants |= dict(_list_constants(body))
                self.rewrite(body)
            return [fitted]
        if depth < _MOST_DEPTH:
            for way, done in ((self._convert, self.converted), (self._expand, self.expanded)):
                step = way(node, opset)
                rest = None if step is None else self._lower_all(*step, origin, depth + 1)
                if rest is not None:
                    if depth == 0:
                        done.append(node.name or node.output[0])
                    return rest
        return None

    def _lower_all(
        self, nodes: Sequence[onnx.NodeProto], opset: int, origin: onnx.NodeProto, depth: int
    ) -> list[onnx.NodeProto] | None:
        """Lower what a rewriting gave."""
        lowered: list[onnx.NodeProto] = []
        for node in nodes:
            found = self._lower(node, opset, origin, depth)
            if found is None:
                return None
            lowered.extend(found)
        return lowered

    def _convert(self, node: onnx.NodeProto, opset: int) -> tuple[list[onnx.NodeProto], int] | None:
        """Let ONNX's converter take an operator to the version before its own."""
        schema = find_schema(node.op_type, opset)
        if schema is None or changes_meaning(node, opset, self.target) or any(find_bodies(node)):
            return None
        before = schema.since_version - 1
        alone = self._isolate(node, schema.since_version)
        if alone is None or before < self.target:
            return None
        try:
            converted = onnx.version_converter.convert_version(alone, before)
        except (RuntimeError, ValueError):  # it has no adapter
            return None
        return self._adopt(converted, node), before

    def _expand(self, node: onnx.NodeProto, opset: int) -> tuple[list[onnx.NodeProto], int] | None:
        """Replace an operator by the body of its function."""
        schema = find_schema(node.op_type, opset)
        if schema is None:
            return None
        alone = self._isolate(node, opset)
        if alone is None:
            return None
        # The inliner does not look for types among the initializers.
        alone.graph.input.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in alone.graph.initializer
        )
        try:
            expanded = onnx.inliner.inline_selected_functions(
                alone, [("", node.op_type)], exclude=False, inline_schema_functions=True
            )
        except (RuntimeError, ValueError):  # its body depends on types that are not known
            return None
        if any(n.op_type == node.op_type for n in expanded.graph.node):
            return None
        return self._adopt(expanded, node), opset

    def _isolate(self, node: onnx.NodeProto, opset: int) -> onnx.ModelProto | None:
        """Build a model of one operator, with the constants that it reads."""
        inputs, constants = [], []
        for name in list_reads(node):
            if name in self.constants:
                constants.append(self.constants[name])
            elif name in self.types:
                inputs.append(_write_type(name, self.types[name]))
            else:
                return None
        outputs = [
            _write_type(name, self.types[name])
            if name in self.types
            else onnx.ValueInfoProto(name=name)
            for name in list_makes(node)
        ]
        graph = helper.make_graph([node], "isolated", inputs, outputs, constants)
        imports = [helper.make_opsetid("", opset)]
        return helper.make_model(
            graph, opset_imports=imports, ir_version=helper.find_min_ir_version_for(imports)
        )

    def _adopt(self, model: onnx.ModelProto, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return the operators of a rewritten one, with names of values that nobody else has."""
        kept = {*node.input, *node.output}
        types = dict(describe_types(_infer(model)))
        added = [t for t in model.graph.initializer if t.name not in self.constants]
        nodes = [
            *(helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in added),
            *model.graph.node,
        ]
        names = {
            name: self._rename(name, node)
            for name in {value for n in nodes for value in n.output if value and value not in kept}
        }
        adopted = []
        for place, rewritten in enumerate(nodes):
            copy = onnx.NodeProto()
            copy.CopyFrom(rewritten)
            copy.name = f"{node.name or node.output[0]}/{place}"
            _rename_values(copy, names)
            adopted.append(copy)
        self.types |= {names.get(name, name): kind for name, kind in types.items()}
        self.constants |= dict(_list_constants(helper.make_graph(adopted, "adopted", [], [])))
        return adopted

    def _rename(self, name: str, node: onnx.NodeProto) -> str:
        """Choose a name that no value has."""
        base = f"{node.output[0]}/{name}"
        chosen, count = base, 1
        while chosen in self.taken:
            count += 1
            chosen = f"{base}_{count}"
        self.taken.add(chosen)
        return chosen


def _rename_values(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Rename what an operator reads and makes, and what its bodies capture, in place."""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for body in find_bodies(node):
        own = {value.name for value in body.input} | {value.name for value in body.initializer}
        own.update(name for inner in body.node for name in inner.output)
        outer = {name: new for name, new in names.items() if name not in own}
        for inner in body.node:
            _rename_values(inner, outer)
        for value in body.output:
            value.name = outer.get(value.name, value.name)


def _list_types(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """Yield what a body says of its values' types."""
    return describe_types(onnx.ModelProto(graph=graph))


def _list_constants(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield the small constants of a graph by their names."""
    fed = {value.name for value in graph.input}
    for tensor in graph.initializer:
        is_small = tensor.data_location != onnx.TensorProto.EXTERNAL and _is_small(tensor)
        if is_small and tensor.name not in fed:
            yield tensor.name, tensor
    for node in graph.node:
        value = _read_constant(node)
        if value is not None and _is_small(value):
            yield value.name, value


def _read_constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Return what a Constant operator holds, under the name of what it makes."""
    if node.op_type != "Constant" or node.domain not in _OWN_DOMAINS or not node.attribute:
        return None
    attribute = node.attribute[0]
    tensor = onnx.TensorProto()
    if attribute.name == "value":
        tensor.CopyFrom(attribute.t)
    elif attribute.name in {"value_int", "value_ints", "value_float", "value_floats"}:
        held = helper.get_attribute_value(attribute)
        kind = onnx.TensorProto.INT64 if "int" in attribute.name else onnx.TensorProto.FLOAT
        is_list = attribute.name.endswith("s")
        tensor = helper.make_tensor(
            "", kind, [len(held)] if is_list else [], held if is_list else [held]
        )
    else:
        return None
    tensor.name = node.output[0]
    return tensor


def _is_small(tensor: onnx.TensorProto) -> bool:
    """Tell whether a constant may be copied about."""
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count <= _MOST_ELEMENTS


def _strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose large constants are inputs: inference needs their types alone."""
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    del stripped.graph.initializer[:]
    fed = {value.name for value in stripped.graph.input}
    small = dict(_list_constants(model.graph))
    for tensor in model.graph.initializer:
        if tensor.name in small:
            stripped.graph.initializer.append(tensor)
        elif tensor.name not in fed:
            stripped.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return stripped


def _infer(model: onnx.ModelProto) -> onnx.ModelProto:
    """Infer what types can be inferred."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (RuntimeError, ValueError):  # an operator that it does not know
        return model


def _write_type(name: str, kind: str) -> onnx.ValueInfoProto:
    """Declare a dense tensor of a type and of any rank."""
    number = onnx.TensorProto.DataType.Value(kind.removeprefix("tensor(").removesuffix(")").upper())
    return helper.make_tensor_value_info(name, number, None)
