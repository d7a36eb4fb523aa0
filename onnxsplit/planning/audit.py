"""Hold a plan against its model and profiles, without solving anything."""

import math

from onnxsplit.errors import InternalError
from onnxsplit.planned import Plan
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import Question

_FLOAT_NOISE = 1e-9


def check_plan(plan: Plan, question: Question) -> None:
    """Check a plan against what was asked, without solving anything.

    Parameters
    ----------
    plan : Plan
    question : Question

    Raises
    ------
    InternalError
        Its total, parts, crossings or certificate contradict the placement.
    """
    priced = price_placement(question, plan.placement, frozenset(plan.recomputed))
    total = plan.predicted.total_seconds
    slack = _FLOAT_NOISE * max(total, priced.total_seconds)
    parts = math.fsum(part.seconds for part in plan.predicted.parts)
    if abs(total - priced.total_seconds) > slack or abs(total - parts) > slack:
        raise InternalError(
            f"The plan claims {total!r} s; its parts add up to {parts!r} s, and its placement costs"
            f" {priced.total_seconds!r} s."
        )
    if plan.crossings != priced.crossings or plan.downloads != priced.downloads:
        raise InternalError("The plan's crossings are not those of its placement.")
    proof, value = plan.certificate, priced.value
    if proof.cut_ticks != proof.flow_ticks and not proof.gap_seconds:
        raise InternalError("The plan's certificate has a flow that differs from its cut.")
    claimed = proof.cut_ticks * proof.tick_seconds + proof.always_seconds
    if abs(claimed - value) > proof.rounding_bound_seconds + _FLOAT_NOISE * max(claimed, value):
        raise InternalError("The plan's certificate is that of another total.")
