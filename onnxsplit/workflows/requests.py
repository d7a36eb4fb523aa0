"""What a caller may say of any plan, the same for every command that makes one."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions, Runtime
from onnxsplit.errors import UsageError
from onnxsplit.objectives import InferenceLatency, Objective, TrainingDelay
from onnxsplit.placement import Placement
from onnxsplit.planning.cuts.reduction import Certified, Method, Solving
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.outlook.detail import DEFAULT_ALTERNATIVES, Detail
from onnxsplit.workflows.benches import MeasuringOptions
from onnxsplit.workflows.boundary_options import DEFAULT_MAX_DRIFT, check_boundary
from onnxsplit.workflows.chains import Links, Tiers, list_links
from onnxsplit.workflows.data_places import AUTO, DataOptions
from onnxsplit.workflows.grounds import Surroundings
from onnxsplit.workflows.limit_requests import LimitRequest, LimitWishes
from onnxsplit.workflows.mixing import Mix
from onnxsplit.workflows.preparation import InputOptions, InputSource
from onnxsplit.workflows.targets import DEFAULT_DEVICE, DEFAULT_SERVER, TierSource

TablePath = str | os.PathLike[str]


class PlanWishes(LimitWishes, total=False):
    """Keyword arguments of every call that plans; `PlanRequest` says what they mean."""

    device: TierSource
    server: TierSource
    link: Links
    tiers: Tiers | None
    uplink: str | None
    downlink: str | None
    rtt: str | None
    device_runtime: Runtime | None
    server_runtime: Runtime | None
    costs: TablePath | None
    device_scale: TablePath | None
    server_scale: TablePath | None
    shapes: Mapping[str, Sequence[int]] | None
    dims: Mapping[str, int] | None
    mix: Mix
    inputs: InputSource | None
    objective: Objective
    pin_device: Sequence[str]
    pin_server: Sequence[str]
    pins: Sequence[tuple[str, str]]
    input_at: Sequence[tuple[str, str]]
    output_at: Sequence[tuple[str, str]]
    state: Sequence[str]
    method: Method
    certify: Certified
    moving_from: TablePath | Placement | None
    amortise: int | None
    alternatives: int
    sensitivity: bool
    explain: Sequence[str]
    threads: int | None
    provider: str | None
    cache: bool
    boundary: str | None
    max_drift: float
    input_bytes: Mapping[str, str | int] | None
    recompute: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest(LimitRequest):
    """What a caller says of a plan.

    Parameters
    ----------
    device, server : path, str or Profile
        A profile, ``local`` (measure this machine) or ``local:SPEED``.
    link : path, str or Link, or a sequence of them
        A preset, a rate for both ways, or a link file; one for each pair of neighbours.
    tiers : mapping of str to path, str or Profile, optional
        A chain of two or more tiers in the place of device and server; the device side first.
    uplink, downlink, rtt : str, optional
        Replace single figures of the link, where there is just one.
    device_runtime, server_runtime : str, optional
        What the first and the last tier run on, ``onnxruntime`` or ``openvino``; if not given, what
        their profiles were measured on, else onnxruntime.
    costs : path, optional
        A CSV of every operator's seconds on both tiers, in the place of device and server.
    device_scale, server_scale : path, optional
        Tables (CSV or JSON) of how many times as long each operator type takes there.
    shapes, dims, inputs : mapping, mapping, path or mapping, optional
        Fix the inputs' sizes; given inputs serve for measuring and verifying as well. Profiles fix
        what these leave open.
    mix : sequence of (mapping of str to int, float)
        Symbolic dims and weight of each of several shapes that one placement is to serve; what is
        minimised is their weighted sum. Profile files are then one for each shape, separated by
        commas.
    objective : Objective
        What is minimised.
    pin_device, pin_server : sequence of str
        Globs over operator names, or ``op:TYPE``, for the first and the last tier.
    pins : sequence of (str, str)
        Tier and glob, for any tier.
    input_at, output_at : sequence of (str, str)
        Model input or output, and the tier at an end of the chain where it lives or is wanted.
    state : sequence of str
        ``PAST=PRESENT`` patterns of inputs that are the last run's outputs; ``auto`` or ``none``.
    method : str
        ``general``, ``blockwise`` or ``auto``: how the cut is found; its cost is the same.
    certify : str
        ``solved``, or ``original`` to certify on the whole graph what was found on a contracted.
    moving_from : path or Placement, optional
        An earlier plan or bundle: what moving away from it costs is counted.
    amortise : int, optional
        Over how many runs that is spread; 1 if not given.
    alternatives : int
        How many of the next best splits the plan lists.
    sensitivity : bool
        Whether the plan tells how far rates and speeds may move before the answer changes.
    explain : sequence of str
        Operators of which the plan says why they are where they are.
    threads, provider, cache
        How this machine is measured, if it is.
    boundary : str, optional
        ``auto``, ``fp32``, ``fp16``, ``bf16``, ``int8`` or ``uint8``: how crossings may travel.
    max_drift : float
        How far narrower crossings may let an output drift from the whole model's, relative to the
        largest magnitude of the latter.
    input_bytes : mapping of str to str or int, optional
        Model input to the size (``120kB``, or bytes) at which users send it.
    recompute : bool
        Let the server run cheap operators of the device as well, where that is better than being
        sent what they make.
    training : Recipe, optional
        Where this machine is measured, measure a step of this training rather than an inference.

    Raises
    ------
    UsageError
        The boundary is unknown, or the drift is no share.
    """

    device: TierSource = DEFAULT_DEVICE
    server: TierSource = DEFAULT_SERVER
    link: Links = "wifi"
    tiers: Tiers | None = None
    uplink: str | None = None
    downlink: str | None = None
    rtt: str | None = None
    device_runtime: Runtime | None = None
    server_runtime: Runtime | None = None
    costs: TablePath | None = None
    device_scale: TablePath | None = None
    server_scale: TablePath | None = None
    shapes: Mapping[str, Sequence[int]] | None = None
    dims: Mapping[str, int] | None = None
    mix: Mix = ()
    inputs: InputSource | None = None
    objective: Objective = field(default_factory=InferenceLatency)
    pin_device: Sequence[str] = ()
    pin_server: Sequence[str] = ()
    pins: Sequence[tuple[str, str]] = ()
    input_at: Sequence[tuple[str, str]] = ()
    output_at: Sequence[tuple[str, str]] = ()
    state: Sequence[str] = (AUTO,)
    method: Method = "auto"
    certify: Certified = "solved"
    moving_from: TablePath | Placement | None = None
    amortise: int | None = None
    alternatives: int = DEFAULT_ALTERNATIVES
    sensitivity: bool = False
    explain: Sequence[str] = ()
    threads: int | None = None
    provider: str | None = None
    cache: bool = True
    boundary: str | None = None
    max_drift: float = DEFAULT_MAX_DRIFT
    input_bytes: Mapping[str, str | int] | None = None
    recompute: bool = False
    training: Recipe | None = None

    def __post_init__(self) -> None:
        """Refuse boundaries that nobody knows and drifts that make no sense."""
        check_boundary(self.boundary, self.max_drift)
        if self.amortise is not None and self.moving_from is None:
            raise UsageError("--amortise spreads what --from costs; give --from as well.")
        if self.recompute and self.boundary is not None:
            raise UsageError("--recompute and --boundary do not work together; give one of them.")
        if self.recompute and (self.sensitivity or self.explain):
            raise UsageError(
                "--sensitivity and --explain do not go with --recompute; leave one out."
            )

    @property
    def engine(self) -> EngineOptions:
        """How this machine runs models, but for tiers that run on another runtime."""
        return EngineOptions(provider=self.provider or CPU_PROVIDER, threads=self.threads or 0)

    @property
    def measuring(self) -> MeasuringOptions:
        """How this machine is measured."""
        training = self.training
        if training is not None and isinstance(self.objective, TrainingDelay):
            training = replace(training, frozen=self.objective.frozen)
        return MeasuringOptions(engine=self.engine, cache=self.cache, training=training)

    @property
    def surroundings(self) -> Surroundings:
        """Machines and link."""
        return Surroundings(
            device=self.device,
            server=self.server,
            links=list_links(self.link),
            tiers=self.tiers or {},
            uplink=self.uplink,
            downlink=self.downlink,
            rtt=self.rtt,
            device_runtime=self.device_runtime,
            server_runtime=self.server_runtime,
            costs=self.costs,
            device_scale=self.device_scale,
            server_scale=self.server_scale,
        )

    @property
    def solving(self) -> Solving:
        """How the cut is found and certified."""
        return Solving(method=self.method, certify=self.certify)

    @property
    def constraints(self) -> Constraints:
        """What a placement must respect."""
        return self.limit(
            Constraints(
                pin_device=tuple(self.pin_device),
                pin_server=tuple(self.pin_server),
                pins=tuple(self.pins),
            )
        )

    @property
    def data(self) -> DataOptions:
        """Where data lives."""
        return DataOptions(input_at=self.input_at, output_at=self.output_at, state=self.state)

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
