"""Whether an operator as it stands means the same in an older opset, by ONNX's own schemas.

A later version of an operator type adds inputs, outputs, element types or attributes, whose
defaults do what the earlier version did (ONNX, "Versioning"). Where a version changed what the same
form means, it is listed here.
"""

from collections.abc import Iterator, Mapping, Sequence

import onnx
from onnx import defs, helper

CHANGED_MEANING: Mapping[str, tuple[int, ...]] = {
    "Softmax": (13,),
    "LogSoftmax": (13,),
    "Hardmax": (13,),
    "GroupNormalization": (21,),
    "GridSample": (20,),
    "Resize": (11, 13, 18, 19),
    "Upsample": (9,),
    "BatchNormalization": (9,),
    "AveragePool": (19, 22),
    "MaxPool": (22,),
    "Mod": (28,),
    "DFT": (20,),
    "Pow": (7,),
    "Add": (7,),
    "Sub": (7,),
    "Mul": (7,),
    "Div": (7,),
}
"""Operator type to the versions in which the same form began to mean something else."""

_LAST_AXIS = frozenset({"Softmax", "LogSoftmax", "Hardmax"})
"""Before opset 13 they flattened their input from the axis on: of the last axis it is the same."""

_POOLS = frozenset({"AveragePool", "MaxPool"})
"""What changed is how many windows there are where sizes are rounded up."""

Schema = defs.OpSchema


def find_schema(op_type: str, opset: int) -> Schema | None:
    """Return the schema of ONNX's own operator type in an opset; None if it is not there."""
    try:
        return defs.get_schema(op_type, opset, "")
    except defs.SchemaError:
        return None


def relabel(
    node: onnx.NodeProto, source: int, target: int, types: Mapping[str, str]
) -> onnx.NodeProto | None:
    """Return an operator as it stands in an older opset with the same meaning.

    Parameters
    ----------
    node : onnx.NodeProto
        Of ONNX's own domain.
    source, target : int
        Opsets, the target the older one.
    types : mapping of str to str
        Value to its type in the schemas' words, as ``tensor(float)``; others are taken to fit.

    Returns
    -------
    onnx.NodeProto or None
        With attributes written out whose defaults differ; None where nothing in that opset means
        the same by itself.
    """
    old, new = find_schema(node.op_type, source), find_schema(node.op_type, target)
    if old is None or new is None:
        return None
    if old.since_version == new.since_version:
        return node
    means_same = not _changes_meaning(node, new.since_version, old.since_version)
    fits = (
        means_same
        and _fits_values(node.input, new.inputs, new.min_input, types)
        and _fits_values(node.output, new.outputs, new.min_output, types)
    )
    return _fit_attributes(node, old, new) if fits else None


def changes_meaning(node: onnx.NodeProto, source: int, target: int) -> bool:
    """Tell whether the form of an operator means something else in an older opset."""
    old, new = find_schema(node.op_type, source), find_schema(node.op_type, target)
    if old is None or new is None:
        return False
    return _changes_meaning(node, new.since_version, old.since_version)


def _changes_meaning(node: onnx.NodeProto, older: int, newer: int) -> bool:
    """Tell whether a change of meaning lies between two versions of an operator type."""
    given = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type in _LAST_AXIS and given.get("axis", -1) == -1:
        return False
    if node.op_type in _POOLS and not given.get("ceil_mode"):
        return False
    return any(older < change <= newer for change in CHANGED_MEANING.get(node.op_type, ()))


def _fits_values(
    names: Sequence[str],
    formals: Sequence[Schema.FormalParameter],
    least: int,
    types: Mapping[str, str],
) -> bool:
    """Tell whether values fit what a schema takes or gives."""
    given = list(names)
    while given and not given[-1]:
        given.pop()
    if len(given) < least or (given and not formals):
        return False
    variadic = Schema.FormalParameterOption.Variadic
    optional = Schema.FormalParameterOption.Optional
    for place, name in enumerate(given):
        if place >= len(formals) and formals[-1].option != variadic:
            return False
        formal = formals[min(place, len(formals) - 1)]
        if not name and formal.option != optional:
            return False
        if name in types and types[name] not in formal.types:
            return False
    return True


def _fit_attributes(node: onnx.NodeProto, old: Schema, new: Schema) -> onnx.NodeProto | None:
    """Return the operator with the attributes that an older schema has."""
    fitted = onnx.NodeProto()
    fitted.CopyFrom(node)
    del fitted.attribute[:]
    given = {attribute.name: attribute for attribute in node.attribute}
    for attribute in given.values():
        known = new.attributes.get(attribute.name)
        if known is not None and _name_kind(known) == attribute.type:
            fitted.attribute.append(attribute)
        elif known is not None or not _is_default(attribute, old):
            return None
    for name, known in new.attributes.items():
        if name in given:
            continue
        before = old.attributes.get(name)
        if before is None:
            if known.required:
                return None
            continue
        if before.default_value.SerializeToString() == known.default_value.SerializeToString():
            continue
        if not before.default_value.name:
            return None
        fitted.attribute.append(before.default_value)
    return fitted


def _name_kind(known: Schema.Attribute) -> int:
    """Return the kind of an attribute as a node tells it."""
    return int(onnx.AttributeProto.AttributeType.Value(str(known.type).rpartition(".")[2]))


def _is_default(attribute: onnx.AttributeProto, schema: Schema) -> bool:
    """Tell whether an attribute has the value that it has where nobody gives it."""
    known = schema.attributes.get(attribute.name)
    if known is None or not known.default_value.name:
        return False
    return bool(
        helper.get_attribute_value(attribute) == helper.get_attribute_value(known.default_value)
    )


def describe_types(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Yield the values of a graph with the types of dense tensors, in the schemas' words."""
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        number = value.type.tensor_type.elem_type
        if value.type.HasField("tensor_type") and number:
            yield value.name, name_type(number)
    for tensor in graph.initializer:
        yield tensor.name, name_type(tensor.data_type)


def name_type(number: int) -> str:
    """Return the type of a dense tensor in the schemas' words."""
    return f"tensor({onnx.TensorProto.DataType.Name(number).lower()})"
