"""Plans: the best placement, or a given one, with everything that a reader wants to know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from onnxsplit.errors import InfeasiblePlacementError, PlanError, UsageError
from onnxsplit.objectives import Energy, Throughput
from onnxsplit.placement import Placement
from onnxsplit.planned import Alternative, Plan
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.costs.charging import charge
from onnxsplit.planning.costs.coarsening import coarsen
from onnxsplit.planning.costs.data_homes import locate_data
from onnxsplit.planning.costs.mixes import list_graphs
from onnxsplit.planning.costs.mixture import tell_mix
from onnxsplit.planning.costs.moving import describe_move, name_move_assumptions
from onnxsplit.planning.costs.objective_notes import describe_objective, name_objective_assumptions
from onnxsplit.planning.costs.pricing import PricedPlacement, price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.formulation import formulate
from onnxsplit.planning.cuts.optimum import (
    Solution,
    Solver,
    find_best_split,
    find_optimum,
    price_wholes,
)
from onnxsplit.planning.cuts.pipelines import (
    Pipeline,
    certify_given,
    find_pipeline,
    refuse_what_only_sums_tell,
)
from onnxsplit.planning.cuts.reduction import Method, PreparedQuestion, Reduction, Solving
from onnxsplit.planning.demands.breaches import check_placement
from onnxsplit.planning.demands.budgets import find_within_budgets
from onnxsplit.planning.demands.clashes import explain_clash
from onnxsplit.planning.demands.constraints import Constraints, check_operators
from onnxsplit.planning.demands.limit_notes import list_limit_assumptions, note_unsupported
from onnxsplit.planning.demands.limits import set_limits
from onnxsplit.planning.demands.pieces import combine, take_apart, take_memory
from onnxsplit.planning.demands.rules import find_stuck, resolve_rules
from onnxsplit.planning.outlook import energy_wording
from onnxsplit.planning.outlook.alternatives import describe_alternative, find_alternatives
from onnxsplit.planning.outlook.balance import review_balance
from onnxsplit.planning.outlook.baselines import find_baselines, name_repairs
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.planning.outlook.outlooks import Outlook, look_out
from onnxsplit.planning.outlook.shares import CutTable, tabulate_cuts
from onnxsplit.planning.outlook.wording import (
    explain_fewer_tiers,
    explain_longer_period,
    explain_override,
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
    solving: Solving | None = None,
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
    solving : Solving, optional
        By blocks or on the whole graph, and where it is certified.
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
    constraints, detail = constraints or Constraints(), detail or Detail()
    if isinstance(question.objective, Throughput):
        solver = open_solver(question, constraints)
        return _make_pipeline_plan(question, solver, detail, require_split=require_split)
    solver, optimum = _open_and_solve(question, constraints, solving or Solving())
    is_split = optimum.priced.placement.verdict == "split"
    split = _find_split(solver, optimum)
    if split is None and require_split:
        split = _require_split(question, constraints, solver)
    chosen = split if require_split and split is not None else optimum
    notes = list(note_unsupported(question, constraints))
    is_energy = isinstance(question.objective, Energy)
    table = _tabulate_if_two(solver)
    balance = review_balance(solver, chosen.priced.placement, min_share, table)
    notes.extend(balance.notes)
    if chosen.priced.placement.is_proper and not optimum.priced.placement.is_proper:
        explain = energy_wording.explain_fewer_tiers if is_energy else explain_fewer_tiers
        notes.append(explain(chosen.priced, optimum.priced))
    explain_cut = energy_wording.explain_split if is_energy else explain_split
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
            balanced=balance.balanced,
            count=detail.alternatives,
        ),
        outlook=look_out(
            question, solver, chosen.priced, optimum.priced, detail, splits_only=require_split
        ),
        notes=notes,
        reason=explain_cut(optimum.priced, price_wholes(solver)) if is_split else "",
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
    check_operators(question.graph, question.topology, placement)
    priced = price_placement(question, placement)
    pieces = (*take_apart(constraints), *take_memory(question))
    if isinstance(question.objective, Throughput):
        solver = open_solver(question, constraints)
        check_placement(question, priced, solver.formulation.coarse, pieces)
        return _price_pipeline(question, solver, priced, detail)
    solver, optimum = _open_and_solve(question, constraints, Solving())
    check_placement(question, priced, solver.formulation.coarse, pieces)
    is_energy = isinstance(question.objective, Energy)
    explain = energy_wording.explain_override if is_energy else explain_override
    fixed = open_solver(_divide_all(question, placement), Constraints(), pins=placement.tier_of)
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
        outlook=look_out(question, solver, priced, optimum.priced, detail, splits_only=False),
        notes=[explain(priced, optimum.priced)],
    )


def _price_pipeline(
    question: Question, solver: Solver, priced: PricedPlacement, detail: Detail
) -> Plan:
    """Plan for a given placement, and say what its period is against the least."""
    refuse_what_only_sums_tell(solver, detail)
    optimum = find_pipeline(question, solver)
    given = Solution(priced=priced, certificate=certify_given(priced))
    return _assemble_pipeline(question, solver, given, optimum, is_given=True)


def _make_pipeline_plan(
    question: Question, solver: Solver, detail: Detail, *, require_split: bool
) -> Plan:
    """Plan for the least period."""
    refuse_what_only_sums_tell(solver, detail)
    optimum = find_pipeline(question, solver)
    chosen = optimum.solution
    if require_split and not chosen.priced.placement.is_proper:
        chosen = find_pipeline(question, solver, splits_only=True).solution
    return _assemble_pipeline(question, solver, chosen, optimum)


def _assemble_pipeline(
    question: Question,
    solver: Solver,
    chosen: Solution,
    optimum: Pipeline,
    *,
    is_given: bool = False,
) -> Plan:
    """Put a plan for throughput together."""
    best = optimum.solution.priced
    is_best = chosen.priced.placement == best.placement
    return _assemble(
        question,
        solver,
        chosen,
        verdict=best.placement.verdict,
        alternatives=() if is_best else (describe_alternative("the optimum", best),),
        outlook=Outlook(sensitivity=None, explanations=(), front=optimum.front),
        notes=[explain_longer_period(chosen.priced, best)] if is_given or not is_best else [],
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
    for piece in take_memory(question):
        constraints = combine(constraints, piece.constraints)
    return _open_as_given(question, constraints, pins=pins)


def _open_as_given(
    question: Question, constraints: Constraints, *, pins: Mapping[str, str] | None = None
) -> Solver:
    """Formulate the problem without what the profiles say of memory."""
    graph = question.graph
    rules = resolve_rules(question, constraints)
    limits = set_limits(question, constraints)
    coarse = coarsen(graph, question.profiles, (*question.together, *rules.together))
    banned = frozenset().union(rules.stuck, *(find_stuck(each) for each in list_graphs(question)))
    formulation = formulate(
        charges := charge(question, coarse, banned=banned),
        coarse,
        question.topology,
        pins=rules.pins if pins is None else pins,
        banned=banned,
        off_first=rules.off_first if pins is None else frozenset(),
        parameters=(
            np.ones(charges.columns) if isinstance(question.objective, Throughput) else None
        ),
    )
    return Solver(
        graph=graph,
        formulation=formulation,
        price=partial(price_placement, question),
        elsewhere=question.places.elsewhere,
        limits=limits if limits.are_any else None,
    )


def prepare(
    question: Question, *, constraints: Constraints | None = None, method: Method = "auto"
) -> PreparedQuestion:
    """Make a question ready once, to answer it for many links.

    Parameters
    ----------
    question : Question
    constraints : Constraints, optional
    method : str
        ``general`` keeps the whole graph; else it is contracted as far as is exact for all links.

    Returns
    -------
    PreparedQuestion

    Raises
    ------
    InfeasiblePlacementError
        Pins contradict each other.
    UsageError
        A constraint names what does not exist, or the objective does not fit the chain.
    """
    if isinstance(question.objective, Throughput):
        raise UsageError(
            "The period of a pipeline is a maximum, not a sum of costs; no frontier tells it. Use"
            " `plan` at the rates that count."
        )
    formulation = open_solver(question, constraints or Constraints()).formulation
    return PreparedQuestion(
        question=question,
        formulation=formulation,
        # What shared weights cost to move couples blocks.
        reduction=Reduction.of(
            question, formulation, method="general" if question.origin else method
        ),
    )


def _choose_method(solver: Solver, question: Question, solving: Solving) -> None:
    """Contract the graph where blocks were asked for; budgets and moves need the whole one."""
    solver.certify = solving.certify
    if solving.method == "blockwise" and solver.limits is None and question.origin is None:
        solver.reduction = Reduction.of(question, solver.formulation, method=solving.method)


def _open_and_solve(
    question: Question, constraints: Constraints, solving: Solving
) -> tuple[Solver, Solution]:
    """Find the best placement, or say what clashes."""
    try:
        solver = open_solver(question, constraints)
        _choose_method(solver, question, solving)
        return solver, find_within_budgets(solver, find_optimum)
    except InfeasiblePlacementError as error:
        raise explain_clash(question, constraints, _open_as_given, error) from error


def _require_split(question: Question, constraints: Constraints, solver: Solver) -> Solution:
    """Find the best proper split, or say what clashes with it."""
    try:
        return find_within_budgets(solver, find_best_split, is_proper=True)
    except InfeasiblePlacementError as error:
        raise explain_clash(question, constraints, _open_as_given, error, is_proper=True) from error


def _tabulate_if_two(solver: Solver) -> CutTable | None:
    """Price all prefixes of a device and a server; longer chains have no such table."""
    return tabulate_cuts(solver) if len(solver.formulation.tiers) == 2 else None  # noqa: PLR2004 - two sides


def _find_split(solver: Solver, optimum: Solution) -> Solution | None:
    """Find the best proper split; None if there is none."""
    if optimum.priced.placement.is_proper:
        # The best of all placements is the best proper split as well.
        certificate = replace(optimum.certificate, restriction="proper splits")
        return replace(optimum, certificate=certificate)
    try:
        return find_within_budgets(solver, find_best_split, is_proper=True)
    except PlanError:
        return None


def _divide_all(question: Question, placement: Placement) -> Question:
    """Return the question with every kernel divided that a placement divides, at every shape."""
    return replace(
        question,
        profiles={tier: _divide_groups(p, placement) for tier, p in question.profiles.items()},
        variants=tuple(
            replace(
                variant,
                profiles={
                    tier: _divide_groups(p, placement) for tier, p in variant.profiles.items()
                },
            )
            for variant in question.variants
        ),
    )


def _divide_groups(profile: Profile, placement: Placement) -> Profile:
    """Share a group's seconds equally among its operators if they lie on several tiers."""
    groups: list[OperatorGroup] = []
    for group in profile.groups:
        if len({placement.tier_of[name] for name in group.operators}) == 1:
            groups.append(group)
            continue
        count, backward = len(group.operators), group.backward_seconds
        groups += [
            OperatorGroup(
                operators=(name,),
                seconds=group.seconds / count,
                backward_seconds=None if backward is None else backward / count,
            )
            for name in group.operators
        ]
    return replace(profile, groups=tuple(groups))


