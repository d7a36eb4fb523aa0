"""What each tier's stage takes in, holds and gives, in names; no protobuf is made here."""

from collections.abc import Mapping
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
        Further values that later tiers need: model inputs that are handed on, in the model's
        order, then what operators make, in graph order.
    """

    tier: str
    operators: tuple[Operator, ...]
    feeds: tuple[str, ...]
    arrivals: tuple[str, ...]
    yields: tuple[str, ...]
    departures: tuple[str, ...]


def select_stages(
    graph: OperatorGraph,
    placement: Placement,
    *,
    resting: frozenset[str] = frozenset(),
    gives: Mapping[str, str] | None = None,
    copies: AbstractSet[str] = frozenset(),
) -> tuple[StageSelection, ...]:
    """Distribute operators, model inputs and model outputs over the tiers.

    Outputs that are model inputs or constants belong to the first tier, which holds the inputs;
    model inputs that nothing reads belong to the first stage, or to the last if they rest. A tier
    that neither holds an operator nor yields an output gets no stage. What travels over a tier
    between is handed on by its stage: an input and an output of it, and no operator's. O(operators
    + values * tiers).

    Parameters
    ----------
    graph : OperatorGraph
    placement : Placement
    resting : frozenset of str
        Model inputs that do not come from the first tier, and so are never handed on.
    gives : mapping of str to str, optional
        Model outputs that the stage of this tier gives, whoever makes them.
    copies : set of str
        Operators of the first tier that run on the last as well, for what that reads of them.

    Raises
    ------
    PlanError
        The placement misses an operator, names an unknown one, or lets an operator read from a
        later tier.
    """
    tier_of = _read_placement(graph, placement)
    yields = find_yields(graph, placement, gives or {})
    spans = _find_spans(graph, placement, yields, copies)
    order = (*graph.inputs, *(value for operator in graph for value in operator.outputs))
    unread = [name for name in graph.inputs if not _is_read(graph, name)]
    used = [tier for tier in placement.tiers if tier in {*tier_of.values(), *yields.values()}]
    selections: list[StageSelection] = []
    for rank, tier in enumerate(placement.tiers):
        also = copies if tier == placement.tiers[-1] else frozenset()
        operators = tuple(
            op for op in graph.operators if tier_of[op.name] == tier or op.name in also
        )
        given = tuple(dict.fromkeys(name for name in graph.outputs if yields[name] == tier))
        if tier not in used and not operators:
            continue
        read = {value for op in operators for value in op.inputs} | set(given)
        read |= set(unread) - resting if tier == used[0] else set()
        read |= set(unread) & resting if tier == used[-1] else set()
        passing = {v for v, (start, end) in spans.items() if start < rank < end} - resting
        leaving = {v for v, (start, end) in spans.items() if start <= rank < end}
        leaving -= resting | (set(graph.inputs) if rank == 0 else set())
        made = {value for op in operators for value in op.outputs}
        selections.append(
            StageSelection(
                tier=tier,
                operators=operators,
                feeds=tuple(name for name in graph.inputs if name in read | passing),
                arrivals=tuple(
                    value
                    for value in order[len(graph.inputs) :]
                    if spans[value][0] < rank and value in (read | passing) - made
                ),
                yields=given,
                departures=tuple(v for v in order if v in leaving and v not in given),
            )
        )
    return tuple(selections)


def find_yields(
    graph: OperatorGraph, placement: Placement, gives: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the tier that gives each model output: as asked, else its maker's, else the first."""
    makers = {name: graph.producer(name) for name in graph.outputs}
    own = {
        name: placement.tiers[0] if maker is None else placement.tier_of[maker]
        for name, maker in makers.items()
    }
    return {name: gives.get(name, tier) for name, tier in own.items()}


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


def _find_spans(
    graph: OperatorGraph,
    placement: Placement,
    yields: Mapping[str, str],
    copies: AbstractSet[str],
) -> Mapping[str, tuple[int, int]]:
    """Return where each value starts and the last tier that needs it; refuse to go back."""
    tier_of = placement.tier_of
    last = len(placement.tiers) - 1
    copied = {value for name in copies for value in graph.operator(name).outputs}
    rank = {tier: place for place, tier in enumerate(placement.tiers)}
    spans = {
        value: (rank[tier_of[operator.name]], rank[tier_of[operator.name]])
        for operator in graph.operators
        for value in operator.outputs
    }
    spans.update(dict.fromkeys(graph.inputs, (0, 0)))
    for operator in graph.operators:
        tier = tier_of[operator.name]
        for value in operator.inputs:
            start, end = spans[value]
            if start > rank[tier]:
                raise PlanError(
                    f"The operator {operator.name!r} on {tier!r} reads {value!r} from"
                    f" {placement.tiers[start]!r}, which comes later; values only travel from"
                    f" {placement.tiers[0]!r} onwards."
                )
            needed = last if operator.name in copies else rank[tier]
            if needed == last and value in copied:
                needed = start  # the last tier makes it itself
            spans[value] = (start, max(end, needed))
    for value, tier in yields.items():
        if graph.producer(value) is not None:
            start, end = spans[value]
            spans[value] = (start, max(end, rank[tier]))
    return spans


def _is_read(graph: OperatorGraph, name: str) -> bool:
    """Tell whether an operator reads a model input, or it is itself an output."""
    return bool(graph.consumers(name)) or name in graph.outputs
