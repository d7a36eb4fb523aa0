"""Put training and evaluation graphs together: forward, loss, backward and updates, placed."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import onnx

from onnxsplit.autodiff.differentiation import describe_values, differentiate
from onnxsplit.autodiff.emission import BackwardNode
from onnxsplit.autodiff.gradients import Gradients
from onnxsplit.autodiff.halves.forward import TrainedForward
from onnxsplit.autodiff.halves.naming import LOSS, forward_name, next_name, slot_name
from onnxsplit.autodiff.halves.parts import LOSS_PLACE, Schedule
from onnxsplit.autodiff.halves.recipe import Optimizer
from onnxsplit.autodiff.halves.segments import PlacedNode
from onnxsplit.autodiff.halves.stages import StateTensor, TrainingGraph
from onnxsplit.autodiff.halves.statistics import BatchStatistics, use_batch_statistics
from onnxsplit.autodiff.halves.updates import build_updates
from onnxsplit.graph import TensorSpec
from onnxsplit.model.dtypes import DTYPE_NUMBERS
from onnxsplit.model.index import index_model
from onnxsplit.model.loading import load_model


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeStep:
    """A training step before it is divided: whoever runs a part of it runs these nodes.

    Parameters
    ----------
    forward : TrainedForward
    optimizer : Optimizer
    gradients : Gradients
    norms : BatchStatistics
    constants : mapping of str to onnx.TensorProto
    specs : mapping of str to TensorSpec
    """

    forward: TrainedForward
    optimizer: Optimizer
    gradients: Gradients
    norms: BatchStatistics
    constants: Mapping[str, onnx.TensorProto]
    specs: Mapping[str, TensorSpec]


def differentiate_step(forward: TrainedForward, optimizer: Optimizer) -> WholeStep:
    """Write the backward pass of a model with a loss.

    Parameters
    ----------
    forward : TrainedForward
    optimizer : Optimizer

    Raises
    ------
    UnknownGradientError
        Operators have no rule; all are named.
    UnknownShapeError
        A rank that a rule needs can't be inferred.
    """
    running = [v.name for v in forward.variables if v.kind == "statistic"]
    norms = use_batch_statistics(forward.model.proto, running, forward.specs, forward.places)
    model = load_model(norms.proto)
    index = index_model(model.proto)
    gradients = differentiate(
        model, of={LOSS: None}, with_respect_to=[v.name for v in forward.parameters]
    )
    constants = {
        tensor.name: tensor for tensor in (*model.proto.graph.initializer, *gradients.constants)
    }
    specs = describe_values(model, index)
    return WholeStep(
        forward=forward,
        optimizer=optimizer,
        gradients=gradients,
        norms=norms,
        constants=constants,
        specs={**specs, **_describe_backward(model.proto, gradients, specs)},
    )


def place_step(step: WholeStep, schedule: Schedule) -> TrainingGraph:
    """Place the nodes of a training step in the parts of a schedule.

    Parameters
    ----------
    step : WholeStep
    schedule : Schedule
    """
    forward, gradients = step.forward, step.gradients
    states = list_states(forward, step.optimizer)
    updates = build_updates(
        step.optimizer,
        {v.name: gradients.gradients[v.name] for v in forward.parameters},
        {v.name: DTYPE_NUMBERS[forward.values[v.name].dtype.name] for v in forward.parameters},
    )
    nodes = [
        *_place_forward(gradients.forward, step.norms.places, schedule, late=step.norms.late),
        *(_place_backward(node, step.norms.places, schedule) for node in gradients.backward),
        *(PlacedNode(proto=node, part=None) for node in updates.shared),
        *(
            PlacedNode(proto=node, part=schedule.backward[forward.homes[parameter]])
            for parameter, own in updates.nodes.items()
            for node in own
        ),
    ]
    trained = {name for name, state in states.items() if state.kind != "statistic"}
    return TrainingGraph(
        nodes=tuple(nodes),
        schedule=schedule,
        constants={
            **{n: t for n, t in step.constants.items() if n not in states},
            **{tensor.name: tensor for tensor in updates.constants},
        },
        specs=step.specs,
        states=states,
        updates={**step.norms.updates, **{next_name(name): name for name in trained}},
        results=(LOSS, *forward.head.predictions[:1]),
        opsets=_read_opsets(forward.model.proto),
        ir_version=forward.model.proto.ir_version,
    )


def place_evaluation(forward: TrainedForward, schedule: Schedule) -> TrainingGraph:
    """Place the forward pass as it is for inference, with its loss.

    Parameters
    ----------
    forward : TrainedForward
    schedule : Schedule
    """
    proto = forward.model.proto
    index = index_model(proto)
    named = []
    for position in index.order:
        node = onnx.NodeProto()
        node.CopyFrom(index.nodes[position])
        node.name = forward_name(node.name)
        named.append(node)
    states = {
        v.name: StateTensor(
            name=v.name, kind=v.kind, place=forward.homes[v.name], value=forward.values[v.name]
        )
        for v in forward.variables
    }
    return TrainingGraph(
        nodes=tuple(_place_forward(named, forward.places, schedule)),
        schedule=schedule,
        constants={t.name: t for t in proto.graph.initializer if t.name not in states},
        specs=forward.specs,
        states=states,
        updates={},
        results=(LOSS, *forward.head.predictions[:1]),
        opsets=_read_opsets(proto),
        ir_version=proto.ir_version,
    )


def list_states(forward: TrainedForward, optimizer: Optimizer) -> dict[str, StateTensor]:
    """Return all that steps change: parameters, what the optimizer keeps, and statistics.

    Parameters
    ----------
    forward : TrainedForward
    optimizer : Optimizer
    """
    states: dict[str, StateTensor] = {}
    for variable in forward.variables:
        name, place = variable.name, forward.homes[variable.name]
        value = forward.values[name]
        states[name] = StateTensor(name=name, kind=variable.kind, place=place, value=value)
        for slot in optimizer.slots if variable.kind == "parameter" else ():
            key = slot_name(slot, name)
            zeros = np.zeros_like(value)
            states[key] = StateTensor(name=key, kind="slot", place=place, value=zeros)
    return states


def _place_forward(
    nodes: Sequence[onnx.NodeProto],
    places: Mapping[str, int | None],
    schedule: Schedule,
    *,
    late: AbstractSet[str] = frozenset(),
) -> list[PlacedNode]:
    """Place forward nodes, whose names have a prefix; late ones with the backward pass."""
    parts: dict[str, int | None] = {}
    for name, place in places.items():
        passes = schedule.backward if name in late else schedule.forward
        parts[forward_name(name)] = None if place is None else passes[place]
    return [PlacedNode(proto=node, part=parts[node.name]) for node in nodes]


def _place_backward(
    node: BackwardNode, places: Mapping[str, int | None], schedule: Schedule
) -> PlacedNode:
    """Place a backward node: with its operators, and sizes where the value itself is."""
    found = [p for name in node.operators if (p := places[name]) is not None] or [LOSS_PLACE]
    part = schedule.order_backward(found)
    if node.proto.op_type == "Shape" and not node.proto.input[0].startswith("bwd|"):
        # Only the size of a value is to be kept for the way back, not the value.
        part = max(schedule.forward[place] for place in found)
    return PlacedNode(proto=node.proto, part=part)


def _read_opsets(proto: onnx.ModelProto) -> dict[str, int]:
    """Return the opsets of a model."""
    return {entry.domain: entry.version for entry in proto.opset_import}


def _describe_backward(
    proto: onnx.ModelProto, gradients: Gradients, specs: Mapping[str, TensorSpec]
) -> dict[str, TensorSpec]:
    """Infer the types of the backward pass's values."""
    joined = onnx.ModelProto()
    joined.CopyFrom(proto)
    del joined.graph.node[:]
    joined.graph.node.extend(gradients.forward)
    joined.graph.node.extend(node.proto for node in gradients.backward)
    joined.graph.initializer.extend(gradients.constants)
    whole = load_model(joined)
    found = describe_values(whole, index_model(whole.proto))
    return {name: spec for name, spec in found.items() if name not in specs}
