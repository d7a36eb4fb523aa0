"""Frontiers as pages."""

import math

from onnxsplit.frontiers import Frontier, FrontierCut
from onnxsplit.reporting.frontier_drawing import list_rates
from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import word_bytes, word_count, word_duration, word_names
from onnxsplit.tiers import Link
from onnxsplit.units import format_duration, format_rate

_BAR = 40
_ROWS = 12


def describe_frontier(frontier: Frontier) -> Page:
    """Lay out a frontier: its segments, its cost by rate, and what it rests on.

    Parameters
    ----------
    frontier : Frontier
    """
    blocks: list[Block] = [
        Sentence(text=_word_frontier(frontier), tone="strong"),
        _list_segments(frontier),
        _plot(frontier),
    ]
    if frontier.regions:
        blocks.append(_list_regions(frontier))
    blocks.append(Sentence(text=_word_proof(frontier), tone="quiet"))
    if frontier.assumptions:
        blocks.append(Bullets(title="Assumptions", items=frontier.assumptions))
    return tuple(blocks)


def _word_frontier(frontier: Frontier) -> str:
    """Say how many cuts there are, and for which links."""
    what = "best proper split" if frontier.restriction else "best placement"
    count = word_count(len(frontier.segments), what)
    return (
        f"{count} as the uplink goes from 0 to infinity, the downlink"
        f" {frontier.down_per_up:g} times as fast, round trip"
        f" {format_duration(frontier.round_trip_seconds)}."
    )


def _word_proof(frontier: Frontier) -> str:
    """Say what was proved."""
    return (
        f"Every cut is certified on the {frontier.scope} graph; rounding:"
        f" {frontier.relative_rounding:.1g} of the cost at most."
    )


def _list_segments(frontier: Frontier) -> Table:
    """List the segments, the slowest links first."""
    rows = [
        (
            format_rate(segment.from_bytes_per_second) if segment.from_bytes_per_second else "0",
            _word_end(segment.to_bytes_per_second),
            *_word_cut(segment.cut),
        )
        for segment in frontier.segments
    ]
    columns = (
        Column(title="from", alignment="right"),
        Column(title="to", alignment="right"),
        Column(title="best"),
        Column(title="crosses", is_name=True),
        Column(title="bytes", alignment="right"),
    )
    return Table(title="By uplink rate", columns=columns, rows=tuple(rows))


def _word_end(rate: float) -> str:
    """Write where a segment ends."""
    return format_rate(rate) if math.isfinite(rate) else "infinity"


def _word_cut(cut: FrontierCut) -> tuple[str, str, str]:
    """Say what a cut does, and what it sends."""
    names = word_names([crossing.tensor for crossing in cut.crossings]) if cut.crossings else "-"
    size = word_bytes(sum(crossing.size_bytes for crossing in cut.crossings))
    return cut.placement.verdict, names, size if cut.crossings else "-"


def _plot(frontier: Frontier) -> Table:
    """Draw the cost by rate: a bar for each of some rates."""
    rates = list_rates(frontier, count=_ROWS)
    found = []
    for rate in rates:
        link = Link(
            up_bytes_per_second=rate,
            down_bytes_per_second=rate * frontier.down_per_up,
            round_trip_seconds=frontier.round_trip_seconds,
        )
        segment = next(s for s in frontier.segments if rate <= s.to_bytes_per_second)
        found.append((rate, segment.cut.cost(link), frontier.segments.index(segment)))
    most = max(cost for _, cost, _ in found) or 1.0
    rows = tuple(
        (
            format_rate(rate),
            word_duration(cost) if frontier.unit == "s" else f"{cost:.3g} {frontier.unit}",
            str(number + 1),
            "#" * max(1, round(_BAR * cost / most)),
        )
        for rate, cost, number in found
    )
    columns = (
        Column(title="uplink", alignment="right"),
        Column(title="cost", alignment="right"),
        Column(title="segment", alignment="right"),
        Column(title=""),
    )
    return Table(title="Cost of the best", columns=columns, rows=rows)


def _list_regions(frontier: Frontier) -> Table:
    """List the cuts that are best at some pair of rates."""
    rows = [
        (
            *_word_cut(region),
            f"{region.constant:.4g} {frontier.unit}",
            word_bytes(region.per_inverse_uplink),
            word_bytes(region.per_inverse_downlink),
        )
        if frontier.unit == "s"
        else (
            *_word_cut(region),
            f"{region.constant:.4g} {frontier.unit}",
            f"{region.per_inverse_uplink:.4g}",
            f"{region.per_inverse_downlink:.4g}",
        )
        for region in sorted(frontier.regions, key=lambda cut: cut.constant)
    ]
    columns = (
        Column(title="best"),
        Column(title="crosses", is_name=True),
        Column(title="bytes", alignment="right"),
        Column(title="constant", alignment="right"),
        Column(title="over uplink", alignment="right"),
        Column(title="over downlink", alignment="right"),
    )
    title = "Best for some pair of rates: the cheapest of constant + up / uplink + down / downlink"
    return Table(title=title, columns=columns, rows=tuple(rows))
