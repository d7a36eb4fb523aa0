"""What a caller may demand of a placement, and the pins among it."""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onnxsplit.errors import InfeasiblePlacementError, UsageError, suggest
from onnxsplit.graph import OperatorGraph
from onnxsplit.placement import Placement
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
    banned_tensors, banned_dtypes : tuple of str
        Globs over names, and element types, of values that may not travel, beside those that
        can't: neither as a crossing nor as a model output on its way back.
    pins : tuple of (str, str)
        Tier and pattern, for any tier of the chain; ``pin_device`` and ``pin_server`` speak of its
        first and last tier, whatever they are called.
    device_operators : tuple of str or None
        Globs over the operator types that the first tier's runtime has; None for all.
    device_lacks : tuple of str
        Names of operators that the first tier's runtime was asked about, and can't run.
    private_depth : int
        What leaves the first tier has at least so many operators behind it, on the longest way
        from a model input.
    private_tensors : tuple of str
        Globs over values that must not leave the first tier, nor anything they are made from.
    keep_together : tuple of str
        Globs over operators as for pins; those of one glob share a tier.
    memory_bytes : mapping of str to int
        Tier to what its weights and values may take; ``device`` and ``server`` stand for the first
        and the last tier.
    max_joules, max_seconds : float or None
        Caps on the energy of one inference and on the predicted time.
    least_share : float
        Every tier has at least this share of the work, counted in the last tier's seconds.
    optimizer_slots : int
        In training: values that the optimizer keeps for each trained parameter.
    """

    pin_device: tuple[str, ...] = ()
    pin_server: tuple[str, ...] = ()
    banned_tensors: tuple[str, ...] = ()
    pins: tuple[tuple[str, str], ...] = ()
    banned_dtypes: tuple[str, ...] = ()
    device_operators: tuple[str, ...] | None = None
    device_lacks: tuple[str, ...] = ()
    private_depth: int = 0
    private_tensors: tuple[str, ...] = ()
    keep_together: tuple[str, ...] = ()
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    max_joules: float | None = None
    max_seconds: float | None = None
    least_share: float = 0.0
    optimizer_slots: int = 2


def resolve_pins(
    graph: OperatorGraph, constraints: Constraints, tiers: Sequence[str] = (DEVICE, SERVER)
) -> dict[str, str]:
    """Return the tier of every pinned operator.

    Parameters
    ----------
    graph : OperatorGraph
    constraints : Constraints
    tiers : sequence of str
        The chain, from the device on.

    Returns
    -------
    dict of str to str

    Raises
    ------
    UsageError
        A pattern matches nothing, or a tier does not exist.
    InfeasiblePlacementError
        An operator is pinned to two tiers, or needs one that is pinned to a later tier.
    """
    pinned: dict[str, tuple[str, str]] = {}
    for tier, found in _list_matches(graph, constraints, tiers):
        for name, pattern in found.items():
            other, first = pinned.setdefault(name, (tier, pattern))
            if other != tier:
                raise InfeasiblePlacementError(
                    f"The operator {name!r} is pinned to the {other} by {first!r} and to the"
                    f" {tier} by {pattern!r}; drop one of the pins."
                )
    pins = {name: tier for name, (tier, _) in pinned.items()}
    _check_order(graph, pins, tiers)
    return pins


def _list_matches(
    graph: OperatorGraph, constraints: Constraints, tiers: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what each kind of pin matches, with its tier."""
    yield tiers[0], match_operators(graph, constraints.pin_device, "--pin-device")
    yield tiers[-1], match_operators(graph, constraints.pin_server, "--pin-server")
    for tier, pattern in constraints.pins:
        if tier not in tiers:
            raise UsageError(
                f"--pin {tier}={pattern}: there is no tier {tier!r}; the tiers are"
                f" {', '.join(tiers)}."
            )
        yield tier, match_operators(graph, (pattern,), f"--pin {tier}=")


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


def match_operators(graph: OperatorGraph, patterns: Sequence[str], flag: str) -> dict[str, str]:
    """Map each operator that a pattern matches to the first such pattern, in graph order.

    Raises
    ------
    UsageError
        A pattern matches nothing.
    """
    matched: dict[str, str] = {}
    for pattern in patterns:
        names = _match(graph, pattern)
        if not names:
            said = f"{flag}{pattern}" if flag.endswith("=") else f"{flag} {pattern}"
            raise UsageError(f"{said}: no operator matches. {_advise(graph, pattern)}")
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


def _check_order(graph: OperatorGraph, pins: Mapping[str, str], tiers: Sequence[str]) -> None:
    """Refuse a pin downstream of one to a later tier: nothing comes back before the outputs."""
    place_of = {tier: place for place, tier in enumerate(tiers)}
    latest: dict[str, str] = {}  # operator to the pinned one, of those upstream, that is furthest
    for operator in graph:
        name = operator.name
        upstream = [latest[before] for before in graph.predecessors(name) if before in latest]
        if name in pins:
            for other in upstream:
                if place_of[pins[other]] > place_of[pins[name]]:
                    raise InfeasiblePlacementError(
                        f"{name!r} is pinned to the {pins[name]} and needs {other!r}, which is"
                        f" pinned to the {pins[other]}; intermediate results do not travel back, so"
                        " drop one of the pins."
                    )
            upstream.append(name)
        if upstream:
            latest[name] = max(upstream, key=lambda other: place_of[pins[other]])
