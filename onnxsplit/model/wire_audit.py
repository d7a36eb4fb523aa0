"""Check narrowed stages: what was carved is all there, and what was added is what was asked for.

The check reads the finished stages alone and shares nothing with the builder but the names of
element types, so it finds any slip of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from onnxsplit.errors import InternalError
from onnxsplit.model.dtypes import DTYPE_NUMBERS, read_type
from onnxsplit.model.fields import copy_fields, encode
from onnxsplit.model.narrowing import WIRES_KEY, read_wires, strip_wires
from onnxsplit.model.stages import Carving, Stage
from onnxsplit.model.wires import WireCoding

_QUANTISERS = {"encode": "QuantizeLinear", "decode": "DequantizeLinear"}


def check_narrowing(plain: Carving, narrowed: Carving, codings: Sequence[WireCoding]) -> None:
    """Check that stages are the carved ones, but for how the given tensors travel.

    Parameters
    ----------
    plain, narrowed : Carving
        Before and after.
    codings : sequence of WireCoding

    Raises
    ------
    InternalError
        Something else changed, a tensor is not encoded once and decoded by each reader, or a
        quantiser's type, operands, scale or zero point are not those of the coding.
    """
    _demand(plain.yields == narrowed.yields, "other outputs are yielded")
    _demand(plain.report == narrowed.report, "another report is given")
    tiers = [stage.tier for stage in narrowed.stages]
    _demand(tiers == [stage.tier for stage in plain.stages], "the stages are others")
    by_tensor = {coding.tensor: coding for coding in codings}
    values: dict[str, str] = {}
    ways: dict[str, list[str]] = {tensor: [] for tensor in by_tensor}
    for before, after in zip(plain.stages, narrowed.stages, strict=True):
        _check_rest(before, after)
        entries = read_wires(after.proto)
        for entry in entries:
            coding = by_tensor.get(entry["tensor"])
            _demand(coding is not None, f"{entry['tensor']!r} is coded, and nobody asked for it")
            assert coding is not None  # noqa: S101 - for the type checker; demanded above
            same = values.setdefault(coding.tensor, entry["value"]) == entry["value"]
            _demand(same, f"{coding.tensor!r} travels under two names")
            ways[coding.tensor].append(entry["way"])
            _check_nodes(after.proto.graph, entry, coding)
        _check_ports(before, after, entries, by_tensor)
    for tensor, found in ways.items():
        readers = sum(any(v.name == tensor for v in s.proto.graph.input) for s in plain.stages)
        wanted = ["encode", *["decode"] * readers]
        _demand(found == wanted, f"{tensor!r} is coded as {found}, not as {wanted}")


def _demand(holds: bool, sentence: str) -> None:  # noqa: FBT001 - it reads like an assertion
    """Raise unless something holds."""
    if not holds:
        raise InternalError(f"The narrowed stages are not those that were carved: {sentence}.")


def _check_rest(before: Stage, after: Stage) -> None:
    """Check everything but inputs, outputs and added nodes, byte for byte."""
    _demand(before.operators == after.operators, f"{after.tier!r} lists other operators")
    _demand(before.weight_bytes == after.weight_bytes, f"{after.tier!r} weighs otherwise")
    one, other = (_leave_ports(proto) for proto in (before.proto, strip_wires(after.proto)))
    _demand(encode(one) == encode(other), f"{after.tier!r} was changed elsewhere")


def _leave_ports(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model without its inputs, outputs and notes on wires."""
    rest = onnx.ModelProto()
    copy_fields(proto, rest, leave={"graph", "metadata_props"})
    copy_fields(proto.graph, rest.graph, leave={"input", "output"})
    rest.metadata_props.extend(entry for entry in proto.metadata_props if entry.key != WIRES_KEY)
    return rest


