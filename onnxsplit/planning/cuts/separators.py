"""Cuts that a single tensor crosses, and the blocks between them."""

from dataclasses import dataclass

from onnxsplit.errors import UsageError, suggest
from onnxsplit.graph import OperatorGraph
from onnxsplit.placement import Placement
from onnxsplit.tiers import DEVICE, SERVER


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleTensorCut:
    """A place where one tensor is all that crosses.

    Parameters
    ----------
    after : str
        The last operator on the device, in graph order.
    tensor : str
    device_operators : int
        How many operators, in graph order, run on the device.
    """

    after: str
    tensor: str
    device_operators: int

    def place(self, graph: OperatorGraph, tiers: tuple[str, ...] = (DEVICE, SERVER)) -> Placement:
        """Return the placement of this cut on two tiers."""
        return place_prefix(graph, self.device_operators, tiers)


def find_single_tensor_cuts(graph: OperatorGraph) -> tuple[SingleTensorCut, ...]:
    """Find the prefixes of the graph's order that one tensor leaves.

    Parameters
    ----------
    graph : OperatorGraph

    Returns
    -------
    tuple of SingleTensorCut
        In order. Every cut vertex with one crossing output is among them: whatever the order, its
        ancestors precede it and all else follows. Values that can't travel are left out.

    Notes
    -----
    O(n + m): one sweep that keeps the values which are still to be read.
    """
    last_reader = {
        tensor: graph.position(graph.consumers(tensor)[-1])
        for tensor in graph.tensors
        if graph.consumers(tensor)
    }
    pending = {tensor for tensor in graph.inputs if tensor in last_reader}
    cuts = []
    for place, operator in enumerate(graph.operators[:-1]):
        pending.update(tensor for tensor in operator.outputs if tensor in last_reader)
        pending.difference_update(
            [tensor for tensor in operator.inputs if last_reader[tensor] == place]
        )
        if len(pending) == 1:
            (tensor,) = pending
            if graph.tensors[tensor].travel_obstacle is None:
                cuts.append(
                    SingleTensorCut(after=operator.name, tensor=tensor, device_operators=place + 1)
                )
    return tuple(cuts)


def place_prefix(
    graph: OperatorGraph, device_operators: int, tiers: tuple[str, ...] = (DEVICE, SERVER)
) -> Placement:
    """Place the first operators, in graph order, on the device and the rest on the server.

    Parameters
    ----------
    graph : OperatorGraph
    device_operators : int
        How many run on the device.
    tiers : tuple of str
        What device and server are called.
    """
    device, server = tiers
    return Placement(
        tiers=tiers,
        tier_of={
            operator.name: device if place < device_operators else server
            for place, operator in enumerate(graph)
        },
    )


def place_cut(
    graph: OperatorGraph, tensors: tuple[str, ...], tiers: tuple[str, ...] = (DEVICE, SERVER)
) -> Placement:
    """Place everything upstream of the named tensors on the device, the rest on the server.

    Parameters
    ----------
    graph : OperatorGraph
    tensors : tuple of str
        Names of operators' outputs.
    tiers : tuple of str
        What device and server are called.

    Raises
    ------
    UsageError
        A tensor does not exist, nothing makes it, or there are more than two tiers.
    """
    if len(tiers) != 2:  # noqa: PLR2004 - one cut makes two sides
        raise UsageError(
            f"--cut-at {','.join(tensors)} makes one cut, and {len(tiers)} tiers need"
            f" {len(tiers) - 1}; place operators with --pin NAME=GLOB instead."
        )
    device, server = tiers
    pending = [_find_maker(graph, tensor) for tensor in tensors]
    upstream: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in upstream:
            upstream.add(name)
            pending.extend(graph.predecessors(name))
    return Placement(
        tiers=tiers,
        tier_of={op.name: device if op.name in upstream else server for op in graph},
    )


def name_cut(graph: OperatorGraph, placement: Placement) -> tuple[str, ...]:
    """Name the tensors from which `place_cut` makes a placement.

    Parameters
    ----------
    graph : OperatorGraph
    placement : Placement
        The device's operators must be closed under predecessors.

    Returns
    -------
    tuple of str
        One output of every operator that the device runs last: one that crosses, if any does.
    """
    tier_of, device = placement.tier_of, placement.tiers[0]
    ends = []
    for operator in graph:
        after = {tier_of[name] for name in graph.successors(operator.name)}
        if tier_of[operator.name] == device and device not in after:
            crossing = (tensor for tensor in operator.outputs if graph.consumers(tensor))
            ends.append(next(crossing, operator.outputs[0]))
    return tuple(ends)


def _find_maker(graph: OperatorGraph, tensor: str) -> str:
    """Return the operator that makes a tensor, or say why there is none."""
    maker = graph.producer(tensor)
    if maker is not None:
        return maker
    if tensor in graph.inputs:
        raise UsageError(
            f"--cut-at {tensor}: that is a model input, so nothing would run on the device; name a"
            " tensor that an operator makes."
        )
    if tensor in graph.constant_outputs or tensor in graph.weight_bytes:
        raise UsageError(f"--cut-at {tensor}: that is a constant, which never crosses.")
    made = [name for operator in graph for name in operator.outputs]
    raise UsageError(
        f"--cut-at {tensor}: no operator makes that tensor, or only constants go into it, and"
        f" constants never cross. {suggest(tensor, made)}"
    )
