"""How well predictions did: loss and, where labels are classes, how many are right."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from onnxsplit.engines.port import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Loss and hits over examples.

    Parameters
    ----------
    loss : float
        Mean over the rows.
    rows : int
    correct : int or None
        Labels that were predicted; None where labels are no classes.
    labels : int
        Labels in all: one a row, or more, as of a sequence.
    """

    loss: float
    rows: int
    correct: int | None = None
    labels: int = 0

    @property
    def accuracy(self) -> float | None:
        """Share of the labels that were predicted."""
        return None if self.correct is None or not self.labels else self.correct / self.labels


def score_batch(
    loss: Array, predictions: Array | None, label: Array, class_axis: int | None
) -> Score:
    """Score one batch.

    Parameters
    ----------
    loss : array
        The scalar.
    predictions : array or None
    label : array
    class_axis : int or None
        Of the predictions; None where labels are no classes.
    """
    rows = int(label.shape[0]) if label.ndim else 1
    value = float(np.asarray(loss).reshape(()))
    if class_axis is None or predictions is None:
        return Score(loss=value, rows=rows)
    right = int((predictions.argmax(axis=class_axis) == label).sum())
    return Score(loss=value, rows=rows, correct=right, labels=int(label.size))


class Tally:
    """Adds up the scores of an epoch, in order, so that a resumed one adds up the same."""

    def __init__(self) -> None:
        self.weighted_loss = 0.0
        self.rows = 0
        self.correct: int | None = None
        self.labels = 0

    def add(self, score: Score) -> None:
        """Take one batch in."""
        self.weighted_loss += score.loss * score.rows
        self.rows += score.rows
        if score.correct is not None:
            self.correct = (self.correct or 0) + score.correct
            self.labels += score.labels

    def total(self) -> Score:
        """Return the mean over all rows."""
        loss = self.weighted_loss / self.rows if self.rows else float("nan")
        return Score(loss=loss, rows=self.rows, correct=self.correct, labels=self.labels)

    def to_json(self) -> dict[str, Any]:
        """Return the sums as a checkpoint holds them."""
        return {
            "weighted_loss": self.weighted_loss,
            "rows": self.rows,
            "correct": self.correct,
            "labels": self.labels,
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        """Read the sums."""
        tally = cls()
        tally.weighted_loss = float(entry["weighted_loss"])
        tally.rows, tally.labels = int(entry["rows"]), int(entry["labels"])
        tally.correct = None if entry["correct"] is None else int(entry["correct"])
        return tally
