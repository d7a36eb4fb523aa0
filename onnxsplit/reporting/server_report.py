"""A server that is ready for requests, as sentences and as a document."""

from collections.abc import Sequence
from typing import Any

from onnxsplit.runtime.messages import ModelMetadata
from onnxsplit.runtime.metadata_codec import write_metadata

SERVER_SCHEMA = "onnxsplit.server/1"


def describe_server(
    urls: Sequence[str], models: Sequence[ModelMetadata], notes: Sequence[str]
) -> str:
    """Say what is served where, and what to know about it."""
    served = ", ".join(map(_describe_model, models))
    lines = [f"Serving {served} at {' and '.join(urls)} until SIGTERM or Ctrl-C."]
    return "\n".join([*lines, *(f"warning: {note}" for note in notes)])


def server_document(
    urls: Sequence[str], models: Sequence[ModelMetadata], notes: Sequence[str]
) -> dict[str, Any]:
    """Return what ``serve --format json`` prints when requests may come."""
    return {
        "schema": SERVER_SCHEMA,
        "url": urls[0],
        "urls": list(urls),
        "models": [write_metadata(model) for model in models],
        "notes": list(notes),
    }


def _describe_model(model: ModelMetadata) -> str:
    """Name a model and the half that it is."""
    tier = model.parameters.get("tier")
    return model.name if tier is None else f"{model.name} ({tier})"
