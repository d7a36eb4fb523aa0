"""Inquiries: requests with everything read and measured, ready to be planned."""

from dataclasses import dataclass, replace
from pathlib import Path

from onnxsplit.manifest import MANIFEST_FILE
from onnxsplit.model.loading import ModelSource
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.mixes import pose_mix
from onnxsplit.planning.costs.question import Origin, Question, pose_question
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.progress import Progress
from onnxsplit.workflows.boundary_options import take_sent_sizes
from onnxsplit.workflows.data_places import read_places
from onnxsplit.workflows.grounds import Grounds, lay_grounds
from onnxsplit.workflows.limit_requests import name_objective, name_powers
from onnxsplit.workflows.mixing import check_mix, choose_sources, join_grounds
from onnxsplit.workflows.placements import read_placement
from onnxsplit.workflows.requests import PlanRequest
from onnxsplit.workflows.support import ask_runtimes, respect_support


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A request with everything read and measured: ready to be planned.

    Parameters
    ----------
    request : PlanRequest
    grounds : Grounds
    question : Question
    """

    request: PlanRequest
    grounds: Grounds
    question: Question

    @property
    def constraints(self) -> Constraints:
        """What a placement must respect."""
        return respect_support(self.request.constraints, self.grounds)

    @property
    def detail(self) -> Detail:
        """What the plan is to tell beside its placement."""
        return self.request.detail


def open_inquiry(
    model: ModelSource,
    request: PlanRequest,
    progress: Progress,
    *,
    run: bool,
    batches: int = 1,
) -> Inquiry:
    """Read the model, its sizes, the profiles and the link, and put the question.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    request : PlanRequest
    progress : Progress
    run : bool
        Whether the model must be run; else that is done only where a tier is to be measured, or
        where crossings may travel narrower.
    batches : int
        Sets of inputs to draw.

    Raises
    ------
    OnnxSplitError
        The model, a profile or the link can't be used, a dim has no size, or an option is wrong.
    """
    if not request.mix:
        grounds = _lay(model, request, progress, run=run, batches=batches)
        return Inquiry(request=request, grounds=grounds, question=_pose(request, grounds))
    check_mix(
        request.mix,
        has_inputs=request.inputs is not None,
        has_costs=request.costs is not None,
        has_wires=bool(request.boundary or request.input_bytes or request.recompute),
    )
    several = [
        _lay(model, request, progress, run=run, batches=batches, shape=place)
        for place in range(len(request.mix))
    ]
    question = pose_mix(
        [
            (dims, weight, _pose(request, grounds))
            for (dims, weight), grounds in zip(request.mix, several, strict=True)
        ]
    )
    return Inquiry(request=request, grounds=join_grounds(several), question=question)


def _lay(
    model: ModelSource,
    request: PlanRequest,
    progress: Progress,
    *,
    run: bool,
    batches: int,
    shape: int | None = None,
) -> Grounds:
    """Lay the grounds at the one shape, or at one of a mix."""
    surroundings, sizes = request.surroundings, request.size_inputs(batches=batches)
    if shape is not None:
        surroundings = choose_sources(surroundings, shape, len(request.mix))
        sizes = replace(sizes, dims={**sizes.dims, **request.mix[shape][0]})
    runs = run or request.boundary is not None
    grounds = lay_grounds(model, surroundings, sizes, request.measuring, progress, run=runs)
    return ask_runtimes(grounds, request.asked_runtime, progress)


def _pose(request: PlanRequest, grounds: Grounds) -> Question:
    """Put the question at one shape."""
    question = pose_question(
        grounds.prepared.graph,
        grounds.profiles,
        grounds.topology,
        objective=name_objective(request.objective, grounds.topology.tiers),
        powers=name_powers(request.powers, grounds.topology.tiers),
        places=read_places(request.data, grounds.prepared.graph, grounds.topology.tiers),
    )
    question = replace(question, origin=_find_origin(request, question))
    return take_sent_sizes(question, request.input_bytes or {})


def _find_origin(request: PlanRequest, question: Question) -> Origin | None:
    """Read the placement that the plan moves away from, if there is one."""
    earlier = request.moving_from
    if earlier is None:
        return None
    if not isinstance(earlier, Placement):
        path = Path(earlier)
        path = path / MANIFEST_FILE if path.is_dir() else path
        earlier = read_placement(path, question.graph, question.topology.tiers, flag="--from")
    return Origin(placement=earlier, runs=request.amortise or 1)
