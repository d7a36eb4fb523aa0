"""What a placement is predicted to cost, part by part, and the proof that nothing undercuts it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from onnxsplit.tiers import Evidence

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
