"""Radio and motion in text with units, as scenario files have them."""

import math
import re
from collections.abc import Mapping

from onnxsplit.errors import UsageError
from onnxsplit.units import parse_quantity

_FREQUENCIES: Mapping[str, float] = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9}
_LENGTHS: Mapping[str, float] = {"m": 1.0, "km": 1e3}
_SPEEDS: Mapping[str, float] = {"m/s": 1.0, "km/h": 1 / 3.6}
_COMPUTE: Mapping[str, float] = {"MFLOP/s": 1e6, "GFLOP/s": 1e9, "TFLOP/s": 1e12}
_WATTS: Mapping[str, float] = {"mW": 1e-3, "W": 1.0, "kW": 1e3}
_MOST_DECIBELS = 200.0
_DECIBELS = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]*)?)\s*(dBm|dBi|dB)\s*")


def parse_frequency(text: str) -> float:
    """Read a frequency or a bandwidth such as ``3.5 GHz`` and return hertz.

    Raises
    ------
    UsageError
        The unit is missing or unknown.

    Examples
    --------
    >>> parse_frequency("20 MHz")
    20000000.0
    """
    return parse_quantity(text, _FREQUENCIES, kind="frequency", example="20 MHz")


def parse_length(text: str) -> float:
    """Read a length such as ``200 m`` and return metres.

    Raises
    ------
    UsageError
        The unit is missing or unknown.

    Examples
    --------
    >>> parse_length("0.2 km")
    200.0
    """
    return parse_quantity(text, _LENGTHS, kind="length", example="200 m")


def parse_speed(text: str) -> float:
    """Read a speed such as ``1.5 m/s`` and return metres per second.

    Raises
    ------
    UsageError
        The unit is missing or unknown.

    Examples
    --------
    >>> round(parse_speed("36 km/h"), 9)
    10.0
    """
    return parse_quantity(text, _SPEEDS, kind="speed", example="1.5 m/s")


def parse_compute(text: str) -> float:
    """Read a compute rate such as ``236 GFLOP/s`` and return operations per second.

    Raises
    ------
    UsageError
        The unit is missing or unknown, or the rate is not positive.

    Examples
    --------
    >>> parse_compute("19.5 TFLOP/s")
    19500000000000.0
    """
    rate = parse_quantity(text, _COMPUTE, kind="compute rate", example="236 GFLOP/s")
    if rate <= 0:
        raise UsageError(f"The compute rate {text!r} is not positive; write such as '236 GFLOP/s'.")
    return rate


def parse_power(text: str) -> float:
    """Read a transmit power such as ``23 dBm`` or ``0.2 W`` and return dBm.

    Raises
    ------
    UsageError
        The unit is missing or unknown, or the power is nothing or beyond +-200 dBm.

    Examples
    --------
    >>> parse_power("23 dBm")
    23.0
    >>> parse_power("1 W")
    30.0
    """
    match = _DECIBELS.fullmatch(text)
    if match is not None and match.group(2) == "dBm":
        return _check_decibels(float(match.group(1)), text)
    watts = parse_quantity(text, _WATTS, kind="power", example="23 dBm")
    if watts <= 0:
        raise UsageError(f"The power {text!r} is nothing; write such as '23 dBm' or '0.2 W'.")
    return _check_decibels(10 * math.log10(watts) + 30, text)


def parse_decibels(text: str) -> float:
    """Read a gain or a loss such as ``-3 dB`` or ``24 dBi``.

    Raises
    ------
    UsageError
        The unit is missing or unknown, or it is beyond +-200 dB.

    Examples
    --------
    >>> parse_decibels("8 dBi")
    8.0
    """
    match = _DECIBELS.fullmatch(text)
    if match is None or match.group(2) == "dBm":
        raise UsageError(f"{text!r} is no gain or loss; write such as '9 dB'.")
    return _check_decibels(float(match.group(1)), text)


def _check_decibels(value: float, text: str) -> float:
    """Refuse what no radio has."""
    if abs(value) > _MOST_DECIBELS:
        raise UsageError(f"{text!r} is beyond {_MOST_DECIBELS:g} dB; no radio has that.")
    return value
