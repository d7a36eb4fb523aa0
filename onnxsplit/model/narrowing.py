"""Build casts and quantisers into finished stages, so that crossings travel narrower.

The stages are carved losslessly first. Then the stage that makes a value gets the nodes that encode
it, after its own, and each stage that reads it the nodes that decode it, before its own. Nothing
else changes but the stages' inputs and outputs; what was added stands in a stage's metadata under
``onnxsplit/wires``, so that merging can leave it out again.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx

from onnxsplit.errors import BundleError, InternalError
from onnxsplit.model.bodies import list_makes, list_reads, walk_nodes
from onnxsplit.model.dtypes import read_type, write_type
from onnxsplit.model.layout import PREFIX, read_layout
from onnxsplit.model.stages import Carving, Stage
from onnxsplit.model.wires import WireCoding, build_decoder, build_encoder

WIRES_KEY = f"{PREFIX}wires"


def narrow_carving(carving: Carving, codings: Sequence[WireCoding]) -> Carving:
    """Let tensors travel as their codings say.

    Parameters
    ----------
    carving : Carving
        Is not changed.
    codings : sequence of WireCoding
        Of crossings that operators make.

    Returns
    -------
    Carving
        A travelling value has a name and a type of its own; a stage between keeps handing it on
        as it travels. O(size of the stages).

    Raises
    ------
    InternalError
        No stage gives a tensor to another.
    """
    if not codings:
        return carving
    taken = set().union(*(_list_names(stage.proto.graph) for stage in carving.stages))
    prefixes: dict[str, str] = {}
    for coding in codings:
        _check_travels(carving, coding.tensor)
        prefixes[coding.tensor] = _find_free_prefix(coding.tensor, taken)
        taken.add(f"{prefixes[coding.tensor]}/")
    return replace(
        carving,
        stages=tuple(_narrow_stage(stage, codings, prefixes) for stage in carving.stages),
    )


def strip_wires(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a stage without the nodes that encode and decode; its inputs and outputs stay.

    Raises
    ------
    BundleError
        The metadata that list these nodes can't be read, or name nodes that are not there.
    """
    added = {name for entry in read_wires(proto) for name in entry["nodes"]}
    if not added:
        return proto
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    kept = [node for node in proto.graph.node if node.name not in added]
    if len(kept) + len(added) != len(proto.graph.node):
        raise BundleError(
            f"A stage lacks nodes that its metadata {WIRES_KEY!r} name, or has them twice; it was"
            " changed after it was cut. Cut the model again."
        )
    del bare.graph.node[:]
    bare.graph.node.extend(kept)
    return bare


def read_wires(proto: onnx.ModelProto) -> list[Mapping[str, Any]]:
    """Return what a stage's metadata say of the values that it encodes or decodes.

    Returns
    -------
    list of mapping
        ``tensor``, ``value`` (the travelling value), ``wire``, ``way`` (``encode`` or
        ``decode``), ``nodes`` (names) and, of a quantiser, ``scale`` and ``zero_point``.

    Raises
    ------
    BundleError
        The metadata can't be read.
    """
    texts = [entry.value for entry in proto.metadata_props if entry.key == WIRES_KEY]
    if not texts:
        return []
    try:
        entries = json.loads(texts[0])
        for entry in entries:
            entry["tensor"], entry["value"], entry["wire"], entry["way"], list(entry["nodes"])
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(
            f"A stage's metadata {WIRES_KEY!r} can't be read; it was changed after it was cut. Cut"
            " the model again."
        ) from error
    else:
        return list(entries)


def _narrow_stage(
    stage: Stage, codings: Sequence[WireCoding], prefixes: Mapping[str, str]
) -> Stage:
    """Encode what the stage gives and decode what it takes."""
    proto = onnx.ModelProto()
    proto.CopyFrom(stage.proto)
    made = {name for node in proto.graph.node for name in list_makes(node)}
    fed = {value.name: value for value in proto.graph.input}
    given = {value.name: value for value in proto.graph.output}
    entries: list[dict[str, Any]] = []
    decoders: list[onnx.NodeProto] = []
    encoders: list[onnx.NodeProto] = []
    for coding in codings:
        prefix = prefixes[coding.tensor]
        value = f"{prefix}/{coding.wire.dtype}"
        if coding.tensor in fed:
            nodes = build_decoder(coding, value, prefix)
            decoders += nodes
            _rename(fed[coding.tensor], value, coding)
        elif coding.tensor in made and coding.tensor in given:
            nodes = build_encoder(coding, value, prefix)
            encoders += nodes
            _give(proto.graph, given[coding.tensor], value, coding, keep=_is_yielded(stage, coding))
        else:
            continue
        entries.append(
            {
                **coding.to_json(),
                "value": value,
                "way": "decode" if coding.tensor in fed else "encode",
                "nodes": [node.name for node in nodes],
            }
        )
    if not entries:
        return stage
    own = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*decoders, *own, *encoders])
    proto.metadata_props.add(key=WIRES_KEY, value=json.dumps(entries))
    return _describe(stage, proto)


def _describe(stage: Stage, proto: onnx.ModelProto) -> Stage:
    """Return the stage with another model, and with the types that this takes and gives."""
    plain = {spec.name for spec in stage.inputs}
    stored = {value.name for value in stage.proto.graph.input} - plain
    fed = [value for value in proto.graph.input if value.name not in stored]
    given = {value.name: value for value in proto.graph.output}
    return replace(
        stage,
        proto=proto,
        inputs=tuple(read_type(value.name, value.type) for value in fed),
        outputs=tuple(read_type(value.name, value.type) for value in given.values()),
    )


def _is_yielded(stage: Stage, coding: WireCoding) -> bool:
    """Tell whether a stage gives a tensor as a model output, too."""
    # Of a stage's outputs only those of the model have a place in it; crossings follow.
    places = len(read_layout(stage.proto)["output"])
    return any(value.name == coding.tensor for value in stage.proto.graph.output[:places])


def _give(
    graph: onnx.GraphProto,
    given: onnx.ValueInfoProto,
    value: str,
    coding: WireCoding,
    *,
    keep: bool,
) -> None:
    """Give the travelling value in the place of the tensor, or beside it."""
    target = given
    if keep:
        target = graph.output.add()
        target.CopyFrom(given)
    _rename(target, value, coding)


def _rename(entry: onnx.ValueInfoProto, value: str, coding: WireCoding) -> None:
    """Turn an input or output into that of the travelling value; dims stay as they are."""
    spec = read_type(value, entry.type)
    entry.CopyFrom(write_type(replace(spec, dtype=coding.wire.dtype)))


def _check_travels(carving: Carving, tensor: str) -> None:
    """Refuse a tensor that no stage gives to a later one."""
    gives = [any(v.name == tensor for v in s.proto.graph.output) for s in carving.stages]
    takes = [any(v.name == tensor for v in s.proto.graph.input) for s in carving.stages]
    if not any(gives) or not any(takes):
        raise InternalError(f"The value {tensor!r} does not cross from one stage to another.")


def _find_free_prefix(tensor: str, taken: set[str]) -> str:
    """Return a beginning for names that nothing in the stages has."""
    prefix = f"{PREFIX}{tensor}"
    while any(name.startswith(f"{prefix}/") for name in taken):
        prefix += "_"
    return prefix


def _list_names(graph: onnx.GraphProto) -> Iterable[str]:
    """Yield every name of a node or value in a graph."""
    for node in walk_nodes(graph):
        yield node.name
        yield from list_reads(node)
        yield from list_makes(node)
    yield from (value.name for value in (*graph.input, *graph.output))
    yield from (tensor.name for tensor in graph.initializer)
