"""The kernel events of a trace that onnxruntime wrote, run by run and without nested bodies."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onnxsplit.engines.port import KernelEvent

_KERNEL_SUFFIX = "_kernel_time"
_EXECUTE = "SequentialExecutor::Execute"
_RUN = "model_run"

_RECORD_START = '{"cat" : '
_UNESCAPED = re.compile(
    r'.*?"dur" :(?P<dur>\d+),"ts" :(?P<ts>\d+),.*?'
    r'"name" :"(?P<name>.*)","args" : (?P<args>\{.*\})\}',
    re.DOTALL,
)
"""A record as onnxruntime lays it out; versions before 1.32 do not all escape its name."""

_DTYPES: Mapping[str, str] = {
    "float": "float32",
    "double": "float64",
    "int4x2": "int4",
    "uint4x2": "uint4",
    "int2x4": "int2",
    "uint2x4": "uint2",
}


def read_dtype(name: str) -> str:
    """Translate onnxruntime's name of an element type into ONNX's own.

    Examples
    --------
    >>> read_dtype("float"), read_dtype("Float8E4M3FN")
    ('float32', 'float8e4m3fn')
    """
    return _DTYPES.get(name.lower(), name.lower())


def read_events(lines: Iterable[str]) -> tuple[KernelEvent, ...]:
    """Extract the kernels of every complete run.

    A body of If, Loop or Scan is executed within its operator's kernel, and its own kernels are
    recorded before that of the operator. Each execution of a graph ends with a record of its own,
    whose start tells which kernels belong to it; only the last one before the record of the run is
    that of the model's top graph. Names can't tell: a body may reuse a name of the top graph.

    Parameters
    ----------
    lines : iterable of str
        The trace as onnxruntime writes it: a JSON array with one record a line, which for long
        traces is too large to be parsed at once.

    Returns
    -------
    tuple of KernelEvent
        In order of execution; what follows the last complete run is left out.

    Raises
    ------
    ValueError, KeyError
        A record is not what onnxruntime writes.
    """
    events: list[KernelEvent] = []
    pending: list[Mapping[str, Any]] = []
    executed: list[Mapping[str, Any]] = []
    run = 0
    for record in _parse_records(lines):
        if record["name"] == _EXECUTE:
            first = _first_within(pending, record["ts"])
            executed, pending = pending[first:], pending[:first]
        elif record["name"] == _RUN:
            events.extend(_read_event(kernel, run) for kernel in executed)
            executed, pending = [], []
            run += 1
        else:
            pending.append(record)
    return tuple(events)


def _parse_records(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Parse the records of kernels, executions and runs; pass over all others."""
    for text in _join_records(lines):
        if _KERNEL_SUFFIX in text or _EXECUTE in text or _RUN in text:
            record = _parse_record(text)
            name = record["name"]
            if name in {_EXECUTE, _RUN} or name.endswith(_KERNEL_SUFFIX):
                yield record


def _join_records(lines: Iterable[str]) -> Iterator[str]:
    """Join the lines of each record; a line break in a node's name is not always escaped."""
    text = ""
    for line in lines:
        if line.startswith((_RECORD_START, "]")):
            yield text
            text = ""
        text += line
    yield text


def _parse_record(text: str) -> Mapping[str, Any]:
    """Parse one record; a quote in a node's name is not always escaped."""
    text = text.strip().removesuffix(",")
    try:
        record: Mapping[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        match = _UNESCAPED.fullmatch(text)
        if match is None:
            raise
        return {
            "name": match["name"],
            "dur": int(match["dur"]),
            "ts": int(match["ts"]),
            "args": json.loads(match["args"]),
        }
    return record


def _first_within(pending: Sequence[Mapping[str, Any]], start: int) -> int:
    """Return the place of the first of the trailing kernels that began at or after the start."""
    first = len(pending)
    while first and pending[first - 1]["ts"] >= start:
        first -= 1
    return first


def _read_event(record: Mapping[str, Any], run: int) -> KernelEvent:
    """Read one kernel's record."""
    arguments = record["args"]
    return KernelEvent(
        run=run,
        operator=record["name"].removesuffix(_KERNEL_SUFFIX),
        op_type=arguments["op_name"],
        provider=arguments["provider"],
        seconds=record["dur"] * 1e-6,
        output_types=tuple(_read_types(arguments.get("output_type_shape", ()))),
        parameter_bytes=int(arguments.get("parameter_size") or 0),
        output_bytes=int(arguments.get("output_size") or 0),
        held_bytes=_read_count(arguments.get("mem_bytes_requested_in_use")),
    )


def _read_count(text: str | None) -> int | None:
    """Read a count that not every version and provider records."""
    return None if text is None else int(text)


def _read_types(
    entries: Sequence[Mapping[str, Sequence[int]]],
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Read the element types and shapes of dense outputs."""
    for entry in entries:
        for dtype, shape in entry.items():
            yield read_dtype(dtype), tuple(shape)
