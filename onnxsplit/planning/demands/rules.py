"""Constraints in the names of one model: what each of them means for a cut."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onnxsplit.errors import InfeasiblePlacementError, UsageError, suggest
from onnxsplit.graph import ITEM_BYTES, Operator, OperatorGraph
from onnxsplit.planning.costs.mixes import list_graphs
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.demands.constraints import Constraints, match_operators, resolve_pins
from onnxsplit.planning.demands.privacy import find_shallow, find_sources

_TWO = 2
_DTYPES = frozenset({*ITEM_BYTES, "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a minimum cut can hold of the constraints.

    Parameters
    ----------
    pins : mapping of str to str
        Operator to tier.
    off_first : frozenset of str
        Operators that must not run on the first tier.
    banned : frozenset of str
        Values that may not travel, neither forth nor back.
    private : frozenset of str
        Values that may not leave the first tier.
    together : tuple of tuple of str
        Operators that share a tier.
    """

    pins: Mapping[str, str]
    off_first: frozenset[str] = frozenset()
    banned: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    together: tuple[tuple[str, ...], ...] = ()

    @property
    def stuck(self) -> frozenset[str]:
        """Values that may not cross."""
        return self.banned | self.private


def resolve_rules(question: Question, constraints: Constraints) -> Rules:
    """Look the constraints up in a model.

    Parameters
    ----------
    question : Question
    constraints : Constraints

    Returns
    -------
    Rules

    Raises
    ------
    UsageError
        A glob matches nothing, or there is no such element type.
    InfeasiblePlacementError
        Pins contradict each other.
    """
    graph, tiers = question.graph, question.topology.tiers
    private = match_tensors(graph, constraints.private_tensors, "--private")
    makers = [maker for name in private if (maker := graph.producer(name)) is not None]
    off_first = find_unsupported(graph, constraints)
    pins = _pin_all(graph, tiers, constraints, makers, off_first)
    hidden = find_shallow(graph, question.places, constraints.private_depth)
    if private:
        hidden |= find_sources(graph, question.places, private)
    return Rules(
        pins=pins,
        off_first=frozenset(off_first),
        banned=frozenset().union(
            *(find_banned(each, constraints) for each in list_graphs(question))
        ),
        private=hidden,
        together=tuple(
            tuple(match_operators(graph, (pattern,), "--keep-together"))
            for pattern in constraints.keep_together
        ),
    )


def find_banned(graph: OperatorGraph, constraints: Constraints) -> frozenset[str]:
    """Return the values that may not travel by their name or element type.

    Raises
    ------
    UsageError
        A glob matches nothing, or there is no such element type.
    """
    for dtype in constraints.banned_dtypes:
        if dtype not in _DTYPES:
            raise UsageError(
                f"--ban-dtype {dtype}: there is no such element type. {suggest(dtype, _DTYPES)}"
            )
    named = match_tensors(graph, constraints.banned_tensors, "--ban-tensor")
    typed = [
        name for name, spec in graph.tensors.items() if spec.dtype in constraints.banned_dtypes
    ]
    return frozenset({*named, *typed})


def find_stuck(graph: OperatorGraph) -> frozenset[str]:
    """Return the values that can't travel, whatever is asked."""
    return frozenset(
        name for name, spec in graph.tensors.items() if spec.travel_obstacle is not None
    )


def find_unsupported(graph: OperatorGraph, constraints: Constraints) -> tuple[str, ...]:
    """Return the operators that the first tier's runtime can't run, in graph order.

    Parameters
    ----------
    graph : OperatorGraph
    constraints : Constraints
        Its globs are over types; outside the default domain also ``domain.Type`` and
        ``domain::Type``.
    """
    supported, lacks = constraints.device_operators, frozenset(constraints.device_lacks)
    return tuple(
        op.name
        for op in graph
        if op.name in lacks or (supported is not None and not _is_supported(op, supported))
    )


def match_tensors(graph: OperatorGraph, patterns: Iterable[str], flag: str) -> tuple[str, ...]:
    """Return the values that globs match; an exact name beats its reading as a glob.

    Raises
    ------
    UsageError
        A glob matches nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        names = (
            [pattern]
            if pattern in graph.tensors
            else [name for name in graph.tensors if fnmatch.fnmatchcase(name, pattern)]
        )
        if not names:
            raise UsageError(
                f"{flag} {pattern}: There is no tensor {pattern!r}."
                f" {suggest(pattern, graph.tensors)}"
            )
        found.update(dict.fromkeys(names))
    return tuple(found)


def _is_supported(operator: Operator, supported: Sequence[str]) -> bool:
    """Tell whether a type is among those that a runtime has."""
    domain, kind = operator.domain or "ai.onnx", operator.op_type
    names = [kind, f"{domain}.{kind}", f"{domain}::{kind}"]
    return any(fnmatch.fnmatchcase(name, glob) for name in names for glob in supported)


def _pin_all(
    graph: OperatorGraph,
    tiers: Sequence[str],
    constraints: Constraints,
    private_makers: Sequence[str],
    off_first: Sequence[str],
) -> dict[str, str]:
    """Return the pins, with what makes private values and what the device can't run."""
    pins = resolve_pins(graph, constraints, tiers)
    for name in private_makers:
        if pins.setdefault(name, tiers[0]) != tiers[0]:
            raise InfeasiblePlacementError(
                f"{name!r} makes a private value, and is pinned to the {pins[name]}."
            )
    for name in off_first:
        if pins.get(name) == tiers[0]:
            kind = graph.operator(name).op_type
            raise InfeasiblePlacementError(
                f"{name!r} has to run on the {tiers[0]}, whose runtime has no {kind}."
            )
        if len(tiers) == _TWO:  # off the first of two is on the second
            pins[name] = tiers[-1]
    return pins
