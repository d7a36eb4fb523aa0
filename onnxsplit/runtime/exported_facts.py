"""Which half a model on Triton is: `export` writes it where only the model's configuration tells.

Source: NVIDIA's "Model Configuration" extension of the Open Inference Protocol; the protocol's own
metadata has no room for it.
"""

from collections.abc import Mapping
from typing import Any

from onnxsplit.errors import ProtocolError
from onnxsplit.runtime.json_heads import parse_json
from onnxsplit.runtime.messages import Parameter


def read_facts(data: bytes | bytearray | memoryview) -> dict[str, Parameter]:
    """Read the parameters of a configuration, as HTTP gives it; empty where there are none.

    Raises
    ------
    ProtocolError
        It is malformed.
    """
    parameters = parse_json(data, "configuration").get("parameters", {})
    if not isinstance(parameters, dict):
        raise ProtocolError("The configuration's 'parameters' must be an object.")
    return {name: text for name, entry in parameters.items() if (text := _read_text(entry))}


def _read_text(entry: Mapping[str, Any] | Any) -> str:  # noqa: ANN401 - JSON can be anything
    """Return a parameter's text, empty if it has none."""
    text = entry.get("string_value", "") if isinstance(entry, dict) else ""
    return text if isinstance(text, str) else ""
