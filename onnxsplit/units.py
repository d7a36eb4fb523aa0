"""Parse and format rates, sizes and durations; a number without its unit is refused."""

import math
import re
from collections.abc import Mapping

from onnxsplit.errors import UsageError

_RATES: Mapping[str, float] = {
    **{
        f"{prefix}bit/s": factor / 8
        for prefix, factor in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))
    },
    **{
        f"{prefix}bps": factor / 8
        for prefix, factor in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))
    },
    **{
        f"{prefix}B/s": factor for prefix, factor in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))
    },
    **{
        f"{prefix}B/s": factor
        for prefix, factor in (("Ki", 2.0**10), ("Mi", 2.0**20), ("Gi", 2.0**30))
    },
}
_DURATIONS: Mapping[str, float] = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_SIZES: Mapping[str, float] = {
    **{f"{prefix}B": factor for prefix, factor in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9))},
    **{
        f"{prefix}B": factor
        for prefix, factor in (("Ki", 2.0**10), ("Mi", 2.0**20), ("Gi", 2.0**30))
    },
}
_ENERGIES: Mapping[str, float] = {"uJ": 1e-6, "mJ": 1e-3, "J": 1.0, "kJ": 1e3, "Wh": 3600.0}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*([A-Za-z/]*)\s*")


def parse_rate(text: str) -> float:
    """Read a data rate.

    Parameters
    ----------
    text : str
        A positive number and a unit, such as ``20 Mbit/s``, ``100Mbps`` or ``3 MB/s``.

    Returns
    -------
    float
        Bytes per second.

    Raises
    ------
    UsageError
        The unit is missing or unknown, or the rate is not positive.

    Examples
    --------
    >>> parse_rate("20 Mbit/s")
    2500000.0
    """
    rate = parse_quantity(text, _RATES, kind="rate", example="20 Mbit/s")
    if rate <= 0:
        raise UsageError(
            f"The rate {text!r} is not positive; a link needs a rate such as '20 Mbit/s'."
        )
    return rate


def parse_duration(text: str) -> float:
    """Read a duration such as ``15 ms`` and return seconds.

    Raises
    ------
    UsageError
        The unit is missing or unknown.

    Examples
    --------
    >>> parse_duration("15 ms")
    0.015
    """
    return parse_quantity(text, _DURATIONS, kind="duration", example="15 ms")


def parse_size(text: str) -> int:
    """Read a size such as ``120 kB`` or ``512MiB`` and return whole bytes.

    Raises
    ------
    UsageError
        The unit is missing or unknown.

    Examples
    --------
    >>> parse_size("120 kB")
    120000
    """
    return round(parse_quantity(text, _SIZES, kind="size", example="512 MB"))


def parse_energy(text: str) -> float:
    """Read an energy such as ``0.5 J`` or ``20mJ`` and return joules.

    Raises
    ------
    UsageError
        The unit is missing or unknown.

    Examples
    --------
    >>> parse_energy("20 mJ")
    0.02
    """
    return parse_quantity(text, _ENERGIES, kind="energy", example="0.5 J")


def format_rate(bytes_per_second: float) -> str:
    """Write a rate in bits per second.

    Examples
    --------
    >>> format_rate(2_500_000.0)
    '20 Mbit/s'
    """
    return _format(
        bytes_per_second * 8, (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3), ("bit/s", 1.0))
    )


def format_duration(seconds: float) -> str:
    """Write a duration with three significant digits.

    Examples
    --------
    >>> format_duration(0.01234)
    '12.3 ms'
    """
    return _format(seconds, (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)))


def format_size(size_bytes: float) -> str:
    """Write a size in decimal units.

    Examples
    --------
    >>> format_size(193_600)
    '194 kB'
    """
    return _format(size_bytes, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)))


def format_energy(joules: float) -> str:
    """Write an energy with three significant digits.

    Examples
    --------
    >>> format_energy(0.01234)
    '12.3 mJ'
    """
    if joules == 0:
        return "0 J"
    return _format(joules, (("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3), ("uJ", 1e-6), ("nJ", 1e-9)))


def parse_quantity(text: str, units: Mapping[str, float], *, kind: str, example: str) -> float:
    """Read a number with its unit, of any kind.

    Parameters
    ----------
    text : str
        A number that is not negative, and a unit.
    units : mapping of str to float
        Unit to what one of it is in the unit that is wanted.
    kind, example : str
        For messages, such as ``rate`` and ``20 Mbit/s``.

    Raises
    ------
    UsageError
        The unit is missing or unknown.

    Examples
    --------
    >>> parse_quantity("3.5 GHz", {"GHz": 1e9}, kind="frequency", example="3.5 GHz")
    3500000000.0
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no {kind}; write a number and a unit, such as '{example}'.")
    number, unit = match.groups()
    if not unit:
        raise UsageError(f"The {kind} {text!r} has no unit; write it out, such as '{example}'.")
    if unit not in units:
        known = ", ".join(units)
        raise UsageError(f"The {kind} {text!r} has the unknown unit {unit!r}; known are {known}.")
    # Dividing by an exact power of ten keeps decimals as the person wrote them (15 ms is 0.015).
    factor = units[unit]
    return (
        float(number) * factor if factor >= 1 or unit == "bit/s" else float(number) / (1 / factor)
    )


def _format(value: float, scale: tuple[tuple[str, float], ...]) -> str:
    """Pick the largest unit that leaves a number of at least one."""
    if value == 0:
        return f"0 {scale[0][0]}" if scale[0][0] == "s" else f"0 {scale[-1][0]}"
    if not math.isfinite(value):
        return f"{value} {scale[0][0]}"
    for unit, factor in scale:
        # 0.9995 rounds up to 1 at three digits, so it belongs to the larger unit.
        if abs(value) >= factor * 0.9995:
            return f"{_round_three(value / factor)} {unit}"
    unit, factor = scale[-1]
    return f"{_round_three(value / factor)} {unit}"


def _round_three(value: float) -> str:
    """Round to three significant digits without an exponent."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:.0f}" if rounded.is_integer() else f"{rounded:g}"
