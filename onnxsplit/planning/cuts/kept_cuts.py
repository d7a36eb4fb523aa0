"""The cuts that are worth keeping side by side, for a link whose rates change."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from onnxsplit.frontiers import Frontier, FrontierCut, FrontierSegment
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.bandwidths import find_frontier
from onnxsplit.planning.cuts.reduction import Method
from onnxsplit.planning.demands.constraints import Constraints

ALL_DEVICE = "all-device"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCuts:
    """Cuts of one model, each best over a stretch of uplink rates.

    Parameters
    ----------
    segments : tuple of FrontierSegment
        Those for slow links first.
    chosen : FrontierCut
        That of the link that was asked for; one of the segments'.
    """

    segments: tuple[FrontierSegment, ...]
    chosen: FrontierCut


def keep_cuts(
    question: Question, *, constraints: Constraints, method: Method, allow_whole: bool
) -> KeptCuts:
    """Find the cuts to keep: the best proper splits, and all on the device where that is best.

    Parameters
    ----------
    question : Question
        Of two tiers. Its link gives the ratio of the rates, the round trip, and what is chosen.
    constraints : Constraints
    method : str
        As for `find_frontier`.
    allow_whole : bool
        Keep what is best at some rate whatever it is: all on the server as well.

    Raises
    ------
    InfeasiblePlacementError, UsageError
        As for `find_frontier`.
    """
    (link,) = question.topology.links
    whole = find_frontier(question, constraints=constraints, method=method)
    if allow_whole:
        return KeptCuts(segments=whole.segments, chosen=whole.at(link))
    splits = find_frontier(question, constraints=constraints, require_split=True, method=method)
    chosen = splits.at(link)
    local = next((s.cut for s in whole.segments if s.cut.placement.verdict == ALL_DEVICE), None)
    segments = splits.segments if local is None else _join(splits, local, chosen)
    return KeptCuts(segments=segments, chosen=chosen)


def _join(splits: Frontier, local: FrontierCut, chosen: FrontierCut) -> tuple[FrontierSegment, ...]:
    """Put the device alone before the splits that beat it, and keep the chosen one anyhow."""
    better = tuple(_trim(splits, local.constant))
    start = better[0].from_bytes_per_second if better else math.inf
    alone = FrontierSegment(from_bytes_per_second=0.0, to_bytes_per_second=start, cut=local)
    beaten = tuple(
        segment
        for segment in splits.segments
        if segment.cut is chosen and all(kept.cut is not chosen for kept in better)
    )
    return (alone, *beaten, *better)


def _trim(splits: Frontier, limit: float) -> Iterator[FrontierSegment]:
    """Yield the stretches over which a split costs less than a constant."""
    for segment in splits.segments:
        cut = segment.cut
        slope = cut.per_inverse_uplink + cut.per_inverse_downlink / splits.down_per_up
        even = slope / (limit - cut.constant) if cut.constant < limit else math.inf
        start = max(segment.from_bytes_per_second, even)
        if start < segment.to_bytes_per_second:
            yield replace(segment, from_bytes_per_second=start)