def _assemble(
    question: Question,
    solver: Solver,
    chosen: Solution,
    *,
    verdict: str,
    alternatives: tuple[Alternative, ...],
    outlook: Outlook,
    notes: Sequence[str],
    reason: str = "",
) -> Plan:
    """Put a plan together, and check it."""
    priced = chosen.priced
    baselines = find_baselines(solver, wholes_only=isinstance(question.objective, Throughput))
    assumptions = (
        *(sentence for profile in question.profiles.values() for sentence in profile.assumptions),
        *name_link_assumptions(question.topology),
        *question.places.assumptions,
        *question.assumptions,
        *list_limit_assumptions(question, solver.limits),
        *name_objective_assumptions(question),
        *name_move_assumptions(question),
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
        baselines={entry.name: entry.priced.compared_seconds for entry in baselines},
        baseline_joules={
            entry.name: entry.priced.prediction.total_joules
            for entry in baselines
            if entry.priced.prediction.total_joules is not None
        },
        assumptions=tuple(dict.fromkeys(assumptions)),
        notes=(*notes, *priced.notes),
        reason=reason,
        data=locate_data(question, priced.placement),
        mix=tell_mix(question, priced.placement),
        objective_options=describe_objective(question),
        moving=describe_move(question, priced.placement),
        front=outlook.front,
        sensitivity=outlook.sensitivity,
        explanations=outlook.explanations,
    )
    check_plan(plan, question)
    return plan
