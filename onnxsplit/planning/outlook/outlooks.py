"""What surrounds a plan's answer, as far as it was asked for."""

from dataclasses import dataclass

from onnxsplit.errors import UsageError
from onnxsplit.outlook import Explanation, Front, Sensitivity
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.planning.outlook.explaining import explain_operators
from onnxsplit.planning.outlook.sensitivity import find_sensitivity


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a plan tells beside its placement.

    Parameters
    ----------
    sensitivity : Sensitivity or None
    explanations : tuple of Explanation
    front : Front or None
        The trade-offs of throughput.
    """

    sensitivity: Sensitivity | None
    explanations: tuple[Explanation, ...]
    front: Front | None = None


def look_out(
    question: Question,
    solver: Solver,
    chosen: PricedPlacement,
    optimum: PricedPlacement,
    detail: Detail,
    *,
    splits_only: bool,
) -> Outlook:
    """Find what was asked for beside the placement.

    Parameters
    ----------
    question : Question
    solver : Solver
        Of this question.
    chosen, optimum : PricedPlacement
        What the plan does, and what is best overall.
    detail : Detail
    splits_only : bool
        The plan is the best of the proper splits.

    Raises
    ------
    UsageError
        There is no such operator, or sensitivity is asked for under budgets.
    """
    if detail.sensitivity and solver.limits is not None:
        raise UsageError(
            "--sensitivity follows what placements cost, not whether they keep budgets of memory,"
            " energy, time or share; leave it out, or drop the budgets."
        )
    return Outlook(
        sensitivity=find_sensitivity(question, solver, optimum) if detail.sensitivity else None,
        explanations=explain_operators(solver, chosen, detail.explain, splits_only=splits_only),
    )
