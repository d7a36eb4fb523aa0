"""``frontier``: the best placement for every bandwidth."""

import os
from pathlib import Path
from typing import Unpack

from onnxsplit.errors import UsageError
from onnxsplit.frontiers import Frontier
from onnxsplit.model.loading import ModelSource
from onnxsplit.planning.cuts.bandwidths import find_frontier
from onnxsplit.profiling.storage import write_text
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.reporting.frontier_drawing import draw_frontier
from onnxsplit.workflows.inquiries import open_inquiry
from onnxsplit.workflows.requests import PlanRequest, PlanWishes


def frontier(
    model: ModelSource,
    *,
    require_split: bool = False,
    two_dimensional: bool = False,
    svg: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **wishes: Unpack[PlanWishes],
) -> Frontier:
    """Find every placement that is best at some bandwidth, with exact breakpoints.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        Its weights are not needed when both tiers are profiles.
    require_split : bool
        Take the best proper splits alone.
    two_dimensional : bool
        Find the cuts for every pair of uplink and downlink rates as well.
    svg : path, optional
        Where to draw the frontier.
    progress : Progress, optional
    **wishes
        As in `onnxsplit.workflows.requests.PlanRequest`; of the link the ratio of its rates and
        the round trip count.

    Returns
    -------
    Frontier

    Raises
    ------
    InfeasiblePlacementError
        No placement meets the constraints, or there is no proper split.
    OutputError
        The drawing can't be written.
    UsageError
        Crossings may travel narrower, or operators run twice: that is planned for one link alone.
    OnnxSplitError
        The model or a profile can't be used, a dim has no size, or an option is wrong.
    """
    progress = progress or SilentProgress()
    request = PlanRequest(**wishes)
    _refuse_changes_of_the_model(request)
    inquiry = open_inquiry(model, request, progress, run=False)
    progress.report("planning")
    solving = request.solving
    found = find_frontier(
        inquiry.question,
        constraints=inquiry.constraints,
        require_split=require_split,
        two_dimensional=two_dimensional,
        # A cut that is certified on the original graph is best found there.
        method="general" if solving.certify == "original" else solving.method,
    )
    if svg is not None:
        write_text(draw_frontier(found), Path(svg), "drawing")
    return found


def _refuse_changes_of_the_model(request: PlanRequest) -> None:
    """Refuse what is settled for one link after the other."""
    for flag, wanted in (
        ("--boundary", request.boundary is not None),
        ("--recompute", request.recompute),
    ):
        if wanted:
            raise UsageError(
                f"{flag} is planned for one link at a time; leave it out of a frontier, or use"
                " `plan` at the rates that count."
            )
