"""Check a carving against its model: nothing lost, nothing doubled, nothing changed.

The check reads the finished stages alone, so it finds any slip of the carver. It is cheap: one pass
over the stages' protobufs.
"""

from collections.abc import Mapping
from itertools import chain

import onnx

from onnxsplit.errors import InternalError
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.bodies import list_makes, list_reads
from onnxsplit.model.dtypes import read_type
from onnxsplit.model.fields import encode
from onnxsplit.model.functions import find_functions
from onnxsplit.model.loading import LoadedModel
from onnxsplit.model.stages import Carving, Stage
from onnxsplit.placement import Placement


def check_carving(
    model: LoadedModel, graph: OperatorGraph, placement: Placement, carving: Carving
) -> None:
    """Check that the stages are the model, distributed as the placement says.

    Parameters
    ----------
    model : LoadedModel
    graph : OperatorGraph
    placement : Placement
    carving : Carving

    Raises
    ------
    InternalError
        An operator is lost, doubled, changed or on the wrong tier; a constant differs from the
        model's; a stage reads what nothing gives it; an input or output is missing, superfluous or
        of another type.
    """
    _check_operators(model.proto, graph, placement, carving)
    arrived: set[str] = set()
    for stage in carving.stages:
        _check_constants(model.proto, graph, stage)
        _check_functions(model.proto, stage)
        _check_inputs(model.proto, graph, stage, arrived)
        _check_reads(stage)
        # Only the stage before can give: what it does not make itself it has to hand on.
        arrived = {value.name for value in stage.proto.graph.output}
    _check_outputs(model.proto, graph, carving)


def _demand(holds: bool, sentence: str) -> None:  # noqa: FBT001 - it reads like an assertion
    """Raise unless something holds."""
    if not holds:
        raise InternalError(f"The carved stages are not the model: {sentence}.")


def _check_operators(
    model: onnx.ModelProto, graph: OperatorGraph, placement: Placement, carving: Carving
) -> None:
    """Check that every operator is in its tier's stage, once, byte for byte."""
    tiers = [stage.tier for stage in carving.stages]
    order = [tier for tier in placement.tiers if tier in tiers]
    _demand(tiers == order, "the stages are not in the order of the tiers")
    found: dict[str, str] = {}
    copied: set[str] = set()
    for stage in carving.stages:
        held_here: set[str] = set()
        for node in stage.proto.graph.node:
            if node.name not in graph:
                continue
            if node.name in found:
                _check_copy(graph, carving, stage, node.name)
                copied.add(node.name)
            _demand(node.name not in held_here, f"{node.name!r} is there twice")
            held_here.add(node.name)
            found.setdefault(node.name, stage.tier)
            original = model.graph.node[graph.operator(node.name).index]
            _demand(encode(node) == encode(original), f"{node.name!r} was changed")
        held = tuple(op.name for op in graph.operators if op.name in held_here)
        _demand(held == stage.operators, f"{stage.tier!r} does not list its operators")
    for operator in graph.operators:
        tier = found.get(operator.name)
        _demand(tier is not None, f"{operator.name!r} was lost")
        _demand(tier == placement.tier_of[operator.name], f"{operator.name!r} is on {tier!r}")
    missing = set(carving.report.recomputed) - copied
    _demand(not missing, f"{missing} are said to be recomputed, and are there once")


def _check_copy(graph: OperatorGraph, carving: Carving, stage: Stage, name: str) -> None:
    """Check that an operator may be there again: on the last tier, told of, and not random."""
    told = name in carving.report.recomputed and stage is carving.stages[-1]
    _demand(told, f"{name!r} is there twice")
    _demand(not graph.operator(name).is_random, f"{name!r} is random and there twice")


def _check_constants(model: onnx.ModelProto, graph: OperatorGraph, stage: Stage) -> None:
    """Check that constant nodes and initializers are the model's, each once in a stage."""
    allowed = set(graph.constant_operators)
    nodes = {node.name: node for node in model.graph.node if node.name in allowed}
    seen: set[str] = set()
    for node in stage.proto.graph.node:
        if node.name in graph:
            continue
        fits = node.name in nodes and node.name not in seen
        _demand(fits, f"{stage.tier!r} holds {node.name!r}, twice or though it is no constant")
        _demand(encode(node) == encode(nodes[node.name]), f"{node.name!r} was changed")
        seen.add(node.name)
    weights = _index_initializers(model.graph)
    for name, tensor in _index_initializers(stage.proto.graph).items():
        _demand(name in weights, f"the model has no initializer {name!r}")
        _demand(encode(tensor) == encode(weights[name]), f"the initializer {name!r} was changed")


