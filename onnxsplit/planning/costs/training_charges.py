"""Charges of one epoch of split learning, for a device and a server.

Source: arXiv 2507.01041 for the idea that the delay of split learning is a minimum cut; the terms
are rebuilt from the protocol, and corrected where brute force showed a difference (two auxiliary
vertices for each tensor; a gradient for those readers alone through which the loss is reached;
shared parameters once).

The loss is a virtual vertex behind the cells: it takes no time, reads the floating-point outputs
and the labels, and lies where that is cheaper.
"""

from collections.abc import Iterator

import numpy as np

from onnxsplit.errors import UsageError
from onnxsplit.graph import OperatorGraph
from onnxsplit.objectives import TrainingDelay
from onnxsplit.planning.costs.charges import (
    CONSTANT,
    Charges,
    Floats,
    SharedCharge,
    TensorCharge,
    count_columns,
    down_column,
    trip_column,
    up_column,
)
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.planning.costs.epochs import measure_labels
from onnxsplit.planning.costs.gradients import GradientFlow, follow_gradients, weigh_transfers
from onnxsplit.planning.costs.inference_charges import list_order
from onnxsplit.planning.costs.question import Question

LABELS = "onnxsplit/labels"
"""Name of the virtual input that the loss reads."""

_TIERS = 2
_COLUMNS = count_columns(_TIERS - 1)
_UP, _DOWN, _TRIP = up_column(0), down_column(0), trip_column(0)


def charge_training(
    question: Question, objective: TrainingDelay, coarse: CoarseGraph, banned: frozenset[str]
) -> Charges:
    """Return the charges of one epoch.

    Parameters
    ----------
    question : Question
        Its profiles have backward seconds.
    objective : TrainingDelay
    coarse : CoarseGraph
    banned : frozenset of str
        Values that may not cross.

    Raises
    ------
    UsageError
        The chain has more than two tiers, data lives elsewhere, or nothing can be trained.

    Notes
    -----
    O(n + m). One round trip for each iteration in which the server takes part covers the
    activations on their way up and the gradients on their way down.
    """
    refuse_other_chains(question)
    graph = question.graph
    flow = follow_gradients(graph, objective.frozen)
    if not flow.backward:
        raise UsageError(
            "Nothing can be trained: no floating-point parameter that is not frozen has a way to a"
            " floating-point output."
        )
    loss = len(coarse.cells)
    shared = _find_shared(graph, coarse)
    vertices = np.zeros((loss + 1, _TIERS, _COLUMNS))
    _charge_passes(question, objective, coarse, flow, vertices)
    _charge_parameters(graph, coarse, flow, set(shared), vertices)
    makers = {
        coarse.cell_of[graph.producer(name) or ""] for name in flow.to_loss if graph.producer(name)
    }
    beyond = np.zeros((1, _COLUMNS))
    beyond[0, _TRIP] = objective.iterations
    first = np.zeros(_COLUMNS)
    first[CONSTANT] = (
        2 * objective.iterations * question.profiles[question.topology.tiers[0]].run_seconds
    )
    beyond[0, CONSTANT] = (
        objective.iterations * question.profiles[question.topology.tiers[1]].run_seconds
    )
    return Charges(
        tiers=_TIERS,
        vertices=vertices,
        order=(*list_order(coarse), *((loss, maker) for maker in sorted(makers))),
        tensors=(
            *_charge_tensors(question, objective, coarse, flow, banned),
            _charge_labels(question, objective, loss),
        ),
        beyond=beyond,
        first=first,
        before=np.zeros((1, _COLUMNS)),
        always=np.zeros(_COLUMNS),
        shared=tuple(
            _charge_shared(graph, flow, weight, cells) for weight, cells in shared.items()
        ),
    )


def refuse_other_chains(question: Question) -> None:
    """Refuse chains and places that training has no meaning for.

    Raises
    ------
    UsageError
        The chain has more than two tiers, or data lives elsewhere than on the device.
    """
    if len(question.topology.tiers) != _TIERS:
        raise UsageError(
            "Training is planned for a device and a server; give two tiers, or another objective."
        )
    places = question.places
    if places.inputs_at_last or places.outputs_at_last or places.states:
        raise UsageError(
            "In training the inputs live on the device and the outputs go to the loss; say where"
            " the labels are, and leave out where inputs and outputs are and what is a state."
        )


