"""JSON Schemas (draft 2020-12) of every document that is written or printed."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

SCHEMA_NAMES = (
    "profile",
    "plan",
    "frontier",
    "bundle",
    "parity",
    "stages",
    "training",
    "inspection",
    "merge",
    "run",
    "link",
    "export",
    "server",
    "simulation",
    "error",
)


def load_schema(name: str) -> dict[str, Any]:
    """Return the schema of a document, complete in itself.

    Parameters
    ----------
    name : str
        One of `SCHEMA_NAMES`: what stands between ``onnxsplit.`` and ``/1`` in a document's key
        ``schema``.

    Returns
    -------
    dict
        The schema; schemas that it refers to are embedded among its ``$defs``.

    Raises
    ------
    KeyError
        There is no schema of that name.

    Examples
    --------
    >>> load_schema("merge")["title"]
    'onnxsplit.merge/1'
    """
    if name not in SCHEMA_NAMES:
        raise KeyError(name)
    schema = _read(name)
    embedded = {other: load_schema(other) for other in sorted(set(_foreign_names(schema)))}
    if embedded:
        schema["$defs"] = {**schema.get("$defs", {}), **embedded}
    return schema


def _read(name: str) -> dict[str, Any]:
    """Parse one schema file of the package."""
    text = files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _foreign_names(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON can be anything
    """Name the other schemas that this one refers to."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if key == "$ref" and entry.startswith("urn:onnxsplit:schema:"):
                yield entry.split(":")[3]
            yield from _foreign_names(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _foreign_names(entry)
