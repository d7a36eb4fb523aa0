"""Which of the model's entries a stage holds: its operators' own, and the constants they need."""

from collections.abc import Iterable
from dataclasses import dataclass

import onnx

from onnxsplit.model.functions import find_functions
from onnxsplit.model.index import ModelIndex
from onnxsplit.model.layout import FUNCTIONS, Places
from onnxsplit.model.selection import StageSelection


@dataclass(frozen=True, slots=True, kw_only=True)
class StageShare:
    """The part of a model's lists that goes into a stage.

    Parameters
    ----------
    selection : StageSelection
    constants : tuple of str
        Its constant nodes, then its initializers, in the model's order.
    weights : frozenset of str
        Its initializers.
    places : mapping of str to sequence of int
        For each list of the model, which entries the stage holds.
    """

    selection: StageSelection
    constants: tuple[str, ...]
    weights: frozenset[str]
    places: Places


def gather_share(
    model: onnx.ModelProto, index: ModelIndex, selection: StageSelection
) -> StageShare:
    """Find every entry of the model that a stage needs; O(size of the top graph)."""
    own = {operator.index for operator in selection.operators}
    wanted = {value for place in own for value in index.reads[place]} | {*selection.yields}
    annotations: tuple[int, ...] = ()
    while True:
        nodes, weights = index.find_constants(wanted)
        values = _list_values(index, own | nodes) | {*weights, *selection.feeds}
        found = _find_annotations(model.graph, index, values)
        if found == annotations:
            break
        # What an annotation names may be a constant, which may be annotated itself.
        annotations = found
        wanted.update(name for place in found for name in list_parameters(model.graph, place))
    held = sorted(own | nodes)
    arrivals = {*selection.arrivals}
    graph = model.graph
    fed = {*selection.feeds, *weights}
    return StageShare(
        selection=selection,
        constants=(
            *(index.nodes[place].name for place in sorted(nodes)),
            *(name for name in list_initializers(index) if name in weights),
        ),
        weights=weights,
        places={
            "node": held,
            "initializer": _find(t.name in weights for t in graph.initializer),
            "sparse_initializer": _find(t.values.name in weights for t in graph.sparse_initializer),
            "input": _find(value.name in fed for value in graph.input),
            "output": _find(value.name in selection.yields for value in graph.output),
            "value_info": _find(value.name in values - arrivals for value in graph.value_info),
            "quantization_annotation": annotations,
            FUNCTIONS: find_functions(model, (graph.node[place] for place in held)),
        },
    )


def list_initializers(index: ModelIndex) -> tuple[str, ...]:
    """Return the names of all initializers: dense ones, then sparse ones."""
    return (*index.initializers, *index.sparse_initializers)


def list_parameters(graph: onnx.GraphProto, place: int) -> tuple[str, ...]:
    """Return the values that a quantization annotation names, such as scale and zero point."""
    entry = graph.quantization_annotation[place]
    return tuple(pair.value for pair in entry.quant_parameter_tensor_names)


def _find(wanted: Iterable[bool]) -> tuple[int, ...]:
    """Return the places of what is wanted."""
    return tuple(place for place, want in enumerate(wanted) if want)


def _list_values(index: ModelIndex, nodes: Iterable[int]) -> set[str]:
    """Return every value that some nodes read or make."""
    values = {value for place in nodes for value in index.reads[place]}
    return values | {value for place in nodes for value in index.nodes[place].output if value}


def _find_annotations(
    graph: onnx.GraphProto, index: ModelIndex, values: set[str]
) -> tuple[int, ...]:
    """Find the annotations of values whose parameters are constants or among the values too."""
    return _find(
        entry.tensor_name in values
        and all(name in values or index.is_constant(name) for name in list_parameters(graph, place))
        for place, entry in enumerate(graph.quantization_annotation)
    )
