"""``plan``: where to cut, without writing anything."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from onnxsplit.errors import UsageError
from onnxsplit.model.loading import ModelSource
from onnxsplit.placement import Placement
from onnxsplit.planned import Plan
from onnxsplit.planning.cuts.separators import place_cut
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.plans import make_plan
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.workflows.boundary import settle_boundary
from onnxsplit.workflows.inquiries import Inquiry, open_inquiry
from onnxsplit.workflows.placements import read_placement
from onnxsplit.workflows.recomputing import refine_plan
from onnxsplit.workflows.requests import PlanRequest, PlanWishes


def plan(
    model: ModelSource,
    *,
    cut_at: Sequence[str] = (),
    placement: str | os.PathLike[str] | Placement | None = None,
    require_split: bool = False,
    progress: Progress | None = None,
    **wishes: Unpack[PlanWishes],
) -> Plan:
    """Find the best placement: the true optimum, or what was asked for, priced.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        Its weights are not needed when both tiers are profiles.
    cut_at : sequence of str
        Tensors; everything upstream of them runs on the device, everything else on the server.
    placement : path or Placement, optional
        Price this placement.
    require_split : bool
        Take the best proper split, even if not splitting is faster.
    progress : Progress, optional
    **wishes
        As in `onnxsplit.workflows.requests.PlanRequest`: machines, link, sizes, objective,
        constraints.

    Returns
    -------
    Plan

    Raises
    ------
    InfeasiblePlacementError
        No placement meets the constraints, or there is no proper split.
    OnnxSplitError
        The model or a profile can't be used, a dim has no size, or an option is wrong.
    """
    progress = progress or SilentProgress()
    inquiry = open_inquiry(model, PlanRequest(**wishes), progress, run=False)
    progress.report("planning")
    wanted = _choose_placement(inquiry, placement, cut_at)

    if wanted is not None and inquiry.request.recompute:
        raise UsageError(
            "--recompute looks for the best placement; leave it out to price a given one."
        )

    def make(asked: Inquiry) -> Plan:
        question, constraints = asked.question, asked.constraints
        if wanted is None:
            made = make_plan(
                question,
                constraints=constraints,
                require_split=require_split,
                solving=asked.request.solving,
                detail=asked.detail,
            )
            return refine_plan(made, asked, require_split=require_split)
        return make_plan_for(question, wanted, constraints=constraints, detail=asked.detail)

    return settle_boundary(inquiry, make, progress).plan


def _choose_placement(
    inquiry: Inquiry,
    placement: str | os.PathLike[str] | Placement | None,
    cut_at: Sequence[str],
) -> Placement | None:
    """Return the placement that the caller asked for, if any."""
    question = inquiry.question
    if isinstance(placement, Placement):
        return placement
    if placement is not None:
        return read_placement(Path(placement), question.graph, question.topology.tiers)
    tiers = question.topology.tiers
    return place_cut(question.graph, tuple(cut_at), tiers) if cut_at else None
