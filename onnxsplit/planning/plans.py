"""Plans: the best placement, or a given one, with everything that a reader wants to know of it."""

from onnxsplit.objectives import Energy, Throughput
from onnxsplit.planned import Plan
from onnxsplit.planning.assembly import assemble
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.optimum import price_wholes
from onnxsplit.planning.cuts.reduction import Solving
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.demands.limit_notes import note_unsupported
from onnxsplit.planning.outlook import energy_wording
from onnxsplit.planning.outlook.alternatives import find_alternatives
from onnxsplit.planning.outlook.balance import review_balance
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.planning.outlook.outlooks import look_out
from onnxsplit.planning.outlook.wording import explain_fewer_tiers, explain_split
from onnxsplit.planning.solvers import (
    find_required_split,
    find_split,
    open_and_solve,
    open_solver,
    tabulate_if_two,
)
from onnxsplit.planning.throughput import make_pipeline_plan

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
        return make_pipeline_plan(question, solver, detail, require_split=require_split)
    solver, optimum = open_and_solve(question, constraints, solving or Solving())
    is_split = optimum.priced.placement.verdict == "split"
    split = find_split(solver, optimum)
    if split is None and require_split:
        split = find_required_split(question, constraints, solver)
    chosen = split if require_split and split is not None else optimum
    notes = list(note_unsupported(question, constraints))
    is_energy = isinstance(question.objective, Energy)
    table = tabulate_if_two(solver)
    balance = review_balance(solver, chosen.priced.placement, min_share, table)
    notes.extend(balance.notes)
    if chosen.priced.placement.is_proper and not optimum.priced.placement.is_proper:
        explain = energy_wording.explain_fewer_tiers if is_energy else explain_fewer_tiers
        notes.append(explain(chosen.priced, optimum.priced))
    explain_cut = energy_wording.explain_split if is_energy else explain_split
    return assemble(
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
