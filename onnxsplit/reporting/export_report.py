"""Exported repositories as pages and documents."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxsplit.reporting.page import Column, Page, Sentence, Table


def describe_export(folder: Path, document: Mapping[str, Any]) -> Page:
    """Say what was written, and where the commands stand."""
    rows = tuple((model["name"], model["tier"]) for model in document["models"])
    return (
        Sentence(
            text=f"Wrote {folder} for {document['engine']}, to run on {document['accelerator']}.",
            tone="strong",
        ),
        Table(
            title="Models",
            columns=(Column(title="name", is_name=True), Column(title="stage", is_name=True)),
            rows=rows,
        ),
        *(Sentence(text=note, tone="warning") for note in document["notes"]),
        Sentence(text=f"{folder / 'README.md'} has the commands that run it.", tone="quiet"),
    )


def export_document(folder: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result as ``export --format json`` prints it."""
    return {**document, "folder": str(folder)}
