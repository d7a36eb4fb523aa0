import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxsplit.errors import UsageError
from onnxsplit.units import (
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("8 bit/s", 1.0),
        ("1.1 Mbit/s", 137_500.0),
        ("5.85Mbit/s", 731_250.0),
        ("20 Mbps", 2_500_000.0),
        ("1 Gbps", 125_000_000.0),
        ("3 MB/s", 3_000_000.0),
        ("2 MiB/s", 2_097_152.0),
        ("1e3 kB/s", 1_000_000.0),
        (".5 kbit/s", 62.5),
    ],
)
def test_rates_are_read_in_every_unit(text: str, bytes_per_second: float) -> None:
    assert parse_rate(text) == bytes_per_second


@pytest.mark.parametrize(
    "text", ["20", "1e6", "20 Mbit", "20 mbit/s", "fast", "", "-3 Mbit/s", "0 B/s"]
)
def test_a_rate_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"rate"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "seconds"), [("15 ms", 0.015), ("250us", 0.00025), ("2 s", 2.0)])
def test_durations_keep_the_decimals_that_were_written(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_bare_duration_is_refused_with_an_example() -> None:
    with pytest.raises(UsageError, match="15 ms"):
        parse_duration("15")


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("120 kB", 120_000), ("1 MiB", 1_048_576), ("512MB", 512_000_000)]
)
def test_sizes_are_read_in_decimal_and_binary_units(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (1.5, "1.5 s"),
        (0.0199, "19.9 ms"),
        (0.9999, "1 s"),
        (3e-6, "3 us"),
        (123.4, "123 s"),
    ],
)
def test_durations_are_shown_with_three_digits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_sizes_and_rates_are_shown_in_the_largest_unit_that_fits() -> None:
    assert format_size(602_112) == "602 kB"
    assert format_size(0) == "0 B"
    assert format_size(999_900) == "1 MB"
    assert format_rate(12_500_000) == "100 Mbit/s"
    assert format_rate(math.inf) == "inf Gbit/s"


@given(st.floats(min_value=1e-9, max_value=1e6))
def test_a_shown_duration_reads_back_within_its_digits(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.006)