def _check_functions(model: onnx.ModelProto, stage: Stage) -> None:
    """Check that functions are those that the stage's nodes call, as the model has them."""
    wanted = [model.functions[place] for place in find_functions(model, stage.proto.graph.node)]
    held = [encode(function) for function in stage.proto.functions]
    _demand(held == [encode(f) for f in wanted], f"{stage.tier!r} lacks or alters functions")
    opsets = [encode(entry) for entry in stage.proto.opset_import]
    _demand(opsets == [encode(e) for e in model.opset_import], f"{stage.tier!r} alters opsets")


def _check_inputs(
    model: onnx.ModelProto, graph: OperatorGraph, stage: Stage, arrived: set[str]
) -> None:
    """Check inputs: the model's own as it has them, then values of earlier stages, in order."""
    stored = _index_initializers(stage.proto.graph)
    fed = [value for value in stage.proto.graph.input if value.name not in stored]
    specs = tuple(read_type(value.name, value.type) for value in fed)
    _demand(specs == stage.inputs, f"{stage.tier!r} does not list its inputs")
    feeds = {value.name: value for value in model.graph.input}
    made = [value for operator in graph.operators for value in operator.outputs]
    order = {name: place for place, name in enumerate((*feeds, *made))}
    places = [order.get(value.name, -1) for value in stage.proto.graph.input]
    _demand(places == sorted(set(places)), f"the inputs of {stage.tier!r} are out of order")
    for value in stage.proto.graph.input:
        if value.name in feeds:
            _demand(encode(value) == encode(feeds[value.name]), f"{value.name!r} was changed")
            continue
        _demand(value.name in arrived, f"{stage.tier!r} reads {value.name!r} from no stage")
        _check_type(graph, value)


def _check_reads(stage: Stage) -> None:
    """Check that all that is read or given is there, and that nothing is made twice."""
    proto = stage.proto.graph
    made = list(chain.from_iterable(list_makes(node) for node in proto.node))
    fed = [value.name for value in proto.input]
    there = {*made, *fed, *_index_initializers(proto)}
    _demand(len({*made, *fed}) == len(made) + len(fed), f"{stage.tier!r} makes a value twice")
    read = chain.from_iterable(list_reads(node) for node in proto.node)
    for name in chain(read, (value.name for value in proto.output)):
        _demand(name in there, f"{stage.tier!r} lacks {name!r}")
    specs = {value.name: read_type(value.name, value.type) for value in proto.output}
    _demand(tuple(specs.values()) == stage.outputs, f"{stage.tier!r} does not list its outputs")


def _check_outputs(model: onnx.ModelProto, graph: OperatorGraph, carving: Carving) -> None:
    """Check that model outputs are given once, unchanged, and that others are read later."""
    wanted = {value.name: value for value in model.graph.output}
    _demand(carving.yields.keys() == wanted.keys(), "it yields other outputs than the model")
    read_later: set[str] = set()
    for stage in reversed(carving.stages):
        crossings = []
        for value in stage.proto.graph.output:
            name = value.name
            if name in wanted and carving.yields[name] == stage.tier:
                _demand(encode(value) == encode(wanted[name]), f"{name!r} was changed")
                continue
            _demand(name in read_later, f"{stage.tier!r} gives {name!r}, which nobody reads")
            _check_type(graph, value)
            crossings.append(name)
        order = (*graph.inputs, *(name for op in graph.operators for name in op.outputs))
        made = [name for name in order if name in crossings]
        own = [name for name in wanted if carving.yields[name] == stage.tier]
        given = [spec.name for spec in stage.outputs]
        _demand(given == [*own, *made], f"the outputs of {stage.tier!r} are not in order")
        read_later |= {value.name for value in stage.proto.graph.input}
    tiers = {stage.tier for stage in carving.stages}
    _demand(set(carving.yields.values()) <= tiers, "an output is given by no stage")


def _check_type(graph: OperatorGraph, value: onnx.ValueInfoProto) -> None:
    """Check that a crossing's type is that of the value which the graph knows."""
    spec, known = read_type(value.name, value.type), graph.tensors[value.name]
    if known.dtype is not None:
        same = (spec.kind, spec.dtype) == (known.kind, known.dtype)
        _demand(same, f"{value.name!r} is {spec.dtype}, not {known.dtype}")
    if known.shape is not None and spec.shape is not None:
        _demand(len(spec.shape) == len(known.shape), f"{value.name!r} has another rank")


def _index_initializers(
    graph: onnx.GraphProto,
) -> Mapping[str, onnx.TensorProto | onnx.SparseTensorProto]:
    """Map names to dense and sparse initializers."""
    dense = {tensor.name: tensor for tensor in graph.initializer}
    return {**dense, **{tensor.values.name: tensor for tensor in graph.sparse_initializer}}
