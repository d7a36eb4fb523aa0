"""Carve a model into stages: every operator as it stands in the model, each in one stage.

Nothing is rewritten. A stage is the model with entries left out: nodes, initializers, functions and
annotations are copied byte for byte, in the model's order. What is added is the type of each
crossing, and metadata whose keys begin with ``onnxsplit/``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import chain

import onnx

from onnxsplit.errors import InternalError, UnsupportedModelError
from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.manifest import CarvingReport
from onnxsplit.model.audit import check_carving
from onnxsplit.model.dtypes import read_type, write_type
from onnxsplit.model.fields import copy_fields
from onnxsplit.model.index import ModelIndex, index_model
from onnxsplit.model.layout import (
    FUNCTIONS,
    GRAPH_LISTS,
    PREFIX,
    SOURCE_KEY,
    TIER_KEY,
    list_entries,
    write_layout,
)
from onnxsplit.model.loading import LoadedModel
from onnxsplit.model.reading import measure_initializer
from onnxsplit.model.selection import find_yields, select_stages
from onnxsplit.model.shares import StageShare, gather_share, list_initializers
from onnxsplit.model.stages import Carving, Stage
from onnxsplit.placement import Placement


def carve_stages(
    model: LoadedModel,
    graph: OperatorGraph,
    placement: Placement,
    boundary: Mapping[str, TensorSpec],
    *,
    resting: frozenset[str] = frozenset(),
    gives: Mapping[str, str] | None = None,
    copies: AbstractSet[str] = frozenset(),
) -> Carving:
    """Carve a model along a placement, losslessly.

    Parameters
    ----------
    model : LoadedModel
    graph : OperatorGraph
        Of this model.
    placement : Placement
        Any number of tiers; a value travels from an earlier tier to a later one only.
    boundary : mapping of str to TensorSpec
        Types of the values that cross, with symbolic dims where the model has them; further
        entries are passed over.
    resting : frozenset of str
        Model inputs that do not come from the first tier: a state's, or those at the last tier.
    gives : mapping of str to str, optional
        Model outputs that the stage of this tier gives, whoever makes them.
    copies : set of str
        Operators of the first tier that the last one runs as well, rather than be sent what they
        make; they must not be random.

    Returns
    -------
    Carving
        Checked by `onnxsplit.model.audit.check_carving`. Constants are copied to each stage that
        needs them; what a body of If, Loop or Scan captures counts as read by its operator.
        O(size of the model without external data).

    Raises
    ------
    PlanError
        The placement misses an operator or lets one read from a later tier.
    UnsupportedModelError
        A sequence, an optional or a value of unknown type would cross.
    """
    index = index_model(model.proto)
    selections = select_stages(graph, placement, resting=resting, gives=gives, copies=copies)
    shares = [gather_share(model.proto, index, selection) for selection in selections]
    carving = Carving(
        stages=tuple(_build_stage(model, index, share, boundary) for share in shares),
        yields=find_yields(graph, placement, gives or {}),
        report=replace(
            _report_changes(model, graph, index, shares),
            recomputed=tuple(operator.name for operator in graph if operator.name in copies),
        ),
    )
    check_carving(model, graph, placement, carving)
    return carving


def _build_stage(
    model: LoadedModel, index: ModelIndex, share: StageShare, boundary: Mapping[str, TensorSpec]
) -> Stage:
    """Make the stage's model and describe it."""
    selection = share.selection
    declared = _index_types(model.proto.graph)
    proto = _copy_entries(model.proto, share)
    fed = {value.name: value for value in proto.graph.input}
    arrivals = [_type_crossing(name, declared, boundary, {}) for name in selection.arrivals]
    departures = [_type_crossing(name, declared, boundary, fed) for name in selection.departures]
    proto.graph.input.extend(arrivals)
    proto.graph.output.extend(departures)
    _write_metadata(proto, model, share)
    ports = [value for value in proto.graph.input if value.name not in share.weights]
    given = {value.name: value for value in proto.graph.output}
    return Stage(
        tier=selection.tier,
        proto=proto,
        inputs=tuple(read_type(value.name, value.type) for value in ports),
        outputs=tuple(read_type(value.name, value.type) for value in given.values()),
        operators=tuple(operator.name for operator in selection.operators),
        weight_bytes=sum(measure_initializer(index, name) for name in share.weights),
        base_folder=model.base_folder,
    )


