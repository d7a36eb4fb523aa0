"""Nested mappings and lists as block YAML; every string is quoted, so nothing is misread."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def write_yaml(document: Mapping[str, Any]) -> str:
    """Write a document of mappings, lists, strings, numbers, booleans and None.

    Parameters
    ----------
    document : mapping
        Its keys, at any depth, are plain words.

    Examples
    --------
    >>> print(write_yaml({"a": {"b": ["x", 1], "c": True}}), end="")
    a:
      b:
        - "x"
        - 1
      c: true
    """
    return "\n".join(_write_mapping(document)) + "\n"


def _write_mapping(mapping: Mapping[str, Any]) -> Iterator[str]:
    """Yield a mapping's lines."""
    for key, value in mapping.items():
        lines = list(_write_value(value))
        if isinstance(value, Mapping | list | tuple) and value:
            yield f"{key}:"
            yield from (f"  {line}" for line in lines)
        else:
            yield f"{key}: {lines[0]}"


def _write_list(values: Sequence[Any]) -> Iterator[str]:
    """Yield a list's lines."""
    for value in values:
        first, *others = _write_value(value)
        yield f"- {first}"
        yield from (f"  {line}" for line in others)


def _write_value(value: Any) -> Iterator[str]:  # noqa: ANN401 - a document holds anything
    """Yield any value's lines; JSON's scalars, and its empty containers, are YAML's too."""
    if isinstance(value, Mapping) and value:
        yield from _write_mapping(value)
    elif isinstance(value, list | tuple) and value:
        yield from _write_list(value)
    else:
        yield json.dumps(value, ensure_ascii=False)
