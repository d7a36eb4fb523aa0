"""Candidates that were carved and timed: predicted beside measured."""

from collections.abc import Sequence

from onnxsplit.measured import MeasuredCandidate
from onnxsplit.reporting.crossings_report import word_sent
from onnxsplit.reporting.page import Column, Table
from onnxsplit.reporting.wording import word_duration

_MOST_COLUMNS = 2


def measured_table(measured: Sequence[MeasuredCandidate]) -> Table:
    """Put what each candidate's stages took beside what they were predicted to take."""
    tiers = list(dict.fromkeys(stage.tier for entry in measured for stage in entry.stages))
    if len(tiers) > _MOST_COLUMNS:
        return _measured_list(measured, tiers)
    return Table(
        title="Candidates, predicted -> measured",
        columns=(
            Column(title="cut at", is_name=True),
            *(Column(title=tier, alignment="right") for tier in tiers),
            Column(title="latency", alignment="right"),
            Column(title="off", alignment="right"),
            Column(title=""),
        ),
        rows=tuple(
            (
                word_sent(candidate.crossings)[0] or candidate.placement.verdict,
                *(_word_stage(candidate, tier) for tier in tiers),
                _word_change(
                    candidate.predicted_seconds,
                    candidate.corrected_seconds,
                    candidate.measured_seconds,
                ),
                _word_error(candidate),
                "taken" if candidate.is_chosen else "",
            )
            for candidate in measured
        ),
    )


def _measured_list(measured: Sequence[MeasuredCandidate], tiers: Sequence[str]) -> Table:
    """Put the tiers of a longer chain below each candidate, for beside it there is no room."""
    rows: list[tuple[str, ...]] = []
    for candidate in measured:
        latency = _word_change(
            candidate.predicted_seconds, candidate.corrected_seconds, candidate.measured_seconds
        )
        cut = word_sent(candidate.crossings)[0] or candidate.placement.verdict
        mark = "taken" if candidate.is_chosen else ""
        rows.append((cut, "", latency, _word_error(candidate), mark))
        rows.extend(("", tier, _word_stage(candidate, tier), "", "") for tier in tiers)
    return Table(
        title="Candidates, predicted -> measured",
        columns=(
            Column(title="cut at", is_name=True),
            Column(title="on"),
            Column(title="time", alignment="right"),
            Column(title="off", alignment="right"),
            Column(title=""),
        ),
        rows=tuple(rows),
    )


def _word_stage(candidate: MeasuredCandidate, tier: str) -> str:
    """Write the predicted and the corrected time of a candidate's stage, if it has one there."""
    for stage in candidate.stages:
        if stage.tier == tier:
            return _word_change(
                stage.predicted_seconds, stage.corrected_seconds, stage.measured_seconds
            )
    return ""


def _word_error(candidate: MeasuredCandidate) -> str:
    """Say how far the prediction lies from the corrected time."""
    if not candidate.corrected_seconds:
        return "-"
    error = candidate.predicted_seconds / candidate.corrected_seconds - 1
    return f"{100 * error:+.1f} %"


def _word_change(
    predicted_seconds: float, corrected_seconds: float, measured_seconds: float | None
) -> str:
    """Write a time before and after; ``~`` says that not all of it was measured."""
    mark = "~" if measured_seconds is None else ""
    return f"{word_duration(predicted_seconds)} -> {mark}{word_duration(corrected_seconds)}"