def _copy_entries(model: onnx.ModelProto, share: StageShare) -> onnx.ModelProto:
    """Copy what the stage holds: the model's header whole, of its lists the share."""
    proto = onnx.ModelProto()
    # Training information describes the whole graph, and no stage can keep it.
    copy_fields(model, proto, leave={"graph", FUNCTIONS, "training_info"})
    copy_fields(model.graph, proto.graph, leave=GRAPH_LISTS)
    for name, places in share.places.items():
        source = list_entries(model, name)
        list_entries(proto, name).extend(source[place] for place in places)
    return proto


def _write_metadata(proto: onnx.ModelProto, model: LoadedModel, share: StageShare) -> None:
    """Say which part of which model this is; what an earlier carving said is replaced."""
    kept = [entry for entry in proto.metadata_props if not entry.key.startswith(PREFIX)]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    proto.metadata_props.add(key=TIER_KEY, value=share.selection.tier)
    if model.identity.sha256 is not None:
        proto.metadata_props.add(key=SOURCE_KEY, value=model.identity.sha256)
    write_layout(proto, share.places)


def _index_types(graph: onnx.GraphProto) -> Mapping[str, onnx.ValueInfoProto]:
    """Map values to the types that the model itself declares."""
    return {value.name: value for value in chain(graph.value_info, graph.output)}


def _type_crossing(
    name: str,
    declared: Mapping[str, onnx.ValueInfoProto],
    boundary: Mapping[str, TensorSpec],
    fed: Mapping[str, onnx.ValueInfoProto],
) -> onnx.ValueInfoProto:
    """Return a crossing's type: the model's own entry where that says the same, or feeds it."""
    if name in fed:
        return fed[name]
    if name not in boundary:
        raise InternalError(f"No type was given for the crossing {name!r}.")
    spec = boundary[name]
    if spec.kind != "tensor":
        raise UnsupportedModelError(
            f"The value {name!r} is of kind {spec.kind}, and only dense tensors can cross from one"
            " stage to another; put the operator that makes it and those that read it on one tier."
        )
    if spec.dtype is None:
        raise UnsupportedModelError(
            f"The element type of {name!r} is not known, so it can't cross from one stage to"
            " another; put the operator that makes it and those that read it on one tier."
        )
    entry = declared.get(name)
    if entry is not None and read_type(name, entry.type) == spec:
        return entry
    return write_type(spec)


def _report_changes(
    model: LoadedModel, graph: OperatorGraph, index: ModelIndex, shares: Sequence[StageShare]
) -> CarvingReport:
    """List what was renamed, dropped and copied."""
    holders = Counter(chain.from_iterable(share.constants for share in shares))
    return CarvingReport(
        renamed=dict(model.renamed),
        dropped=graph.dead_operators,
        copied_constants={
            share.selection.tier: tuple(name for name in share.constants if holders[name] > 1)
            for share in shares
        },
        notes=tuple(_find_losses(model.proto, index, shares)),
    )


def _find_losses(
    model: onnx.ModelProto, index: ModelIndex, shares: Sequence[StageShare]
) -> list[str]:
    """Say in sentences what no stage holds, dead operators aside."""
    kept = {
        name: set(chain.from_iterable(share.places[name] for share in shares))
        for name in ("quantization_annotation", FUNCTIONS)
    }
    stored = frozenset().union(*(share.weights for share in shares))
    unread = len(list_initializers(index)) - len(stored)
    uncalled = len(model.functions) - len(kept[FUNCTIONS])
    losses = []
    if model.training_info:
        losses.append("The model's training information was dropped: no stage can keep it.")
    if unread:
        losses.append(f"Initializers that no live operator reads were dropped: {unread}.")
    if uncalled:
        losses.append(f"Functions that no live operator calls were dropped: {uncalled}.")
    annotations = len(model.graph.quantization_annotation) - len(kept["quantization_annotation"])
    if annotations:
        losses.append(
            "Quantization annotations were dropped, because their value is dead or their"
            f" parameters are made on another tier: {annotations}."
        )
    return losses
