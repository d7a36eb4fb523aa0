"""Plans for throughput: the least period between results, or that of a given placement."""

from onnxsplit.planned import Plan
from onnxsplit.planning.assembly import assemble
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.pipelines import (
    Pipeline,
    certify_given,
    find_pipeline,
    refuse_what_only_sums_tell,
)
from onnxsplit.planning.cuts.solver import Solution, Solver
from onnxsplit.planning.outlook.alternatives import describe_alternative
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.planning.outlook.outlooks import Outlook
from onnxsplit.planning.outlook.wording import explain_longer_period


def price_pipeline(
    question: Question, solver: Solver, priced: PricedPlacement, detail: Detail
) -> Plan:
    """Plan for a given placement, and say what its period is against the least."""
    refuse_what_only_sums_tell(solver, detail)
    optimum = find_pipeline(question, solver)
    given = Solution(priced=priced, certificate=certify_given(priced))
    return _assemble_pipeline(question, solver, given, optimum, is_given=True)


def make_pipeline_plan(
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
    return assemble(
        question,
        solver,
        chosen,
        verdict=best.placement.verdict,
        alternatives=() if is_best else (describe_alternative("the optimum", best),),
        outlook=Outlook(sensitivity=None, explanations=(), front=optimum.front),
        notes=[explain_longer_period(chosen.priced, best)] if is_given or not is_best else [],
    )
