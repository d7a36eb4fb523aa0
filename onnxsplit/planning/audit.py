"""Hold a plan against its model and profiles, without solving anything."""

import math
from collections.abc import Mapping

from onnxsplit.errors import InternalError
from onnxsplit.graph import OperatorGraph
from onnxsplit.placement import Plan
from onnxsplit.planning.matching import match_profile
from onnxsplit.planning.pricing import price_placement
from onnxsplit.profiles import Profile

_FLOAT_NOISE = 1e-9


def check_plan(plan: Plan, graph: OperatorGraph, profiles: Mapping[str, Profile]) -> None:
    """Check a plan against its model and profiles, without solving anything.

    Parameters
    ----------
    plan : Plan
    graph : OperatorGraph
    profiles : mapping of str to Profile

    Raises
    ------
    InternalError
        Its total, parts, crossings or certificate contradict the placement.
    ProfileMismatchError
        A profile does not fit the model.
    """
    fitted = {tier: match_profile(profiles[tier], graph) for tier in plan.topology.tiers}
    priced = price_placement(graph, fitted, plan.topology, plan.placement)
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
    proof = plan.certificate
    if proof.cut_ticks != proof.flow_ticks:
        raise InternalError("The plan's certificate has a flow that differs from its cut.")
    if abs(proof.cut_ticks * proof.tick_seconds - total) > proof.rounding_bound_seconds + slack:
        raise InternalError("The plan's certificate is that of another total.")
