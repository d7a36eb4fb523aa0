"""Merged models as pages and documents."""

from pathlib import Path
from typing import Any

from onnxsplit.reporting.page import Page, Sentence

MERGE_SCHEMA = "onnxsplit.merge/1"


def describe_merge(file: Path, *, sha256: str) -> Page:
    """Say what was written."""
    return (
        Sentence(text=f"Wrote {file}, the stages put back together.", tone="strong"),
        Sentence(text=f"sha256 {sha256}", tone="quiet"),
    )


def merge_document(file: Path, *, sha256: str) -> dict[str, Any]:
    """Return the result as ``merge --format json`` prints it."""
    return {"schema": MERGE_SCHEMA, "file": str(file), "sha256": sha256}
