"""What the stages of candidate placements really took, beside what was predicted."""

from dataclasses import dataclass
from typing import Any

from onnxsplit.placement import Crossing, Placement
from onnxsplit.tiers import Evidence


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
