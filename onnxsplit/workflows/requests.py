"""What a caller may say of any plan, the same for every command that makes one."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions
from onnxsplit.model.loading import ModelSource
from onnxsplit.objectives import InferenceLatency, Objective
from onnxsplit.planning.constraints import Constraints
from onnxsplit.planning.detail import DEFAULT_ALTERNATIVES, Detail
from onnxsplit.planning.question import Question, pose_question
from onnxsplit.progress import Progress
from onnxsplit.workflows.costing import MeasuringOptions
from onnxsplit.workflows.grounds import Grounds, Surroundings, lay_grounds
from onnxsplit.workflows.preparation import InputOptions, InputSource
from onnxsplit.workflows.targets import DEFAULT_DEVICE, DEFAULT_SERVER, LinkSource, TierSource

TablePath = str | os.PathLike[str]


class PlanWishes(TypedDict, total=False):
    """Keyword arguments of every call that plans; `PlanRequest` says what they mean."""

    device: TierSource
    server: TierSource
    link: LinkSource
    uplink: str | None
    downlink: str | None
    rtt: str | None
    costs: TablePath | None
    device_scale: TablePath | None
    server_scale: TablePath | None
    shapes: Mapping[str, Sequence[int]] | None
    dims: Mapping[str, int] | None
    inputs: InputSource | None
    objective: Objective
    pin_device: Sequence[str]
    pin_server: Sequence[str]
    alternatives: int
    sensitivity: bool
    explain: Sequence[str]
    threads: int | None
    provider: str | None
    cache: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What a caller says of a plan.

    Parameters
    ----------
    device, server : path, str or Profile
        A profile, ``local`` (measure this machine) or ``local:SPEED``.
    link : path, str or Link
        A preset, a rate for both ways, or a link file.
    uplink, downlink, rtt : str, optional
        Replace single figures of the link.
    costs : path, optional
        A CSV of every operator's seconds on both tiers, in the place of device and server.
    device_scale, server_scale : path, optional
        Tables (CSV or JSON) of how many times as long each operator type takes there.
    shapes, dims, inputs : mapping, mapping, path or mapping, optional
        Fix the inputs' sizes; given inputs serve for measuring and verifying as well. Profiles fix
        what these leave open.
    objective : Objective
        What is minimised.
    pin_device, pin_server : sequence of str
        Globs over operator names, or ``op:TYPE``.
    alternatives : int
        How many of the next best splits the plan lists.
    sensitivity : bool
        Whether the plan tells how far rates and speeds may move before the answer changes.
    explain : sequence of str
        Operators of which the plan says why they are where they are.
    threads, provider, cache
        How this machine is measured, if it is.
    """

    device: TierSource = DEFAULT_DEVICE
    server: TierSource = DEFAULT_SERVER
    link: LinkSource = "wifi"
    uplink: str | None = None
    downlink: str | None = None
    rtt: str | None = None
    costs: TablePath | None = None
    device_scale: TablePath | None = None
    server_scale: TablePath | None = None
    shapes: Mapping[str, Sequence[int]] | None = None
    dims: Mapping[str, int] | None = None
    inputs: InputSource | None = None
    objective: Objective = field(default_factory=InferenceLatency)
    pin_device: Sequence[str] = ()
    pin_server: Sequence[str] = ()
    alternatives: int = DEFAULT_ALTERNATIVES
    sensitivity: bool = False
    explain: Sequence[str] = ()
    threads: int | None = None
    provider: str | None = None
    cache: bool = True

    @property
    def engine(self) -> EngineOptions:
        """How this machine runs models."""
        return EngineOptions(provider=self.provider or CPU_PROVIDER, threads=self.threads or 0)

    @property
    def measuring(self) -> MeasuringOptions:
        """How this machine is measured."""
        return MeasuringOptions(engine=self.engine, cache=self.cache)

    @property
    def surroundings(self) -> Surroundings:
        """Machines and link."""
        return Surroundings(
            device=self.device,
            server=self.server,
            link=self.link,
            uplink=self.uplink,
            downlink=self.downlink,
            rtt=self.rtt,
            costs=self.costs,
            device_scale=self.device_scale,
            server_scale=self.server_scale,
        )

    @property
    def constraints(self) -> Constraints:
        """What a placement must respect."""
        return Constraints(pin_device=tuple(self.pin_device), pin_server=tuple(self.pin_server))

    @property
    def detail(self) -> Detail:
        """What the plan is to tell beside its placement."""
        return Detail(
            alternatives=self.alternatives,
            sensitivity=self.sensitivity,
            explain=tuple(self.explain),
        )

    def size_inputs(self, *, batches: int = 1) -> InputOptions:
        """Return how the model's inputs are fixed."""
        return InputOptions(
            shapes=self.shapes or {}, dims=self.dims or {}, inputs=self.inputs, batches=batches
        )


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
        return self.request.constraints

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
        Whether the model must be run; else that is done only where a tier is to be measured.
    batches : int
        Sets of inputs to draw.

    Raises
    ------
    OnnxSplitError
        The model, a profile or the link can't be used, a dim has no size, or an option is wrong.
    """
    grounds = lay_grounds(
        model,
        request.surroundings,
        request.size_inputs(batches=batches),
        request.measuring,
        progress,
        run=run,
    )
    question = pose_question(
        grounds.prepared.graph,
        grounds.profiles,
        grounds.topology,
        objective=request.objective,
    )
    return Inquiry(request=request, grounds=grounds, question=question)
