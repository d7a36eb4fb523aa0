"""Plans for placements that someone gave: what they cost against the optimum."""

from dataclasses import replace

from onnxsplit.objectives import Energy, Throughput
from onnxsplit.placement import Placement
from onnxsplit.planned import Plan
from onnxsplit.planning.assembly import assemble
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.reduction import Solving
from onnxsplit.planning.cuts.solver import Solution
from onnxsplit.planning.demands.breaches import check_placement
from onnxsplit.planning.demands.constraints import Constraints, check_operators
from onnxsplit.planning.demands.pieces import take_apart, take_memory
from onnxsplit.planning.outlook import energy_wording
from onnxsplit.planning.outlook.alternatives import find_alternatives
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.planning.outlook.outlooks import look_out
from onnxsplit.planning.outlook.wording import explain_override
from onnxsplit.planning.solvers import open_and_solve, open_solver, tabulate_if_two
from onnxsplit.planning.throughput import price_pipeline
from onnxsplit.profiles import OperatorGroup, Profile


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
        return price_pipeline(question, solver, priced, detail)
    solver, optimum = open_and_solve(question, constraints, Solving())
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
    return assemble(
        question,
        solver,
        chosen,
        verdict=optimum.priced.placement.verdict,
        alternatives=find_alternatives(
            solver,
            tabulate_if_two(solver),
            priced,
            optimum=optimum.priced,
            count=detail.alternatives,
        ),
        outlook=look_out(question, solver, priced, optimum.priced, detail, splits_only=False),
        notes=[explain(priced, optimum.priced)],
    )


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
