"""What a training tells: ``onnxsplit.training/1``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxsplit.training.scores import Score

TRAINING_SCHEMA = "onnxsplit.training/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochFigures:
    """One epoch.

    Parameters
    ----------
    epoch : int
        Counted from 1.
    steps : int
        Done in this epoch.
    score : Score
        Of the training batches, each before its step.
    evaluation : Score or None
    learning_rate : float
        Of the last step.
    seconds : mapping of str to float
        Stage to its computing in all; ``total`` is the whole epoch's, on the clock.
    """

    epoch: int
    steps: int
    score: Score
    evaluation: Score | None
    learning_rate: float
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the epoch as a result holds it."""
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "loss": self.score.loss,
            "accuracy": self.score.accuracy,
            "evaluation": None
            if self.evaluation is None
            else {"loss": self.evaluation.loss, "accuracy": self.evaluation.accuracy},
            "learning_rate": self.learning_rate,
            "seconds": dict(self.seconds),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """A training from its start, or from where it was resumed, to its end.

    Parameters
    ----------
    epochs : tuple of EpochFigures
        Those that this call has finished.
    steps : int
        In all, those before a resumption included.
    sent_bytes, received_bytes, saved_bytes : int
        Of the last step: up from the device, down to it, and what waited there.
    predicted : mapping of str to float
        Kind of work to its seconds for each step, as the bundle's plan predicts them.
    measured : mapping of str to float
        The same, as the steps of the last epoch took them.
    output, model, checkpoint : str or None
        The trained bundle, the trained whole model, and the checkpoint that was written.
    parity : mapping or None
        How the trained stages compare to the trained whole.
    notes : tuple of str
    """

    epochs: tuple[EpochFigures, ...]
    steps: int
    sent_bytes: int = 0
    received_bytes: int = 0
    saved_bytes: int = 0
    predicted: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    output: str | None = None
    model: str | None = None
    checkpoint: str | None = None
    parity: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as it is printed."""
        return {
            "schema": TRAINING_SCHEMA,
            "epochs": [epoch.to_json() for epoch in self.epochs],
            "steps": self.steps,
            "step": {
                "sent_bytes": self.sent_bytes,
                "received_bytes": self.received_bytes,
                "saved_bytes": self.saved_bytes,
                "predicted_seconds": dict(self.predicted),
                "measured_seconds": dict(self.measured),
            },
            "output": self.output,
            "model": self.model,
            "checkpoint": self.checkpoint,
            "parity": None if self.parity is None else dict(self.parity),
            "notes": list(self.notes),
        }
