"""A bundle's training stages, as ``cut`` tells of them."""

from collections.abc import Mapping
from typing import Any

from onnxsplit.reporting.page import Block, Bullets, Column, Sentence, Table
from onnxsplit.reporting.wording import word_bytes, word_count


def training_blocks(training: Mapping[str, Any] | None) -> tuple[Block, ...]:
    """Lay out the training stages, the proof that they equal an unsplit step, and notes.

    Parameters
    ----------
    training : mapping or None
        As in the manifest.
    """
    if training is None:
        return ()
    notes = tuple(training["notes"])
    return (
        _list_stages(training),
        _word_evidence(training),
        *((Bullets(title="Training", items=notes),) if notes else ()),
    )


def _list_stages(training: Mapping[str, Any]) -> Table:
    """List the stages of a step in the order in which they run."""
    rows = tuple(
        (
            stage["file"],
            stage["tier"],
            str(len(stage["updates"])),
            ", ".join(spec["name"] for spec in stage["inputs"][:3])
            + (f" and {len(stage['inputs']) - 3} more" if len(stage["inputs"]) > 3 else ""),  # noqa: PLR2004 - as many as are shown
        )
        for stage in training["stages"]
    )
    optimizer, labels_at = training["optimizer"]["name"], training["labels_at"]
    return Table(
        title=f"Training stages: {training['loss']}, {optimizer}, labels on the {labels_at}",
        columns=(
            Column(title="file"),
            Column(title="runs on"),
            Column(title="updates", alignment="right"),
            Column(title="takes, beside its state", is_name=True),
        ),
        rows=rows,
    )


def _word_evidence(training: Mapping[str, Any]) -> Sentence:
    """Say what the stages were held against, and what the device keeps meanwhile."""
    evidence = training["evidence"]
    if evidence is None:
        text = "The training stages were not held against an unsplit step."
        return Sentence(text=text, tone="warning")
    kept = (
        f" {word_bytes(training['saved_bytes'])} wait on the device from forward to backward"
        " (--recompute-activations keeps less)."
    )
    return Sentence(
        text=f"The halves equal an unsplit step bit for bit: loss and"
        f" {word_count(evidence['tensors'], 'tensor')} of state over"
        f" {word_count(evidence['steps'], 'step')}." + kept,
        tone="good",
    )
