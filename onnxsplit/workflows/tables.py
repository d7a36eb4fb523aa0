"""Small tables that people write: factors by operator type, and costs by operator."""

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from onnxsplit.errors import UsageError
from onnxsplit.planning.costs.scaling import CostRow, FactorTable
from onnxsplit.tiers import DEVICE, SERVER, Evidence

_FACTOR_COLUMNS = ("op_type", "factor")
_COST_COLUMNS = ("operator", f"{DEVICE}_seconds", f"{SERVER}_seconds")
_EVIDENCE_COLUMN = "evidence"


def read_factors(path: Path, flag: str) -> FactorTable:
    """Read how many times as long each operator type takes.

    Parameters
    ----------
    path : Path
        CSV with the columns ``op_type`` and ``factor``, or a JSON object from type to factor;
        ``*`` stands for all other types.
    flag : str
        The option that named the file, for messages.

    Raises
    ------
    UsageError
        The file can't be read, a column is missing, or a factor is not positive.
    """
    source = f"{flag} {path}"
    text = _read_text(path, source)
    pairs = _parse_json(text, source) if text.lstrip().startswith("{") else None
    if pairs is None:
        rows = _parse_csv(text, source, _FACTOR_COLUMNS)
        pairs = [(row["op_type"], row["factor"]) for row in rows]
    factors: dict[str, float] = {}
    for op_type, factor in pairs:
        if op_type in factors:
            raise UsageError(f"{source} names {op_type!r} twice; give each type once.")
        value = _read_number(factor, f"{source}: the factor of {op_type!r}")
        if value == 0:
            raise UsageError(f"{source}: the factor of {op_type!r} is 0; it must be positive.")
        factors[op_type] = value
    if not factors:
        raise UsageError(f"{source} holds no factors; write lines such as Conv,2.5.")
    return FactorTable(factors=factors, source=source)


def read_costs(path: Path) -> tuple[CostRow, ...]:
    """Read what each operator costs on either tier.

    Parameters
    ----------
    path : Path
        CSV with the columns ``operator``, ``device_seconds`` and ``server_seconds``, and perhaps
        ``evidence`` (``measured``, ``scaled`` or, if it is left out, ``assumed``).

    Raises
    ------
    UsageError
        The file can't be read, a column is missing, or a number is negative or none.
    """
    source = f"--costs {path}"
    rows = _parse_csv(_read_text(path, source), source, _COST_COLUMNS)
    if not rows:
        raise UsageError(f"{source} holds no operators; write a line for each.")
    seen: set[str] = set()
    for row in rows:
        if row["operator"] in seen:
            raise UsageError(f"{source} lists the operator {row['operator']!r} twice.")
        seen.add(row["operator"])
    return tuple(
        CostRow(
            operator=row["operator"],
            seconds={
                tier: _read_number(
                    row[f"{tier}_seconds"], f"{source}: {tier}_seconds of {row['operator']!r}"
                )
                for tier in (DEVICE, SERVER)
            },
            evidence=_read_evidence(row.get(_EVIDENCE_COLUMN) or "assumed", source),
        )
        for row in rows
    )


def _read_text(path: Path, source: str) -> str:
    """Read a text file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{source}: it can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{source}: it is not UTF-8 text.") from error


def _parse_json(text: str, source: str) -> list[tuple[str, Any]]:
    """Read an object's entries, so that a name that comes twice is still seen."""
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source}: it is no JSON: {error}.") from error
    return list(pairs)


def _parse_csv(text: str, source: str, columns: tuple[str, ...]) -> list[Mapping[str, str]]:
    """Read rows by their header."""
    try:
        rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise UsageError(f"{source}: it is no CSV: {error}.") from error
    header = next(csv.reader(io.StringIO(text), skipinitialspace=True), [])
    missing = [column for column in columns if column not in header]
    if missing:
        raise UsageError(
            f"{source} has no column {missing[0]!r}; its first line must be {','.join(columns)}."
        )
    for number, row in enumerate(rows, start=2):
        if None in row or any(row[column] in {None, ""} for column in columns):
            raise UsageError(f"{source}: row {number} does not have {len(header)} values.")
    return [{key: value.strip() for key, value in row.items() if value} for row in rows]


def _read_number(value: Any, what: str) -> float:  # noqa: ANN401 - JSON can be anything
    """Read a finite number that is not negative."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise UsageError(f"{what} is {value!r}; it must be a number, finite and not negative.")
    return number


def _read_evidence(word: str, source: str) -> Evidence:
    """Read an evidence word."""
    match word:
        case "measured" | "scaled" | "assumed":
            return word
        case _:
            raise UsageError(
                f"{source}: the evidence {word!r} must be one of {', '.join(get_args(Evidence))}."
            )
