"""Recompute instead of send: cheap operators may run on the device and on the server as well.

Held against brute force over all such assignments. Two tiers, one inference.
"""

from collections.abc import Set as AbstractSet
from dataclasses import replace

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.objectives import Throughput, TrainingDelay
from onnxsplit.planned import Plan
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.cheap_operators import may_double
from onnxsplit.planning.cuts.doubled_problem import DoubledProblem, Recomputation
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.demands.limits import set_limits
from onnxsplit.planning.demands.pieces import take_memory
from onnxsplit.planning.demands.rules import resolve_rules

_FLOAT_NOISE = 1e-9
_SIDES = 2
_NAMED = 3


def recompute_plan(
    question: Question, plan: Plan, *, constraints: Constraints, require_split: bool
) -> Plan:
    """Let cheap operators run on both sides where that is better than a plan.

    Parameters
    ----------
    question : Question
    plan : Plan
        The best without.
    constraints : Constraints
    require_split : bool
        Whether no side may be left empty.

    Returns
    -------
    Plan
        As it was given unless running operators twice is strictly better.

    Raises
    ------
    UsageError
        The chain has more than two tiers, or the objective is training.
    """
    graph = question.graph
    doubles = frozenset(operator.name for operator in graph if may_double(operator, graph))
    rules = resolve_rules(question, constraints)
    doubles -= rules.pins.keys()
    doubles -= {name for group in (*question.together, *rules.together) for name in group}
    found = find_recomputation(
        question, doubles, constraints=constraints, require_split=require_split
    )
    value = price_placement(question, plan.placement).value
    slack = found.certificate.rounding_bound_seconds + _FLOAT_NOISE * value
    if not found.copies or found.priced.value >= value - slack:
        return plan
    names = tuple(op.name for op in graph if op.name in found.copies)
    note = (
        f"The server runs {len(names)} operators of the device as well ({', '.join(names[:_NAMED])}"
        f"{', ...' if len(names) > _NAMED else ''}) rather than be sent what they make; without"
        f" that the best plan would cost {value / found.priced.value:.3g} times as much."
    )
    better = replace(
        plan,
        verdict=plan.verdict if require_split else found.priced.placement.verdict,
        placement=found.priced.placement,
        crossings=found.priced.crossings,
        downloads=found.priced.downloads,
        predicted=found.priced.prediction,
        certificate=found.certificate,
        notes=(*plan.notes, note),
        recomputed=names,
    )
    check_plan(better, question)
    return better


def _refuse_others(question: Question, constraints: Constraints) -> None:
    """Refuse what recomputing knows nothing of."""
    adds_up = not isinstance(question.objective, TrainingDelay | Throughput)
    if len(question.topology.tiers) != _SIDES or not adds_up:
        raise UsageError(
            "--recompute works for one inference on two tiers; leave it out for a longer chain, for"
            " training and for throughput."
        )
    if question.origin is not None:
        raise UsageError("--recompute and --from do not work together; give one of them.")
    if set_limits(question, constraints).are_any or take_memory(question):
        raise UsageError(
            "--recompute does not know budgets of memory, energy, time or work; leave one of the"
            " two out."
        )


def find_recomputation(
    question: Question,
    doubles: AbstractSet[str],
    *,
    constraints: Constraints,
    require_split: bool = False,
) -> Recomputation:
    """Find the best placement where some operators may run on both sides.

    Parameters
    ----------
    question : Question
        Two tiers, for one inference.
    doubles : set of str
        Operators that may run twice; those of one kernel do so only together.
    constraints : Constraints
    require_split : bool

    Raises
    ------
    UsageError
        The chain has more than two tiers, the objective is training, or there are budgets.
    InfeasiblePlacementError
        The constraints leave no placement.

    Notes
    -----
    One certified solve of twice the size. In a proper split each side runs something that the other
    does not: the first such cell of the device has ancestors that run twice alone, the last such
    cell of the server is a leaf; there is one solve for each pair of these.
    """
    _refuse_others(question, constraints)
    doubled = DoubledProblem.open(question, doubles, constraints)
    if not require_split:
        return doubled.solve()
    coarse = doubled.coarse
    found: Recomputation | None = None
    for first in doubled.list_firsts():
        for leaf in coarse.leaves:
            if first == leaf:
                continue
            try:
                solved = doubled.solve(device=first, server=leaf)
            except InfeasiblePlacementError:
                continue
            if found is None or solved.priced.value < found.priced.value:
                found = solved
    if found is None:
        raise InfeasiblePlacementError("There is no split that leaves neither side empty.")
    restricted = replace(found.certificate, restriction="proper splits, some operators run twice")
    return replace(found, certificate=restricted)
