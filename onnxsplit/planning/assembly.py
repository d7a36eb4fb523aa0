"""Plans put together: what was found, what it costs, and what was assumed; checked at the end."""

from collections.abc import Sequence

from onnxsplit.objectives import Throughput
from onnxsplit.planned import Alternative, Plan
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.costs.data_homes import locate_data
from onnxsplit.planning.costs.mixture import tell_mix
from onnxsplit.planning.costs.moving import describe_move, name_move_assumptions
from onnxsplit.planning.costs.objective_notes import describe_objective, name_objective_assumptions
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.solver import Solution, Solver
from onnxsplit.planning.demands.limit_notes import list_limit_assumptions
from onnxsplit.planning.outlook.baselines import find_baselines, name_repairs
from onnxsplit.planning.outlook.outlooks import Outlook
from onnxsplit.planning.outlook.wording import name_link_assumptions


def assemble(
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