def _check_ports(
    before: Stage,
    after: Stage,
    entries: Sequence[Mapping[str, Any]],
    codings: Mapping[str, WireCoding],
) -> None:
    """Check that inputs and outputs are the same, but for the values that travel narrower."""
    values = {entry["tensor"]: entry["value"] for entry in entries}
    tensors = {value: tensor for tensor, value in values.items()}
    for kind in ("input", "output"):
        old = list(getattr(before.proto.graph, kind))
        new = list(getattr(after.proto.graph, kind))
        known = {value.name: value for value in old}
        names = [tensors.get(value.name, value.name) for value in new]
        kept = [v.name for v in new if v.name in values]
        _demand(
            [n for i, n in enumerate(names) if n not in names[:i] or n not in values]
            == [v.name for v in old],
            f"{after.tier!r} has other {kind}s",
        )
        _demand(kind == "output" or not kept, f"{after.tier!r} still takes {kept}")
        for value, name in zip(new, names, strict=True):
            if value.name not in tensors:
                _demand(encode(value) == encode(known[name]), f"{value.name!r} was changed")
                continue
            spec, old_spec = read_type(name, value.type), read_type(name, known[name].type)
            dtype = codings[name].wire.dtype
            fits = (spec.dtype, spec.shape) == (dtype, old_spec.shape)
            _demand(fits, f"{value.name!r} has the type {spec.dtype}{spec.shape}")
        listed = after.inputs if kind == "input" else after.outputs
        specs = {v.name: read_type(v.name, v.type) for v in new}
        missing = [spec for spec in listed if specs.get(spec.name) != spec]
        _demand(not missing, f"{after.tier!r} does not list its {kind}s")


def _check_nodes(graph: onnx.GraphProto, entry: Mapping[str, Any], coding: WireCoding) -> None:
    """Follow the added nodes from one end to the other, and check what each of them does."""
    added = [node for node in graph.node if node.name in set(entry["nodes"])]
    makers = {name: node for node in added for name in node.output}
    way = entry["way"]
    start, end = coding.tensor, entry["value"]
    path = [coding.wire.dtype]
    if coding.wire.is_quantised:
        path = [_QUANTISERS[way]]
        if coding.source != "float32":
            path = ["float32", *path]
    if way == "decode":
        start, end = end, start
        path = [step if step in _QUANTISERS.values() else coding.source for step in path][::-1]
    used = 0
    value = end
    for step in reversed(path):
        node = makers.get(value)
        _demand(node is not None, f"nothing makes {value!r}")
        assert node is not None  # noqa: S101 - for the type checker; demanded above
        used += 1
        if step in _QUANTISERS.values():
            _check_quantiser(node, step, makers, coding)
            used += 2
        else:
            _check_cast(node, step)
        value = node.input[0]
    _demand(value == start, f"{end!r} is made from {value!r}, not from {start!r}")
    _demand(used == len(added), f"there are {len(added)} added nodes for {coding.tensor!r}")


def _check_cast(node: onnx.NodeProto, dtype: str) -> None:
    """Check that a node casts to a type."""
    targets = [attribute.i for attribute in node.attribute if attribute.name == "to"]
    fits = node.op_type == "Cast" and not node.domain and targets == [DTYPE_NUMBERS[dtype]]
    _demand(fits, f"{node.name!r} is no cast to {dtype}")


def _check_quantiser(
    node: onnx.NodeProto, op_type: str, makers: Mapping[str, onnx.NodeProto], coding: WireCoding
) -> None:
    """Check that a node quantises by the coding's scale and zero point."""
    fits = node.op_type == op_type and not node.domain and not node.attribute
    _demand(fits and len(node.input) == 3, f"{node.name!r} is no plain {op_type}")  # noqa: PLR2004 - value, scale, zero point
    scale, zero = (_read_constant(makers.get(name)) for name in node.input[1:])
    wanted = np.array(coding.scale, np.float32), np.array(coding.zero_point, coding.wire.dtype)
    for name, found, value in (("scale", scale, wanted[0]), ("zero point", zero, wanted[1])):
        same = found is not None and found.dtype == value.dtype and found.shape == ()
        _demand(same and bool(found == value), f"{node.name!r} has the {name} {found}, not {value}")


def _read_constant(node: onnx.NodeProto | None) -> Any:  # noqa: ANN401 - an array of any type
    """Return the value of a constant node; None if it is none."""
    if node is None or node.op_type != "Constant" or len(node.attribute) != 1:
        return None
    return numpy_helper.to_array(node.attribute[0].t)
