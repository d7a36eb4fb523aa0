"""JSON as every reader of JSON takes it."""

import json
import math
from collections.abc import Mapping
from typing import Any


def write_json(document: Mapping[str, Any]) -> str:
    r"""Write a document, indented and in ASCII.

    Parameters
    ----------
    document : mapping
        What JSON can hold. A number that is not finite becomes null, for JSON knows none.

    Examples
    --------
    >>> write_json({"a": [1.5, float("inf")]})
    '{\n  "a": [\n    1.5,\n    null\n  ]\n}'
    """
    return json.dumps(finite(document), indent=2, allow_nan=False)


def finite(value: Any) -> Any:  # noqa: ANN401 - JSON can be anything
    """Replace numbers that are not finite by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value
