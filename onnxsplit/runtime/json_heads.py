"""The JSON that travels: read strictly, with a sentence for whatever the protocol forbids."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from onnxsplit.errors import ProtocolError
from onnxsplit.runtime.messages import Parameter

_SHOWN = 60


def parse_json(data: bytes | bytearray | memoryview, what: str) -> Mapping[str, Any]:
    """Parse a JSON object in UTF-8, without repeated keys and numbers that are none.

    Parameters
    ----------
    data : bytes-like
    what : str
        How an error calls it: ``request``.

    Raises
    ------
    ProtocolError
        It is anything else.
    """
    try:
        document = _DECODER.decode(str(data, "utf-8"))
    except RecursionError:
        raise ProtocolError(f"The {what}'s JSON is nested too deep.") from None
    except ValueError as error:
        raise ProtocolError(f"The {what} is no JSON: {_shorten(str(error))}.") from None
    if not isinstance(document, dict):
        raise ProtocolError(f"The {what} must be a JSON object.")
    return document


def write_json(document: Mapping[str, Any]) -> bytes:
    """Write compact JSON."""
    return _ENCODER.encode(document).encode()


def read_text(document: Mapping[str, Any], key: str, what: str, default: str | None = None) -> str:
    """Return a string; ProtocolError if it is missing without a default, or something else."""
    value = document.get(key, default)
    if not isinstance(value, str):
        raise ProtocolError(f"The {what} must have a string under {key!r}.")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ProtocolError(f"The {what} has under {key!r} a string that is no Unicode.")
    return value


def read_objects(document: Mapping[str, Any], key: str, what: str) -> list[Mapping[str, Any]]:
    """Return a list of objects with distinct names, empty where the key is missing.

    Raises
    ------
    ProtocolError
        It is something else, or two of them have one name.
    """
    entries = document.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ProtocolError(f"The {what} must have a list of objects under {key!r}.")
    names = [read_text(entry, "name", f"{what}'s {key}") for entry in entries]
    for name in _find_repeated(names):
        raise ProtocolError(f"The {what} names {name!r} more than once under {key!r}.")
    return entries


def read_parameters(document: Mapping[str, Any], what: str) -> dict[str, Parameter]:
    """Return the parameters, empty where there are none.

    Raises
    ------
    ProtocolError
        They are no object, or hold what is no truth value, number or string.
    """
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise ProtocolError(f"The {what}'s 'parameters' must be an object.")
    for name, value in parameters.items():
        if not isinstance(value, bool | int | float | str):
            raise ProtocolError(
                f"The {what}'s parameter {_shorten(name)!r} must be a truth value, a number or a"
                " string."
            )
    return parameters


def _refuse_constant(constant: str) -> None:
    """Refuse NaN and the infinities, which Python would take."""
    raise ValueError(f"{constant} is no number in JSON")


def _read_float(text: str) -> float:
    """Read a number that fits."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {_shorten(text)} is too large")
    return value


def _pair_up(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object whose keys are all different."""
    document = dict(pairs)
    if len(document) < len(pairs):
        repeated = next(_find_repeated(name for name, _ in pairs))
        raise ValueError(f"the key {_shorten(repeated)!r} is given more than once")
    return document


def _find_repeated(names: Iterable[str]) -> Iterator[str]:
    """Give the names that occurred before."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)


def _shorten(text: str) -> str:
    """Cut what a stranger sent down to what fits into a sentence."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_read_float, object_pairs_hook=_pair_up
)
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