def _find_shared(graph: OperatorGraph, coarse: CoarseGraph) -> dict[str, tuple[int, ...]]:
    """Return the initializers that several cells use."""
    users: dict[str, set[int]] = {}
    for operator in graph:
        for weight in operator.weights:
            users.setdefault(weight, set()).add(coarse.cell_of[operator.name])
    return {name: tuple(sorted(cells)) for name, cells in users.items() if len(cells) > 1}


def _charge_passes(
    question: Question,
    objective: TrainingDelay,
    coarse: CoarseGraph,
    flow: GradientFlow,
    vertices: Floats,
) -> None:
    """Charge every cell its forward pass, and its backward pass where it has one."""
    for place, tier in enumerate(question.topology.tiers):
        for group in question.profiles[tier].groups:
            seconds = group.seconds
            if any(name in flow.backward for name in group.operators):
                seconds += group.backward_seconds or 0.0
            cell = coarse.cell_of[group.operators[0]]
            vertices[cell, place, CONSTANT] += objective.iterations * seconds


def _charge_parameters(
    graph: OperatorGraph,
    coarse: CoarseGraph,
    flow: GradientFlow,
    shared: set[str],
    vertices: Floats,
) -> None:
    """Charge the device part's own parameters for coming down and going up."""
    for place, cell in enumerate(coarse.cells):
        down, up = weigh_transfers(graph, flow, cell.operators)
        vertices[place, 0, _DOWN] += sum(size for name, size in down.items() if name not in shared)
        vertices[place, 0, _UP] += sum(size for name, size in up.items() if name not in shared)


def _charge_shared(
    graph: OperatorGraph, flow: GradientFlow, weight: str, cells: tuple[int, ...]
) -> SharedCharge:
    """Charge parameters that several cells use once."""
    costs = np.zeros(_COLUMNS)
    costs[_DOWN] = graph.weight_bytes[weight]
    if any(weight in names for names in flow.trained.values()):
        costs[_UP] = graph.weight_bytes[weight]
    return SharedCharge(vertices=cells, first_tier=costs)


def _charge_tensors(
    question: Question,
    objective: TrainingDelay,
    coarse: CoarseGraph,
    flow: GradientFlow,
    banned: frozenset[str],
) -> Iterator[TensorCharge]:
    """Charge every value for its way up, and its gradient for its way down."""
    graph, loss = question.graph, len(coarse.cells)
    device, server = question.topology.tiers
    for tensor in (*graph.inputs, *(name for operator in graph for name in operator.outputs)):
        maker = graph.producer(tensor)
        start = None if maker is None else coarse.cell_of[maker]
        is_read_by_loss = tensor in flow.to_loss
        readers = {coarse.cell_of[name] for name in graph.consumers(tensor)}
        senders = {coarse.cell_of[name] for name in flow.returning.get(tensor, ())}
        returns = bool(senders) or (is_read_by_loss and _has_gradient(graph, flow, tensor))
        if is_read_by_loss:
            readers.add(loss)
            if returns:
                senders.add(loss)
        readers -= {start}
        if not readers:
            continue
        size = None if tensor in banned else graph.tensors[tensor].size_bytes
        forward = np.zeros((1, _COLUMNS))
        gradient = np.zeros((1, _COLUMNS))
        if size is None:
            forward[0, CONSTANT] = np.inf
        else:
            sent, taken = question.find_boundary_seconds(tensor, device, server)
            forward[0, _UP] = objective.iterations * size
            forward[0, CONSTANT] = objective.iterations * (sent + taken)
            gradient[0, _DOWN] = objective.iterations * size
        back = tuple(sorted(senders - {start}))
        yield TensorCharge(
            tensor=tensor,
            maker=start,
            readers=tuple(sorted(readers)),
            forward=forward,
            size_bytes=size or 0,
            gradient=gradient if back else None,
            gradient_readers=back,
        )


def _has_gradient(graph: OperatorGraph, flow: GradientFlow, output: str) -> bool:
    """Tell whether an output that the loss reads wants its gradient back."""
    maker = graph.producer(output)
    return maker is not None and maker in flow.backward


def _charge_labels(question: Question, objective: TrainingDelay, loss: int) -> TensorCharge:
    """Charge the labels of each iteration for their way to the loss."""
    forward = np.zeros((1, _COLUMNS))
    at_server = objective.labels_at == "server"
    size = measure_labels(question, objective)
    forward[0, _DOWN if at_server else _UP] = objective.iterations * size
    return TensorCharge(
        tensor=LABELS,
        maker=None,
        readers=(loss,),
        forward=forward,
        size_bytes=size,
        starts_at_last=at_server,
    )
