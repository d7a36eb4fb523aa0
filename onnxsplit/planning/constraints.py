"""What a placement must respect: pins, and tensors that may not travel."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onnxsplit.errors import InfeasiblePlacementError, UsageError, suggest
from onnxsplit.graph import OperatorGraph
from onnxsplit.placement import Crossing, Placement
from onnxsplit.tiers import DEVICE, SERVER, Topology

_TYPE_PREFIX = "op:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What the caller demands of a placement.

    Parameters
    ----------
    pin_device, pin_server : tuple of str
        Globs over operator names, or ``op:`` and a glob over operator types; a type outside the
        default domain goes by ``domain.Type`` as well.
    banned_tensors : tuple of str
        Values that may not cross, beside those that can't.
    """

    pin_device: tuple[str, ...] = ()
    pin_server: tuple[str, ...] = ()
    banned_tensors: tuple[str, ...] = ()


def resolve_pins(graph: OperatorGraph, constraints: Constraints) -> dict[str, str]:
    """Return the tier of every pinned operator.

    Parameters
    ----------
    graph : OperatorGraph
    constraints : Constraints

    Returns
    -------
    dict of str to str

    Raises
    ------
    UsageError
        A pattern matches nothing, or a banned tensor does not exist.
    InfeasiblePlacementError
        An operator is pinned to both tiers, or one on the device needs one on the server.
    """
    for tensor in constraints.banned_tensors:
        if tensor not in graph.tensors:
            raise UsageError(f"There is no tensor {tensor!r}. {suggest(tensor, graph.tensors)}")
    device = _match_all(graph, constraints.pin_device, "--pin-device")
    server = _match_all(graph, constraints.pin_server, "--pin-server")
    both = [name for name in device if name in server]
    if both:
        raise InfeasiblePlacementError(
            f"The operator {both[0]!r} is pinned to the device by {device[both[0]]!r} and to the"
            f" server by {server[both[0]]!r}; drop one of the pins."
        )
    _check_order(graph, device, server)
    return {**dict.fromkeys(device, DEVICE), **dict.fromkeys(server, SERVER)}


def find_banned(graph: OperatorGraph, constraints: Constraints) -> frozenset[str]:
    """Return the values that may not cross, and those that can't."""
    stuck = {name for name, spec in graph.tensors.items() if spec.travel_obstacle is not None}
    return frozenset(stuck | set(constraints.banned_tensors))


def check_operators(graph: OperatorGraph, topology: Topology, placement: Placement) -> None:
    """Check that a placement is one of these operators on these tiers.

    Parameters
    ----------
    graph : OperatorGraph
    topology : Topology
    placement : Placement

    Raises
    ------
    UsageError
        It is for other tiers, leaves out an operator or names one that does not exist.
    """
    if placement.tiers != topology.tiers:
        raise UsageError(
            f"The placement is for the tiers {', '.join(placement.tiers)}, and the topology has"
            f" {', '.join(topology.tiers)}."
        )
    for operator in graph:
        if operator.name not in placement.tier_of:
            raise UsageError(f"The placement leaves out the operator {operator.name!r}.")
    for name in placement.tier_of:
        if name not in graph:
            known = (operator.name for operator in graph)
            raise UsageError(
                f"The placement names {name!r}, which is no operator of this model."
                f" {suggest(name, known)}"
            )


def check_placement(
    placement: Placement,
    crossings: Sequence[Crossing],
    pins: Mapping[str, str],
    constraints: Constraints,
) -> None:
    """Check that a placement meets the constraints.

    Parameters
    ----------
    placement : Placement
    crossings : sequence of Crossing
        Its tensors that travel away from the device.
    pins : mapping of str to str
        Operator to tier, from `resolve_pins`.
    constraints : Constraints

    Raises
    ------
    InfeasiblePlacementError
        It contradicts a pin, or a banned value crosses.
    """
    for name, tier in pins.items():
        found = placement.tier_of[name]
        if found != tier:
            raise InfeasiblePlacementError(
                f"The placement puts {name!r} on the {found}, but it is pinned to the {tier}; drop"
                " one of the two."
            )
    for crossing in crossings:
        if crossing.tensor in constraints.banned_tensors:
            raise InfeasiblePlacementError(
                f"In this placement {crossing.tensor!r} crosses from {crossing.source} to"
                f" {crossing.target}, which is banned; drop the ban or cut elsewhere."
            )


def _match_all(graph: OperatorGraph, patterns: Sequence[str], flag: str) -> dict[str, str]:
    """Map each operator that a pattern matches to the first such pattern, in graph order."""
    matched: dict[str, str] = {}
    for pattern in patterns:
        names = _match(graph, pattern)
        if not names:
            raise UsageError(f"{flag} {pattern}: no operator matches. {_advise(graph, pattern)}")
        for name in names:
            matched.setdefault(name, pattern)
    return {operator.name: matched[operator.name] for operator in graph if operator.name in matched}


def _match(graph: OperatorGraph, pattern: str) -> list[str]:
    """Return the operators that a pattern matches; an exact name beats its reading as a glob."""
    if pattern in graph:
        return [pattern]
    if pattern.startswith(_TYPE_PREFIX):
        wanted = pattern.removeprefix(_TYPE_PREFIX)
        return [
            op.name
            for op in graph
            if fnmatch.fnmatchcase(op.op_type, wanted)
            or (op.domain and fnmatch.fnmatchcase(f"{op.domain}.{op.op_type}", wanted))
        ]
    return [op.name for op in graph if fnmatch.fnmatchcase(op.name, pattern)]


def _advise(graph: OperatorGraph, pattern: str) -> str:
    """Say what a pattern without a match may have been meant to be."""
    if pattern.startswith(_TYPE_PREFIX):
        return suggest(pattern, {_TYPE_PREFIX + operator.op_type for operator in graph})
    if any(fnmatch.fnmatchcase(name, pattern) for name in graph.constant_operators):
        return "It depends on constants alone, and each stage that needs it gets its own copy."
    if any(fnmatch.fnmatchcase(name, pattern) for name in graph.dead_operators):
        return "No model output depends on it, so it is left out."
    return suggest(pattern, (operator.name for operator in graph))


def _check_order(graph: OperatorGraph, device: Iterable[str], server: Iterable[str]) -> None:
    """Refuse a device pin downstream of a server pin: nothing comes back before the outputs."""
    pinned_device = set(device)
    reached_from: dict[str, str] = {name: name for name in server}
    for operator in graph:
        for before in graph.predecessors(operator.name):
            if before in reached_from:
                reached_from.setdefault(operator.name, reached_from[before])
        if operator.name in pinned_device and operator.name in reached_from:
            raise InfeasiblePlacementError(
                f"{operator.name!r} is pinned to the device and needs"
                f" {reached_from[operator.name]!r}, which is pinned to the server; intermediate"
                " results do not travel back, so drop one of the pins."
            )
