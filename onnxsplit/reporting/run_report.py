"""Runs of a split model as pages."""

from collections.abc import Mapping, Sequence

from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import word_bytes, word_count, word_duration
from onnxsplit.runtime.controller import Switch
from onnxsplit.runtime.run_summary import PART_NAMES, RunSummary

_PART_WORDS = {
    "device": "compute on the device",
    "encode": "write the request",
    "network": "network",
    "server": "compute on the server",
    "decode": "read the response",
}
_ROUTE_WORDS = {
    "split": "split",
    "device": "on the device, as the cut wants it",
    "fallback": "on the device, for the server was away",
    "dropped": "dropped for newer inputs",
}
_UNPLANNED = frozenset({"fallback", "dropped"})
"""Ways that no plan predicts."""


def describe_run(
    summary: RunSummary,
    *,
    predicted_seconds: float | None,
    predicted_parts: Mapping[str, float],
    problems: Sequence[str],
    switches: Sequence[Switch],
    notes: tuple[str, ...],
) -> Page:
    """Lay out what runs took, part by part, predicted beside measured.

    Parameters
    ----------
    summary : RunSummary
    predicted_seconds : float or None
    predicted_parts : mapping of str to float
    problems : sequence of str
        Why the server was not asked or did not answer, each once.
    switches : sequence of Switch
        Changes of cut.
    notes : tuple of str
    """
    blocks: list[Block] = [Sentence(text=_headline(summary), tone="strong")]
    if summary.median_seconds is not None:
        as_planned = not summary.routes.keys() <= _UNPLANNED
        blocks.append(
            _parts_table(summary, predicted_seconds, predicted_parts)
            if as_planned
            else _parts_table(summary, None, {})
        )
    if set(summary.routes) != {"split"}:
        blocks.append(_counts_table("Ways", summary.routes, _ROUTE_WORDS))
    if len(summary.cuts) > 1:
        blocks.append(_counts_table("Cuts", summary.cuts, {}))
    if switches:
        blocks.append(_switches_table(switches))
    blocks.extend(Sentence(text=problem, tone="warning") for problem in problems)
    return (*blocks, *((Bullets(title="Notes", items=notes),) if notes else ()))


def _headline(summary: RunSummary) -> str:
    """Say how long a run takes."""
    if summary.median_seconds is None:
        return "Nothing ran: all inputs were dropped."
    text = f"{word_count(summary.runs, 'run')}, {word_duration(summary.median_seconds)} at the"
    text += f" median, {word_duration(summary.high_seconds or 0.0)} at the 90th percentile"
    if summary.first_seconds is not None:
        text += f"; the first, on a new connection, took {word_duration(summary.first_seconds)}"
    period = summary.period_seconds or 0.0
    return f"{text}. A result came every {word_duration(period)}."


def _parts_table(
    summary: RunSummary, predicted_seconds: float | None, predicted: Mapping[str, float]
) -> Table:
    """List the parts, predicted beside measured."""
    rows = [
        (
            _PART_WORDS[name],
            word_duration(summary.part_seconds[name]),
            word_duration(predicted[name]) if name in predicted else "-",
        )
        for name in PART_NAMES
    ]
    total = word_duration(summary.median_seconds or 0.0)
    expected = "-" if predicted_seconds is None else word_duration(predicted_seconds)
    sent, received = word_bytes(summary.sent_bytes), word_bytes(summary.received_bytes)
    return Table(
        title=f"Medians; {sent} up and {received} down",
        columns=(
            Column(title="part"),
            Column(title="measured", alignment="right"),
            Column(title="predicted", alignment="right"),
        ),
        rows=(*rows, ("total", total, expected)),
    )


def _switches_table(switches: Sequence[Switch]) -> Table:
    """List when which cut took over."""
    return Table(
        title="Switches",
        columns=(
            Column(title="after", alignment="right"),
            Column(title="to"),
            Column(title="because"),
        ),
        rows=tuple((word_duration(s.at_seconds), s.cut, s.reason) for s in switches),
    )


def _counts_table(title: str, counts: Mapping[str, int], words: Mapping[str, str]) -> Table:
    """List how many runs there were of each kind."""
    return Table(
        title=title,
        columns=(Column(title="runs", alignment="right"), Column(title="which")),
        rows=tuple((str(count), words.get(name, name)) for name, count in counts.items()),
    )
