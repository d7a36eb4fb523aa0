"""Recorded bandwidths in the place of a channel model.

Layouts that are read:

* ``rates``: a CSV with the columns ``seconds``, ``up_bytes_per_second``, ``down_bytes_per_second``.
* ``ucc``: the 4G and 5G logs of University College Cork (Raca et al., "Beyond Throughput: a 4G LTE
  Dataset with Channel and Context Metrics", MMSys 2018; "Beyond Throughput, The Next Generation: a
  5G Dataset ...", MMSys 2020): a CSV with a row a second and, among others, ``DL_bitrate`` and
  ``UL_bitrate`` in kbit/s, ``-`` where nothing was recorded, and ``State``, ``I`` where the phone
  downloaded nothing, so that its rates say nothing of the link: both kinds of rows are left out.
  Columns, unit and states as public programs that read these logs have them; the papers and the
  logs themselves were not at hand.
* ``ghent``: the 4G logs of Ghent University (van der Hooft et al., "HTTP/2-Based Adaptive Streaming
  of HEVC Video over 4G/LTE Networks", IEEE Communications Letters 2016): lines of milliseconds
  since 1970, milliseconds since the start, latitude, longitude, bytes received since the last line
  and milliseconds since the last line, as the data set's page describes them; there is no uplink.

Those logs recorded a download: their uplink is what its acknowledgements took, if anything. A
scenario says by ``up_per_down`` what share of the downlink an uplink is taken to have.
"""

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import UsageError
from onnxsplit.simulation.radio import LinkTable

Floats = npt.NDArray[np.float64]

_KBIT = 125.0
_GHENT_FIELDS = 6
_MOST = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A recording: rates that hold from each of its times to the next.

    Parameters
    ----------
    seconds : ndarray of float64, shape (n + 1,)
        Rising from 0; the last one is its end.
    up_bytes_per_second, down_bytes_per_second : ndarray of float64, shape (n,)
    """

    seconds: Floats
    up_bytes_per_second: Floats
    down_bytes_per_second: Floats


Row = tuple[float, float | None, float]
"""Seconds that it lasts, uplink (None if it was not recorded) and downlink in bytes per second."""


def read_trace(path: Path, layout: str, up_per_down: float | None = None) -> Trace:
    """Read a recording.

    Parameters
    ----------
    path : Path
    layout : str
        One of `LAYOUTS`.
    up_per_down : float, optional
        What share of the downlink the uplink is taken to have; else it is the recorded one.

    Raises
    ------
    UsageError
        The file can't be read, a line is malformed, it holds no rates, or has no uplink.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"The trace {path} can't be read: {reason}.") from error
    rows = list(LAYOUTS[layout](path, text.splitlines()))
    if not rows:
        raise UsageError(f"The trace {path} holds no rates.")
    if up_per_down is None and any(up is None for _, up, _ in rows):
        raise UsageError(f"The trace {path} has no uplink; give up_per_down, such as 0.25.")
    ups = [down * up_per_down if up_per_down else (up or 0.0) for _, up, down in rows]
    downs = [down for _, _, down in rows]
    if not any(ups) or not any(downs):
        raise UsageError(f"The trace {path} carried nothing at all one way.")
    return Trace(
        seconds=np.concatenate(([0.0], np.cumsum([lasts for lasts, _, _ in rows]))),
        up_bytes_per_second=np.array(ups),
        down_bytes_per_second=np.array(downs),
    )


def replay(
    trace: Trace,
    generator: np.random.Generator,
    *,
    epochs: int,
    devices: int,
    interval_seconds: float,
    floor_bytes_per_second: float,
) -> LinkTable:
    """Give every device a recording's rates, each from a random moment on, round and round.

    Parameters
    ----------
    trace : Trace
    generator : numpy.random.Generator
    epochs, devices : int
    interval_seconds : float
        The rate of an epoch is what the recording carried in this time from its beginning, over it.
    floor_bytes_per_second : float
        A link never gets slower, be it that a recording has a gap.
    """
    end = trace.seconds[-1]
    starts = generator.uniform(0, end, size=devices) + interval_seconds * np.arange(epochs)[:, None]
    rates = []
    for recorded in (trace.up_bytes_per_second, trace.down_bytes_per_second):
        carried = np.concatenate(([0.0], np.cumsum(recorded * np.diff(trace.seconds))))
        sums = [
            carried[-1] * (moments // end) + np.interp(moments % end, trace.seconds, carried)
            for moments in (starts, starts + interval_seconds)
        ]
        rates.append((sums[1] - sums[0]) / interval_seconds)
    up, down = rates
    return LinkTable(
        up_bytes_per_second=np.maximum(up, floor_bytes_per_second),
        down_bytes_per_second=np.maximum(down, floor_bytes_per_second),
        at_floor=np.minimum(up, down) <= floor_bytes_per_second,
    )


def _read_rates(path: Path, lines: list[str]) -> Iterable[Row]:
    """Read our own layout; the last line's rates last as long as those before it."""
    columns = ("seconds", "up_bytes_per_second", "down_bytes_per_second")
    rows = [
        tuple(_number(path, place, row[name]) for name in columns)
        for place, row in _read_table(path, lines, columns)
    ]
    spans = [after[0] - before[0] for before, after in pairwise(rows)]
    if any(span <= 0 for span in spans):
        raise UsageError(f"The seconds of the trace {path} do not rise.")
    spans += [spans[-1] if spans else 1.0] if rows else []
    for span, (_, up, down) in zip(spans, rows, strict=True):
        yield span, up, down


def _read_ucc(path: Path, lines: list[str]) -> Iterable[Row]:
    """Read a log of University College Cork."""
    for place, row in _read_table(path, lines, ("DL_bitrate", "UL_bitrate")):
        down, up = row["DL_bitrate"].strip(), row["UL_bitrate"].strip()
        if down not in {"", "-"} and row.get("State", "").strip() != "I":
            sent = None if up in {"", "-"} else _number(path, place, up) * _KBIT
            yield 1.0, sent, _number(path, place, down) * _KBIT


def _read_ghent(path: Path, lines: list[str]) -> Iterable[Row]:
    """Read a log of Ghent University."""
    for place, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != _GHENT_FIELDS:
            raise UsageError(
                f"The trace {path}, line {place}: it has {len(fields)} fields, not"
                f" {_GHENT_FIELDS}, as the logs of Ghent University have."
            )
        size, lasts = (_number(path, place, text) for text in fields[4:])
        if lasts > 0:
            yield lasts / 1e3, None, size / lasts * 1e3


LAYOUTS: Mapping[str, Callable[[Path, list[str]], Iterable[Row]]] = {
    "rates": _read_rates,
    "ucc": _read_ucc,
    "ghent": _read_ghent,
}


def _read_table(
    path: Path, lines: list[str], columns: Iterable[str]
) -> Iterable[tuple[int, Mapping[str, str]]]:
    """Yield the rows of a CSV with the numbers of their lines."""
    reader = csv.DictReader(lines)
    for name in columns:
        if name not in (reader.fieldnames or ()):
            raise UsageError(f"The trace {path} has no column {name!r}.")
    for row in reader:
        if None in row.values():
            raise UsageError(f"The trace {path}, line {reader.line_num}: fields are missing.")
        yield reader.line_num, row


def _number(path: Path, place: int, text: str) -> float:
    """Read a number that is not negative, nor beyond any link or recording."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= _MOST:
        raise UsageError(f"The trace {path}, line {place}: {text!r} is no rate or time.")
    return number
