"""What each tier's stage takes in, holds and gives, in names; no protobuf is made here."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from onnxsplit.errors import PlanError
from onnxsplit.graph import Operator, OperatorGraph
from onnxsplit.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSelection:
    """The share of one tier.

    Parameters
    ----------
    tier : str
    operators : tuple of Operator
        In graph order.
    feeds : tuple of str
        Model inputs, in the model's order.
    arrivals : tuple of str
        Values that earlier tiers make, in graph order.
    yields : tuple of str
        Model outputs, in the model's order.
    departures : tuple of str
        Further values that later tiers read, in graph order.
    """

    tier: str
    operators: tuple[Operator, ...]
    feeds: tuple[str, ...]
    arrivals: tuple[str, ...]
    yields: tuple[str, ...]
    departures: tuple[str, ...]


def select_stages(
    graph: OperatorGraph, placement: Placement, copies: AbstractSet[str] = frozenset()
) -> tuple[StageSelection, ...]:
    """Distribute operators, model inputs and model outputs over the tiers.

    Outputs that are model inputs or constants belong to the first tier, which holds the inputs;
    model inputs that nothing reads belong to the first stage. A tier that neither holds an
    operator nor yields an output gets no stage. Operators among ``copies`` run on the last tier
    as well, for what that reads of them. O(operators + values).

    Raises
    ------
    PlanError
        The placement misses an operator, names an unknown one, or lets an operator read from a
        later tier.
    """
    tier_of = _read_placement(graph, placement)
    arrivals = _find_arrivals(graph, placement, tier_of, copies)
    travelling = {value for values in arrivals.values() for value in values}
    yields = find_yields(graph, placement)
    unread = [name for name in graph.inputs if not _is_read(graph, name)]
    selections: list[StageSelection] = []
    for tier in placement.tiers:
        also = copies if tier == placement.tiers[-1] else frozenset()
        operators = tuple(
            op for op in graph.operators if tier_of[op.name] == tier or op.name in also
        )
        given = tuple(dict.fromkeys(name for name in graph.outputs if yields[name] == tier))
        if not operators and not given:
            continue
        read = {value for op in operators for value in op.inputs} | set(given)
        read |= set() if selections else set(unread)
        made = [value for op in operators for value in op.outputs]
        selections.append(
            StageSelection(
                tier=tier,
                operators=operators,
                feeds=tuple(name for name in graph.inputs if name in read),
                arrivals=arrivals[tier],
                yields=given,
                departures=tuple(v for v in made if v in travelling and v not in given),
            )
        )
    return tuple(selections)


def find_yields(graph: OperatorGraph, placement: Placement) -> Mapping[str, str]:
    """Return the tier that gives each model output: its maker's, else the first."""
    makers = {name: graph.producer(name) for name in graph.outputs}
    return {
        name: placement.tiers[0] if maker is None else placement.tier_of[maker]
        for name, maker in makers.items()
    }


def _read_placement(graph: OperatorGraph, placement: Placement) -> Mapping[str, str]:
    """Return the tier of every operator, or say what is amiss."""
    for operator in graph.operators:
        if operator.name not in placement.tier_of:
            raise PlanError(f"The placement gives the operator {operator.name!r} no tier.")
    for name in placement.tier_of:
        if name not in graph:
            raise PlanError(
                f"The placement names {name!r}, which is no operator that can be placed;"
                " constants and dead operators can't."
            )
    return placement.tier_of


def _find_arrivals(
    graph: OperatorGraph,
    placement: Placement,
    tier_of: Mapping[str, str],
    copies: AbstractSet[str],
) -> Mapping[str, tuple[str, ...]]:
    """Return what each tier reads from earlier ones, and refuse to read from later ones."""
    last = placement.tiers[-1]
    rank = {tier: place for place, tier in enumerate(placement.tiers)}
    arrivals: dict[str, set[str]] = {tier: set() for tier in placement.tiers}
    for operator in graph.operators:
        tier = tier_of[operator.name]
        for value in operator.inputs:
            maker = graph.producer(value)
            if maker is None or tier_of[maker] == tier:
                continue
            if rank[tier_of[maker]] > rank[tier]:
                raise PlanError(
                    f"The operator {operator.name!r} on {tier!r} reads {value!r} from"
                    f" {tier_of[maker]!r}, which comes later; values only travel from"
                    f" {placement.tiers[0]!r} onwards."
                )
            if tier != last or maker not in copies:
                arrivals[tier].add(value)
        if operator.name in copies:
            makers = {value: graph.producer(value) for value in operator.inputs}
            arrivals[last] |= {
                value
                for value, maker in makers.items()
                if maker is not None and maker not in copies and tier_of[maker] != last
            }
    made = [value for operator in graph.operators for value in operator.outputs]
    return {tier: _sort_as(made, values) for tier, values in arrivals.items()}


def _sort_as(order: Sequence[str], values: Iterable[str]) -> tuple[str, ...]:
    """Return the values in the given order."""
    wanted = set(values)
    return tuple(value for value in order if value in wanted)


def _is_read(graph: OperatorGraph, name: str) -> bool:
    """Tell whether an operator reads a model input, or it is itself an output."""
    return bool(graph.consumers(name)) or name in graph.outputs
