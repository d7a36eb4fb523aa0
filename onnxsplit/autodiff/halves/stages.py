"""Training stages: what a placed training graph becomes, one model for each part."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import onnx

from onnxsplit.autodiff.halves.naming import LEARNING_RATE, STEP
from onnxsplit.autodiff.halves.parts import Schedule
from onnxsplit.autodiff.halves.segments import Part, PlacedNode, divide_graph
from onnxsplit.engines.port import Array
from onnxsplit.errors import UnknownShapeError
from onnxsplit.graph import TensorSpec
from onnxsplit.model.dtypes import write_type
from onnxsplit.model.randomness import is_random

StateKind = Literal["parameter", "statistic", "slot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTensor:
    """A tensor that steps change.

    Parameters
    ----------
    name : str
    kind : str
        ``parameter``, ``statistic`` of a norm, or ``slot`` of the optimizer.
    place : int
        The tier that keeps it.
    value : array
        What it is before the first step.
    """

    name: str
    kind: StateKind
    place: int
    value: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingGraph:
    """A whole training step, or an evaluation, as one placed graph.

    Parameters
    ----------
    nodes : tuple of PlacedNode
        In topological order.
    schedule : Schedule
    constants : mapping of str to onnx.TensorProto
        Initializers, frozen parameters among them.
    specs : mapping of str to TensorSpec
        Types of all values.
    states : mapping of str to StateTensor
    updates : mapping of str to str
        Value to the state that it is the next value of.
    results : tuple of str
        Further values that the graph is there for.
    opsets : mapping of str to int
    ir_version : int
    """

    nodes: tuple[PlacedNode, ...]
    schedule: Schedule
    constants: Mapping[str, onnx.TensorProto]
    specs: Mapping[str, TensorSpec]
    states: Mapping[str, StateTensor]
    updates: Mapping[str, str]
    results: tuple[str, ...]
    opsets: Mapping[str, int]
    ir_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStage:
    """A runnable part of a training step.

    Parameters
    ----------
    name : str
    place : int
        The tier that runs it.
    proto : onnx.ModelProto
    inputs, outputs : tuple of TensorSpec
        Beside the state.
    reads : tuple of str
        State that it reads.
    updates : mapping of str to str
        Output to the state that it is the next value of.
    """

    name: str
    place: int
    proto: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reads: tuple[str, ...]
    updates: Mapping[str, str]


def build_stages(graph: TrainingGraph, *, recompute: bool = False) -> tuple[TrainingStage, ...]:
    """Divide a training graph into stages.

    Parameters
    ----------
    graph : TrainingGraph
    recompute : bool
        Let the last part run again what the first one ran, rather than be handed what it made;
        only what is random is still kept.

    Raises
    ------
    UnknownShapeError
        The element type of a value between stages can't be inferred.
    """
    again = {}
    last = len(graph.schedule.names) - 1
    if recompute and last:
        again = {
            last: frozenset(
                node.proto.name
                for node in graph.nodes
                if node.part == 0 and not is_random(node.proto, {})
            )
        }
    parts = divide_graph(
        graph.nodes,
        stored=graph.constants.keys(),
        wanted=(*graph.results, *graph.updates),
        again=again,
    )
    return tuple(_build_stage(graph, part) for part in parts)


def _build_stage(graph: TrainingGraph, part: Part) -> TrainingStage:
    """Make the model of one part."""
    proto = onnx.ModelProto(ir_version=graph.ir_version, producer_name="onnxsplit")
    for domain, version in graph.opsets.items():
        proto.opset_import.add(domain=domain, version=version)
    name = graph.schedule.names[part.place]
    proto.graph.name = name
    proto.graph.node.extend(part.nodes)
    proto.graph.initializer.extend(graph.constants[value] for value in part.stored)
    inputs = [_find_spec(graph, value) for value in part.inputs]
    outputs = [_find_spec(graph, value) for value in part.outputs]
    proto.graph.input.extend(write_type(spec) for spec in inputs)
    proto.graph.output.extend(write_type(spec) for spec in outputs)
    return TrainingStage(
        name=name,
        place=graph.schedule.tiers[part.place],
        proto=proto,
        inputs=tuple(spec for spec in inputs if spec.name not in graph.states),
        outputs=tuple(spec for spec in outputs if spec.name not in graph.updates),
        reads=tuple(spec.name for spec in inputs if spec.name in graph.states),
        updates={s.name: graph.updates[s.name] for s in outputs if s.name in graph.updates},
    )


def _find_spec(graph: TrainingGraph, value: str) -> TensorSpec:
    """Return the type of a value between stages."""
    if value in graph.updates:
        value, named = graph.updates[value], value
        state = graph.states[value].value
        return TensorSpec(name=named, dtype=state.dtype.name, shape=state.shape)
    if value in graph.states:
        state = graph.states[value].value
        return TensorSpec(name=value, dtype=state.dtype.name, shape=state.shape)
    if value == LEARNING_RATE:
        return TensorSpec(name=value, dtype="float64", shape=())
    if value == STEP:
        return TensorSpec(name=value, dtype="int64", shape=())
    spec = graph.specs.get(value)
    if spec is None or spec.dtype is None:
        raise UnknownShapeError(
            f"The element type of {value!r}, which goes from one training stage to another, can't"
            " be inferred; fix the model's input shapes with --shape or --dim."
        )
    return spec
