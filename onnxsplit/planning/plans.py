"""Plans: the best placement, or a given one, with everything that a reader wants to know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.outlook import Explanation, Sensitivity
from onnxsplit.placement import Alternative, Placement, Plan
from onnxsplit.planning.alternatives import find_alternatives
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.balance import find_balanced_cut, is_balanced
from onnxsplit.planning.baselines import find_baselines, name_repairs
from onnxsplit.planning.charging import charge
from onnxsplit.planning.coarsening import coarsen
from onnxsplit.planning.constraints import (
    Constraints,
    check_operators,
    check_placement,
    find_banned,
    resolve_pins,
)
from onnxsplit.planning.detail import Detail
from onnxsplit.planning.explaining import explain_operators
from onnxsplit.planning.formulation import formulate
from onnxsplit.planning.objective_notes import describe_objective, name_objective_assumptions
from onnxsplit.planning.optimum import (
    Solution,
    Solver,
    find_best_split,
    find_optimum,
    price_wholes,
)
from onnxsplit.planning.pricing import PricedPlacement, price_placement
from onnxsplit.planning.question import Question
from onnxsplit.planning.sensitivity import find_sensitivity
from onnxsplit.planning.shares import CutTable, measure_server_share, tabulate_cuts
from onnxsplit.planning.wording import (
    explain_fewer_tiers,
    explain_next_cut,
    explain_override,
    explain_small_share,
    explain_split,
    name_link_assumptions,
)
from onnxsplit.profiles import OperatorGroup, Profile

DEFAULT_LEAST_SHARE = 0.05


def make_plan(
    question: Question,
    *,
    constraints: Constraints | None = None,
    require_split: bool = False,
    min_share: float = DEFAULT_LEAST_SHARE,
    detail: Detail | None = None,
) -> Plan:
    """Find the best placement, or the best proper split, and plan for it.

    Parameters
    ----------
    question : Question
    constraints : Constraints, optional
    require_split : bool
        Take the best proper split, even where not splitting is better.
    min_share : float
        Below this share of the work on either tier the plan says so and names another cut.
    detail : Detail, optional
        What to tell beside the placement.

    Returns
    -------
    Plan
        Certified; ``verdict`` tells what is best overall.

    Raises
    ------
    InfeasiblePlacementError
        No placement meets the constraints, or there is no proper split.
    UsageError
        A constraint names what does not exist, or the objective does not fit the chain.
    """
    graph, detail = question.graph, detail or Detail()
    solver = open_solver(question, constraints or Constraints())
    optimum = find_optimum(solver)
    is_split = optimum.priced.placement.verdict == "split"
    split = _find_split(solver, optimum, required=require_split)
    chosen = split if require_split and split is not None else optimum
    notes: list[str] = []
    table = _tabulate_if_two(solver)
    balanced = None
    if chosen.priced.placement.is_proper and table is not None:
        share = measure_server_share(solver.formulation.coarse, chosen.priced.placement)
        if not is_balanced(share, min_share):
            balanced = find_balanced_cut(solver, table, min_share)
            notes.append(explain_small_share(share, min_share))
            notes.append(explain_next_cut(graph, balanced, min_share))
    if chosen.priced.placement.is_proper and not optimum.priced.placement.is_proper:
        notes.append(explain_fewer_tiers(chosen.priced, optimum.priced))
    return _assemble(
        question,
        solver,
        chosen,
        verdict=optimum.priced.placement.verdict,
        alternatives=find_alternatives(
            solver,
            table,
            chosen.priced,
            optimum=optimum.priced,
            split=None if split is None else split.priced,
            balanced=balanced,
            count=detail.alternatives,
        ),
        outlook=_look_out(
            question, solver, chosen.priced, optimum.priced, detail, splits_only=require_split
        ),
        notes=notes,
        reason=explain_split(optimum.priced, price_wholes(solver)) if is_split else "",
    )


def make_plan_for(
    question: Question,
    placement: Placement,
    *,
    constraints: Constraints | None = None,
    detail: Detail | None = None,
) -> Plan:
    """Plan for a given placement, and say what it costs against the optimum.

    Parameters
    ----------
    question : Question
    placement : Placement
        Of all the graph's operators. It may divide operators that one machine runs as a single
        kernel; their seconds are then shared equally, and the plan says so.
    constraints : Constraints, optional
    detail : Detail, optional
        What to tell beside the placement.

    Returns
    -------
    Plan
        Its certificate is that of the one placement which all pins together allow.

    Raises
    ------
    InfeasiblePlacementError
        The placement sends intermediate results back, lets something cross that can't travel, or
        contradicts the constraints.
    UsageError
        The placement leaves out an operator or names one that does not exist, or as for
        `make_plan`.
    """
    constraints, detail = constraints or Constraints(), detail or Detail()
    solver = open_solver(question, constraints)
    check_operators(question.graph, question.topology, placement)
    optimum = find_optimum(solver)
    priced = price_placement(question, placement)
    check_placement(placement, priced.crossings, solver.formulation.pins, constraints)
    fine = {tier: _divide_groups(profile) for tier, profile in question.profiles.items()}
    fixed = open_solver(replace(question, profiles=fine), Constraints(), pins=placement.tier_of)
    proof = fixed.solve()
    chosen = Solution(
        priced=priced, certificate=replace(proof.certificate, restriction="the given placement")
    )
    solver.seconds += fixed.seconds
    solver.solves += fixed.solves
    return _assemble(
        question,
        solver,
        chosen,
        verdict=optimum.priced.placement.verdict,
        alternatives=find_alternatives(
            solver,
            _tabulate_if_two(solver),
            priced,
            optimum=optimum.priced,
            count=detail.alternatives,
        ),
        outlook=_look_out(question, solver, priced, optimum.priced, detail, splits_only=False),
        notes=[explain_override(priced, optimum.priced)],
    )


def open_solver(
    question: Question, constraints: Constraints, *, pins: Mapping[str, str] | None = None
) -> Solver:
    """Formulate the problem and make it ready to solve.

    Parameters
    ----------
    question : Question
    constraints : Constraints
    pins : mapping of str to str, optional
        Operator to tier, instead of the constraints' own.

    Raises
    ------
    InfeasiblePlacementError
        Pins contradict each other.
    UsageError
        A constraint names what does not exist, or the objective does not fit the chain.
    """
    graph = question.graph
    coarse = coarsen(graph, question.profiles, question.together)
    banned = find_banned(graph, constraints)
    formulation = formulate(
        charge(question, coarse, banned=banned),
        coarse,
        question.topology,
        pins=resolve_pins(graph, constraints) if pins is None else pins,
        banned=banned,
    )
    return Solver(graph=graph, formulation=formulation, price=partial(price_placement, question))


def _tabulate_if_two(solver: Solver) -> CutTable | None:
    """Price all prefixes of a device and a server; longer chains have no such table."""
    return tabulate_cuts(solver) if len(solver.formulation.tiers) == 2 else None  # noqa: PLR2004 - two sides


def _find_split(solver: Solver, optimum: Solution, *, required: bool) -> Solution | None:
    """Find the best proper split; None if there is none and none is required."""
    if optimum.priced.placement.is_proper:
        # The best of all placements is the best proper split as well.
        certificate = replace(optimum.certificate, restriction="proper splits")
        return replace(optimum, certificate=certificate)
    try:
        return find_best_split(solver)
    except InfeasiblePlacementError:
        if required:
            raise
        return None


def _divide_groups(profile: Profile) -> Profile:
    """Share every group's seconds equally among its operators."""
    return replace(
        profile,
        groups=tuple(
            OperatorGroup(
                operators=(name,),
                seconds=group.seconds / len(group.operators),
                backward_seconds=(
                    None
                    if group.backward_seconds is None
                    else group.backward_seconds / len(group.operators)
                ),
            )
            for group in profile.groups
            for name in group.operators
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outlook:
    """What a plan tells beside its placement."""

    sensitivity: Sensitivity | None
    explanations: tuple[Explanation, ...]


def _look_out(
    question: Question,
    solver: Solver,
    chosen: PricedPlacement,
    optimum: PricedPlacement,
    detail: Detail,
    *,
    splits_only: bool,
) -> _Outlook:
    """Find what was asked for beside the placement."""
    return _Outlook(
        sensitivity=find_sensitivity(question, solver, optimum) if detail.sensitivity else None,
        explanations=explain_operators(solver, chosen, detail.explain, splits_only=splits_only),
    )


def _assemble(
    question: Question,
    solver: Solver,
    chosen: Solution,
    *,
    verdict: str,
    alternatives: tuple[Alternative, ...],
    outlook: _Outlook,
    notes: Sequence[str],
    reason: str = "",
) -> Plan:
    """Put a plan together, and check it."""
    priced = chosen.priced
    baselines = find_baselines(solver)
    assumptions = (
        *(sentence for profile in question.profiles.values() for sentence in profile.assumptions),
        *name_link_assumptions(question.topology),
        *name_objective_assumptions(question),
        *name_repairs(baselines),
    )
    plan = Plan(
        model=solver.graph.identity,
        objective=question.objective.name,
        topology=question.topology,
        verdict=verdict,
        placement=priced.placement,
        crossings=priced.crossings,
        downloads=priced.downloads,
        predicted=priced.prediction,
        certificate=chosen.certificate,
        statistics=solver.statistics,
        alternatives=alternatives,
        baselines={entry.name: entry.priced.total_seconds for entry in baselines},
        assumptions=tuple(dict.fromkeys(assumptions)),
        notes=(*notes, *priced.notes),
        reason=reason,
        objective_options=describe_objective(question),
        sensitivity=outlook.sensitivity,
        explanations=outlook.explanations,
    )
    check_plan(plan, question)
    return plan
