"""The answer: a placement with all that a reader wants to know of it (``onnxsplit.plan/1``)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxsplit.graph import ModelIdentity
from onnxsplit.measured import MeasuredCandidate
from onnxsplit.outlook import Explanation, Front, Sensitivity
from onnxsplit.placement import Crossing, DataHomes, Placement
from onnxsplit.prediction import WORK_KINDS, Certificate, MixShare, Prediction
from onnxsplit.tiers import Topology

PLAN_SCHEMA = "onnxsplit.plan/1"


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
