"""Link files: measured or assumed rates that can be handed around (``onnxsplit.link/1``)."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from onnxsplit.errors import UsageError
from onnxsplit.tiers import Evidence, Link

LINK_SCHEMA = "onnxsplit.link/1"


def read_link(path: Path) -> Link:
    """Read a link file.

    Parameters
    ----------
    path : Path
        JSON with ``schema``, ``up_bytes_per_second``, ``down_bytes_per_second`` and, optionally,
        ``round_trip_seconds``, ``evidence`` and ``label``; further keys are passed over.

    Raises
    ------
    UsageError
        The file can't be read, is no JSON, has an unknown version, or a key is missing or wrong.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"The link file {path} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The link file {path} is no JSON: {error}.") from error
    if not isinstance(document, Mapping) or document.get("schema") != LINK_SCHEMA:
        found = document.get("schema") if isinstance(document, Mapping) else None
        raise UsageError(
            f"The link file {path} has the schema {found!r}; this version reads {LINK_SCHEMA!r}."
        )
    evidence = document.get("evidence", "assumed")
    if evidence not in get_args(Evidence):
        raise UsageError(
            f"The link file {path}: 'evidence' is {evidence!r}; it must be one of"
            f" {', '.join(get_args(Evidence))}."
        )
    return Link(
        up_bytes_per_second=_read_number(document, "up_bytes_per_second", path),
        down_bytes_per_second=_read_number(document, "down_bytes_per_second", path),
        round_trip_seconds=_read_number(document, "round_trip_seconds", path, default=0.0),
        evidence=evidence,
        label=str(document.get("label", "")),
    )


def _read_number(
    document: Mapping[str, Any], key: str, path: Path, *, default: float | None = None
) -> float:
    """Read a finite number that is not negative."""
    value = document.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"The link file {path}: {key!r} must be a number, not {value!r}.")
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"The link file {path}: {key!r} is {value!r}; it must be finite.")
    return float(value)
