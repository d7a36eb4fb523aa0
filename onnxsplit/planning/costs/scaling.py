"""Profiles of machines that nobody measured, from tables: factors by type, or costs by operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onnxsplit.errors import UsageError, suggest
from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.matching import match_profile
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Evidence

DEFAULT_TYPE = "*"
"""Stands for every operator type that a table does not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorTable:
    """How many times as long operators take as on the machine of a profile.

    Parameters
    ----------
    factors : mapping of str to float
        Operator type, or ``*``, to a positive factor.
    source : str
        Where it came from, for messages.
    """

    factors: Mapping[str, float]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What one operator costs on either tier.

    Parameters
    ----------
    operator : str
    seconds : mapping of str to float
        Tier to seconds.
    evidence : str
    """

    operator: str
    seconds: Mapping[str, float]
    evidence: Evidence = "assumed"


def scale_by_type(profile: Profile, graph: OperatorGraph, table: FactorTable) -> Profile:
    """Scale a profile by operator type: an assumption, and named so.

    Parameters
    ----------
    profile : Profile
        Of this graph's model.
    graph : OperatorGraph
    table : FactorTable

    Returns
    -------
    Profile
        In the graph's names. Operators that run as one kernel take the largest factor among
        their types that the table names, else that of ``*``, else 1; what any run and each
        boundary add takes that of ``*``.

    Raises
    ------
    UsageError
        The table names no type of this model.
    ProfileMismatchError
        The profile does not fit the model.
    """
    types = {operator.op_type for operator in graph}
    if not types & table.factors.keys() and DEFAULT_TYPE not in table.factors:
        unknown = next(iter(table.factors))
        raise UsageError(
            f"{table.source} names no operator type of this model; {unknown!r} is none of them."
            f" {suggest(unknown, types)}"
        )
    fitted = match_profile(profile, graph)
    rest = table.factors.get(DEFAULT_TYPE, 1.0)
    groups = tuple(
        _scale_group(group, _find_factor(group, graph, table, rest)) for group in fitted.groups
    )
    named = ", ".join(f"{name} {factor:g}x" for name, factor in table.factors.items())
    assumption = (
        f"{profile.tier} was not measured: its operators are taken to need these multiples of the"
        f" profile's times: {named}."
    )
    return replace(
        fitted,
        model=graph.identity,
        groups=groups,
        run_seconds=fitted.run_seconds * rest,
        boundaries={name: cost.scale(1 / rest) for name, cost in fitted.boundaries.items()},
        evidence="assumed" if profile.evidence == "assumed" else "scaled",
        assumptions=(*fitted.assumptions, assumption),
    )


def profiles_from_costs(
    rows: Sequence[CostRow], tiers: Sequence[str], *, source: str
) -> dict[str, Profile]:
    """Return a profile for each tier from a table of operators' costs.

    Parameters
    ----------
    rows : sequence of CostRow
    tiers : sequence of str
    source : str
        Where the table came from, for the assumption.

    Returns
    -------
    dict of str to Profile
        Only as sure as the least sure row.

    Raises
    ------
    ProfileError
        An operator comes twice.
    """
    order: tuple[Evidence, ...] = ("measured", "scaled", "assumed")
    evidence = order[max((order.index(row.evidence) for row in rows), default=-1)]
    sure = evidence == "measured"
    return {
        tier: Profile(
            tier=tier,
            groups=tuple(
                OperatorGroup(operators=(row.operator,), seconds=row.seconds[tier]) for row in rows
            ),
            evidence=evidence,
            assumptions=()
            if sure
            else (f"{tier} was not measured here: its operators' seconds are those of {source}.",),
            extra={"method": "table"},
        )
        for tier in tiers
    }


def _find_factor(
    group: OperatorGroup, graph: OperatorGraph, table: FactorTable, rest: float
) -> float:
    """Return the factor of a group."""
    types = [graph.operator(name).op_type for name in group.operators]
    return max((table.factors[name] for name in types if name in table.factors), default=rest)


def _scale_group(group: OperatorGroup, factor: float) -> OperatorGroup:
    """Scale one group."""
    backward = group.backward_seconds
    return replace(
        group,
        seconds=group.seconds * factor,
        backward_seconds=None if backward is None else backward * factor,
    )
