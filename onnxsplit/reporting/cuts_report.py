"""The cuts of a bundle for several rates, as a table."""

import math
from collections.abc import Sequence

from onnxsplit.cut_entries import CutEntry
from onnxsplit.planned import Plan
from onnxsplit.reporting.page import Column, Table
from onnxsplit.reporting.wording import word_bytes, word_duration
from onnxsplit.units import format_rate


def cuts_blocks(cuts: Sequence[CutEntry], plan: Plan) -> tuple[Table, ...]:
    """List a bundle's cuts, if it has several; their time is that over the plan's link."""
    if not cuts:
        return ()
    columns = (
        Column(title="cut"),
        Column(title="best from", alignment="right"),
        Column(title="to", alignment="right"),
        Column(title="crosses", is_name=True),
        Column(title="bytes", alignment="right"),
        Column(title="over this link", alignment="right"),
    )
    rows = tuple(_row(cut, plan) for cut in cuts)
    return (Table(title="Cuts by uplink rate", columns=columns, rows=rows),)


def _row(cut: CutEntry, plan: Plan) -> tuple[str, ...]:
    """Lay out one cut."""
    (link,) = plan.topology.links
    seconds = cut.predict_seconds(
        up_bytes_per_second=link.up_bytes_per_second,
        down_bytes_per_second=link.down_bytes_per_second,
        round_trip_seconds=link.round_trip_seconds,
    )
    return (
        cut.id,
        _word_rate(cut.from_bytes_per_second),
        _word_rate(cut.to_bytes_per_second),
        ", ".join(crossing["tensor"] for crossing in cut.crossings) or "-",
        word_bytes(sum(crossing["bytes"] for crossing in cut.crossings)),
        word_duration(seconds),
    )


def _word_rate(rate: float) -> str:
    """Write a rate at an end of a stretch."""
    if not rate:
        return "0"
    return format_rate(rate) if math.isfinite(rate) else "infinity"
