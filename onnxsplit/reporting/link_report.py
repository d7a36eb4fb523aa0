"""Measured links as pages."""

from pathlib import Path

from onnxsplit.reporting.page import Block, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import word_bytes, word_duration
from onnxsplit.runtime.link_probe import LinkMeasurement, MeasuredRate
from onnxsplit.runtime.tcp_figures import TcpFigures
from onnxsplit.units import format_rate

UNSURE = 0.1
"""Relative half width of an interval from which the reader is warned."""


def describe_link(
    measurement: LinkMeasurement, passive: TcpFigures | None, *, output: Path | None
) -> Page:
    """Lay out a measured link, and how sure it is."""
    table = Table(
        title="Rates, by the slope between two sizes",
        columns=(
            Column(title="way"),
            Column(title="rate", alignment="right"),
            Column(title="95 % interval", alignment="right"),
            Column(title="rounds", alignment="right"),
            Column(title="up to", alignment="right"),
        ),
        rows=(_row("up", measurement.up), _row("down", measurement.down)),
    )
    cold, warm = measurement.cold_seconds, measurement.round_trip_seconds
    trips = (
        f"A tiny request took {word_duration(warm)} on a warm connection, and"
        f" {word_duration(cold)} on a new one."
    )
    blocks: list[Block] = [
        Sentence(text=f"Measured: {measurement.link.describe()}.", tone="strong"),
        table,
        Sentence(text=trips),
    ]
    if any(_is_unsure(rate) for rate in (measurement.up, measurement.down)):
        blocks.append(
            Sentence(
                text="A rate is not sure yet; measure for longer with --budget, or when the link"
                " and both machines have less else to do.",
                tone="warning",
            )
        )
    if passive is not None:
        least = word_duration(passive.least_round_trip_seconds)
        blocks.append(Sentence(text=f"The system's own least round trip is {least}.", tone="quiet"))
    if output is not None:
        blocks.append(Sentence(text=f"Wrote {output}. Give it to `cut` by --link {output}."))
    return tuple(blocks)


def _is_unsure(rate: MeasuredRate) -> bool:
    """Tell whether a rate may be another one altogether."""
    return rate.interval_relative is None or rate.interval_relative > UNSURE


def _row(way: str, rate: MeasuredRate) -> tuple[str, ...]:
    """Lay out one direction."""
    interval = rate.interval_relative
    return (
        way,
        format_rate(rate.bytes_per_second),
        "-" if interval is None else f"within {100 * interval:.1f} %",
        str(rate.rounds),
        word_bytes(rate.large_bytes),
    )
