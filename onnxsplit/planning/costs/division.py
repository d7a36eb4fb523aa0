"""Kernels that a placement divides: a machine runs their operators as one."""

from onnxsplit.placement import Placement
from onnxsplit.profiles import OperatorGroup, Profile


def share_groups(
    profile: Profile, placement: Placement, tier: str
) -> tuple[list[tuple[OperatorGroup, float]], set[str]]:
    """Return the groups that run on a tier with their share, and which groups are divided.

    Parameters
    ----------
    profile : Profile
    placement : Placement
    tier : str

    Returns
    -------
    list of (OperatorGroup, float)
        The share is 1 unless the placement divides the group; then its seconds are shared equally
        among its operators.
    set of str
        The first operator of each divided group.
    """
    shares, divided = [], set()
    for group in profile.groups:
        here = sum(placement.tier_of[name] == tier for name in group.operators)
        if 0 < here < len(group.operators):
            divided.add(group.operators[0])
        if here:
            shares.append((group, here / len(group.operators)))
    return shares, divided


def note_divided(divided: set[str]) -> tuple[str, ...]:
    """Say that kernels were divided, where any were."""
    if not divided:
        return ()
    note = (
        f"This cut divides {len(divided)} groups of operators that a machine runs as one kernel"
        f" (that of {min(divided)!r} among them); their seconds were shared equally: an assumption."
    )
    return (note,)
