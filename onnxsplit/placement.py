"""The answer: which operator runs where, what crosses, what it costs, and why that is best."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from onnxsplit.errors import PlanError
from onnxsplit.graph import ModelIdentity
from onnxsplit.outlook import Explanation, Front, Sensitivity
from onnxsplit.tiers import Evidence, Topology

PLAN_SCHEMA = "onnxsplit.plan/1"

PartKind = Literal[
    "compute",
    "boundary",
    "upload",
    "download",
    "round_trip",
    "model_download",
    "model_upload",
    "device_forward",
    "activation_upload",
    "server",
    "gradient_download",
    "device_backward",
    "label_transfer",
]

WORK_KINDS: frozenset[PartKind] = frozenset(
    {"compute", "boundary", "device_forward", "server", "device_backward"}
)
"""Parts that a tier spends; all others are spent on a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The tier of every operator.

    Parameters
    ----------
    tiers : tuple of str
        The chain's tiers, from the device on.
    tier_of : mapping of str to str
        Operator name to tier.

    Raises
    ------
    PlanError
        An operator is placed on a tier that is not in the chain.
    """

    tiers: tuple[str, ...]
    tier_of: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse unknown tiers."""
        for operator, tier in self.tier_of.items():
            if tier not in self.tiers:
                raise PlanError(
                    f"Operator {operator!r} is placed on {tier!r};"
                    f" the tiers are {', '.join(self.tiers)}."
                )

    @classmethod
    def of_groups(cls, groups: Mapping[str, Iterable[str]]) -> Self:
        """Build a placement from tier to operators, in the chain's order."""
        return cls(
            tiers=tuple(groups),
            tier_of={name: tier for tier, names in groups.items() for name in names},
        )

    def operators(self, tier: str) -> tuple[str, ...]:
        """Return the operators of one tier, in the mapping's order."""
        return tuple(name for name, where in self.tier_of.items() if where == tier)

    @property
    def is_proper(self) -> bool:
        """Whether no tier is left empty."""
        return set(self.tier_of.values()) == set(self.tiers)

    @property
    def verdict(self) -> str:
        """``split``, or ``all-<tier>`` when one tier holds every operator."""
        used = set(self.tier_of.values())
        return f"all-{used.pop()}" if len(used) == 1 else "split"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A tensor that travels over a link, paid once however many consumers it has.

    Parameters
    ----------
    tensor : str
    source, target : str
        Tiers; JSON calls them ``from`` and ``to``.
    dtype : str
    shape : tuple of int
    size_bytes : int
        On the link.
    wire : str or None
        How it travels, where that is not as it stands in memory.
    """

    tensor: str
    source: str
    target: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    wire: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the crossing as the plan holds it."""
        return {
            "tensor": self.tensor,
            "from": self.source,
            "to": self.target,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "bytes": self.size_bytes,
            **({} if self.wire is None else {"wire": self.wire}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StateHome:
    """A state, and the tier that keeps it from one run to the next.

    Parameters
    ----------
    past, present : str
        The model input, and the model output that becomes it.
    tier : str
    size_bytes : int or None
        What is kept after this run; None if it is not known.
    """

    past: str
    present: str
    tier: str
    size_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the state as the plan holds it."""
        return {
            "past": self.past,
            "present": self.present,
            "tier": self.tier,
            "bytes": self.size_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DataHomes:
    """Where data lives that does not live on the first tier.

    Parameters
    ----------
    inputs, outputs : mapping of str to str
        Model input or output to the tier where it lives, or is wanted.
    states : tuple of StateHome
    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    states: tuple[StateHome, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything lives elsewhere."""
        return bool(self.inputs or self.outputs or self.states)

    def sum_state_bytes(self, tier: str) -> int | None:
        """Return the bytes of state that a tier keeps; None if one is not known."""
        sizes = [state.size_bytes for state in self.states if state.tier == tier]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the homes as the plan holds them."""
        return {
            "inputs": dict(self.inputs),
            "outputs": dict(self.outputs),
            "states": [state.to_json() for state in self.states],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPart:
    """One part of the predicted time.

    Parameters
    ----------
    kind : str
        For inference ``compute``, ``boundary`` (what the cut itself adds on a tier), ``upload``,
        ``download`` or ``round_trip``; for training ``model_download``, ``model_upload``,
        ``device_forward``, ``activation_upload``, ``server``, ``gradient_download``,
        ``device_backward``, ``label_transfer`` or ``round_trip``.
    where : str
        A tier, or a link as ``device->server``.
    seconds : float
    evidence : str
    """

    kind: PartKind
    where: str
    seconds: float
    evidence: Evidence

    def to_json(self) -> dict[str, Any]:
        """Return the part as the plan holds it."""
        place = "tier" if self.kind in WORK_KINDS else "link"
        return {
            "kind": self.kind,
            place: self.where,
            "seconds": self.seconds,
            "evidence": self.evidence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Predicted seconds of a placement, and the parts that add up to them.

    Parameters
    ----------
    total_seconds : float
    parts : tuple of CostPart
    total_joules : float or None
        Where energy counts.
    period_seconds : float or None
        From one result to the next in a pipeline, where throughput counts.
    """

    total_seconds: float
    parts: tuple[CostPart, ...]
    total_joules: float | None = None
    period_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as the plan holds it."""
        energy = {} if self.total_joules is None else {"total_joules": self.total_joules}
        period = {} if self.period_seconds is None else {"period_seconds": self.period_seconds}
        return {
            "total_seconds": self.total_seconds,
            **energy,
            **period,
            "parts": [part.to_json() for part in self.parts],
        }

    @property
    def compared_seconds(self) -> float:
        """Seconds that placements are compared by: latency, or the period where that counts."""
        return self.total_seconds if self.period_seconds is None else self.period_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class MixShare:
    """What a plan for a mix of shapes costs at one of them.

    Parameters
    ----------
    dims : mapping of str to int
        Symbolic dims that tell the shape from the others.
    weight : float
    prediction : Prediction
        Of one run at this shape.
    crossing_bytes, download_bytes : int
        What travels in one run; a value counts for every link that it crosses.
    """

    dims: Mapping[str, int]
    weight: float
    prediction: Prediction
    crossing_bytes: int
    download_bytes: int

    @property
    def label(self) -> str:
        """The dims as they are typed."""
        return ",".join(f"{name}={size}" for name, size in self.dims.items())

    def to_json(self) -> dict[str, Any]:
        """Return the share as the plan holds it."""
        return {
            "dims": dict(self.dims),
            "weight": self.weight,
            "predicted": self.prediction.to_json(),
            "crossing_bytes": self.crossing_bytes,
            "download_bytes": self.download_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Proof that a plan is optimal: a flow as large as the cut, or a bound and the gap to it.

    Parameters
    ----------
    cut_ticks, flow_ticks : int
        Equal for a minimum cut: by weak duality no cut is smaller than a flow. For branch and
        bound, what the placement costs and what was proved that none undercuts.
    tick_seconds : float
        Seconds that one tick stands for; joules where the objective is energy.
    rounding_bound_seconds : float
        How far the true optimum may lie below, because costs were rounded to ticks; in joules
        where the objective is energy.
    always_seconds : float
        What every placement costs whatever it is, and so no part of the cut.
    scope : str
        The graph that was certified; ``original`` is the operator graph itself.
    restriction : str
        What the optimum was taken over, such as ``proper splits``; empty for all placements.
    method : str
        ``minimum cut``; ``branch and bound`` where budgets decide; for throughput ``enumeration``,
        where every placement was priced, or ``integer program``.
    gap_seconds : float
        How far the true optimum may lie below, because branch and bound or the integer program
        ran out; in joules where the objective is energy.
    """

    cut_ticks: int
    flow_ticks: int
    tick_seconds: float
    rounding_bound_seconds: float
    always_seconds: float = 0.0
    scope: str = "original"
    restriction: str = ""
    method: str = "minimum cut"
    gap_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the certificate as the plan holds it."""
        return {
            "cut_ticks": self.cut_ticks,
            "flow_ticks": self.flow_ticks,
            "tick_seconds": self.tick_seconds,
            "rounding_bound_seconds": self.rounding_bound_seconds,
            "always_seconds": self.always_seconds,
            "scope": self.scope,
            "restriction": self.restriction,
            "method": self.method,
            "gap_seconds": self.gap_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Another placement, priced.

    Parameters
    ----------
    reason : str
        Why it is listed, such as ``true optimum`` or ``next cut``.
    placement : Placement
    prediction : Prediction
    crossings : tuple of Crossing
    """

    reason: str
    placement: Placement
    prediction: Prediction
    crossings: tuple[Crossing, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the alternative as the plan holds it; the placement is told by its counts."""
        return {
            "reason": self.reason,
            "verdict": self.placement.verdict,
            "total_seconds": self.prediction.total_seconds,
            **(
                {}
                if self.prediction.total_joules is None
                else {"total_joules": self.prediction.total_joules}
            ),
            "operators": {
                tier: len(self.placement.operators(tier)) for tier in self.placement.tiers
            },
            "compute_seconds": {
                tier: sum(
                    part.seconds
                    for part in self.prediction.parts
                    if part.kind in WORK_KINDS and part.where == tier
                )
                for tier in self.placement.tiers
                if self.placement.operators(tier)
            },
            "crossings": [crossing.to_json() for crossing in self.crossings],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStage:
    """What a candidate's stage was predicted to take, and took.

    Parameters
    ----------
    tier : str
    predicted_seconds : float
    measured_seconds : float or None
        None if this very stage was not timed.
    corrected_seconds : float
        What the choice rests on: the measured time, else the predicted one times the ratio of
        measured to predicted time over the stages of this tier that were timed.
    evidence : str
        Of the corrected time: ``scaled`` where a speed was assumed or a ratio was applied.
    """

    tier: str
    predicted_seconds: float
    measured_seconds: float | None
    corrected_seconds: float
    evidence: Evidence

    def to_json(self) -> dict[str, Any]:
        """Return the stage as the plan holds it."""
        return {
            "tier": self.tier,
            "predicted_seconds": self.predicted_seconds,
            "measured_seconds": self.measured_seconds,
            "corrected_seconds": self.corrected_seconds,
            "evidence": self.evidence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCandidate:
    """A placement whose stages were timed, or corrected by those that were.

    Parameters
    ----------
    placement : Placement
    crossings : tuple of Crossing
    predicted_seconds : float
        Latency by the profiles.
    corrected_seconds : float
        Latency with the stages' corrected times; transfers are as predicted.
    stages : tuple of MeasuredStage
    uncertainty_seconds : float
        Half width of the 95 % interval of the measured stages together.
    is_chosen : bool
    """

    placement: Placement
    crossings: tuple[Crossing, ...]
    predicted_seconds: float
    corrected_seconds: float
    stages: tuple[MeasuredStage, ...]
    uncertainty_seconds: float = 0.0
    is_chosen: bool = False

    @property
    def measured_seconds(self) -> float | None:
        """Latency by the stages' measured times; None unless all of them were timed."""
        if any(stage.measured_seconds is None for stage in self.stages):
            return None
        return self.corrected_seconds

    def to_json(self) -> dict[str, Any]:
        """Return the candidate as the plan holds it."""
        return {
            "verdict": self.placement.verdict,
            "crossings": [crossing.tensor for crossing in self.crossings],
            "predicted_seconds": self.predicted_seconds,
            "measured_seconds": self.measured_seconds,
            "corrected_seconds": self.corrected_seconds,
            "uncertainty_seconds": self.uncertainty_seconds,
            "stages": [stage.to_json() for stage in self.stages],
            "chosen": self.is_chosen,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ForbiddenWire:
    """A wire that a tensor may not take, because outputs drifted too far with it.

    Parameters
    ----------
    tensor : str
    wire : str
    drift : float
        As measured; ``inf`` without bound.
    """

    tensor: str
    wire: str
    drift: float

    def to_json(self) -> dict[str, Any]:
        """Return the pair as the plan holds it; a drift without bound is null."""
        drift = self.drift if math.isfinite(self.drift) else None
        return {"tensor": self.tensor, "wire": self.wire, "drift": drift}


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """How crossings travel narrower than they stand in memory, and what that does to outputs.

    Parameters
    ----------
    asked : str
        ``auto`` or one of the wires.
    max_drift : float
        What was allowed: the largest difference of any output from the whole model's, relative to
        the largest finite magnitude of the latter.
    drift : float
        What was measured with these wires.
    rounds : int
        Plans that were made until the drift was within what is allowed.
    source : str
        Where the calibration inputs came from.
    wires : tuple of mapping
        ``tensor``, ``wire`` and, of a quantiser, ``scale`` and ``zero_point``.
    forbidden : tuple of ForbiddenWire
        In the order in which they were found.
    """

    asked: str
    max_drift: float
    drift: float
    rounds: int
    source: str
    wires: tuple[Mapping[str, Any], ...] = ()
    forbidden: tuple[ForbiddenWire, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the boundary as the plan holds it."""
        return {
            "asked": self.asked,
            "max_drift": self.max_drift,
            "drift": self.drift,
            "rounds": self.rounds,
            "inputs": self.source,
            "wires": [dict(wire) for wire in self.wires],
            "forbidden": [pair.to_json() for pair in self.forbidden],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverStatistics:
    """How large the solved problem was and how long it took; never written to files.

    Parameters
    ----------
    vertices, arcs, solves : int
    seconds : float
    """

    vertices: int
    arcs: int
    solves: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A placement with its crossings, predicted costs, certificate and alternatives.

    Parameters
    ----------
    model : ModelIdentity
    objective : str
    topology : Topology
    verdict : str
        What is best over all placements that the constraints admit: ``split`` or ``all-<tier>``.
    placement : Placement
        What this plan does, which differs from the verdict when a split was asked for.
    crossings : tuple of Crossing
        Tensors that travel away from the device, and inputs at its other end that come towards it.
    downloads : tuple of Crossing
        Model outputs that travel back to the device.
    predicted : Prediction
    alternatives : tuple of Alternative
    baselines : mapping of str to float
        ``all-device``, ``all-server``, ``chain``, ... to seconds; what can't run is left out.
    baseline_joules : mapping of str to float
        The same to joules, where energy counts.
    certificate : Certificate
    assumptions : tuple of str
        Sentences: everything in the numbers that nobody measured.
    notes : tuple of str
        Sentences that the reader should know before all else.
    reason : str
        Why splitting here is best, in a sentence; empty where another sentence is in the notes.
    objective_options : mapping of str to object
        What else the objective was told, such as an epoch's iterations; empty for latency.
    moving : mapping of str to object
        What moving from an earlier placement takes; empty where there is none.
    front : Front or None
        The trade-offs between latency and period, where throughput is the objective.
    sensitivity : Sensitivity or None
        How firm the answer is, where that was asked for.
    explanations : tuple of Explanation
        Why operators are where they are, of those that were asked for.
    measured : tuple of MeasuredCandidate
        The best candidates by prediction, where their stages were timed; one of them is chosen.
    data : DataHomes
        Inputs, outputs and states that do not live on the first tier.
    mix : tuple of MixShare
        The shapes that the plan is for, if several; all predicted times are their weighted sums,
        and crossings and downloads are those of the first.
    boundary : Boundary or None
        Where crossings may travel narrower.
    recomputed : tuple of str
        Operators of the device that the server runs as well, rather than be sent what they make.
    statistics : SolverStatistics
    """

    model: ModelIdentity
    objective: str
    topology: Topology
    verdict: str
    placement: Placement
    crossings: tuple[Crossing, ...]
    downloads: tuple[Crossing, ...]
    predicted: Prediction
    certificate: Certificate
    statistics: SolverStatistics = field(compare=False)
    alternatives: tuple[Alternative, ...] = ()
    baselines: Mapping[str, float] = field(default_factory=dict)
    baseline_joules: Mapping[str, float] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    moving: Mapping[str, Any] = field(default_factory=dict)
    front: Front | None = None
    sensitivity: Sensitivity | None = None
    explanations: tuple[Explanation, ...] = ()
    measured: tuple[MeasuredCandidate, ...] = ()
    data: DataHomes = field(default_factory=DataHomes)
    mix: tuple[MixShare, ...] = ()
    boundary: Boundary | None = None
    recomputed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the plan as its file holds it (``onnxsplit.plan/1``)."""
        document = {
            "schema": PLAN_SCHEMA,
            "model": {"sha256": self.model.sha256, "structure": self.model.structure},
            "objective": self.objective,
            "tiers": list(self.topology.tiers),
            "links": [
                {
                    "from": source,
                    "to": target,
                    "up_bytes_per_second": link.up_bytes_per_second,
                    "down_bytes_per_second": link.down_bytes_per_second,
                    "round_trip_seconds": link.round_trip_seconds,
                    "evidence": link.evidence,
                    "label": link.label,
                }
                for source, target, link in self.topology.hops
            ],
            "verdict": self.verdict,
            "placement": {
                tier: list(self.placement.operators(tier)) for tier in self.placement.tiers
            },
            "crossings": [crossing.to_json() for crossing in self.crossings],
            "downloads": [crossing.to_json() for crossing in self.downloads],
            "predicted": self.predicted.to_json(),
            "alternatives": [alternative.to_json() for alternative in self.alternatives],
            "baselines": dict(self.baselines),
            "certificate": self.certificate.to_json(),
            "assumptions": list(self.assumptions),
            "notes": list(self.notes),
            "reason": self.reason,
        }
        document.update({key: entry for key, entry in self._tell_more() if entry})
        return document

    def _tell_more(self) -> Iterator[tuple[str, Any]]:
        """Yield what a plan's file holds only where there is any."""
        yield "data", self.data.to_json() if self.data else None
        yield "mix", [share.to_json() for share in self.mix]
        yield "baseline_joules", dict(self.baseline_joules)
        yield "objective_options", dict(self.objective_options)
        yield "moving", dict(self.moving)
        yield "pareto", None if self.front is None else self.front.to_json()
        yield "sensitivity", None if self.sensitivity is None else self.sensitivity.to_json()
        yield "explanations", [entry.to_json() for entry in self.explanations]
        yield "measured", [candidate.to_json() for candidate in self.measured]
        yield "boundary", None if self.boundary is None else self.boundary.to_json()
        yield "recomputed", list(self.recomputed)
