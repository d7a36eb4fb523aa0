"""Let operators run on both sides, where a caller allows it."""

from onnxsplit.planned import Plan
from onnxsplit.planning.cuts.recomputation import recompute_plan
from onnxsplit.workflows.inquiries import Inquiry


def refine_plan(plan: Plan, inquiry: Inquiry, *, require_split: bool) -> Plan:
    """Return the plan, or a better one in which cheap operators run twice, if that is allowed.

    Parameters
    ----------
    plan : Plan
    inquiry : Inquiry
    require_split : bool
        Whether no side may be left empty.

    Raises
    ------
    UsageError
        The chain has more than two tiers, or the objective is training.
    """
    if not inquiry.request.recompute:
        return plan
    return recompute_plan(
        inquiry.question, plan, constraints=inquiry.constraints, require_split=require_split
    )
