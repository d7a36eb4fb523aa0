"""Stage times as pages."""

from pathlib import Path

from onnxsplit.evidence import StageTiming, StageTimings
from onnxsplit.reporting.page import Block, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import word_duration, word_names


def describe_timings(timings: StageTimings, *, folder: Path, output: Path | None) -> Page:
    """Lay out what each stage of a bundle took."""
    written: tuple[Block, ...] = (Sentence(text=f"Wrote {output}."),) if output else ()
    use = (Sentence(text=f"Give it to `cut` by --stage-times {output}."),)
    return (
        Sentence(text=_word_stages(timings, folder), tone="strong"),
        *written,
        Table(
            title="Stages",
            columns=(
                Column(title="tier"),
                Column(title="operators", alignment="right"),
                Column(title="time", alignment="right"),
                Column(title="runs", alignment="right"),
                Column(title="95 % interval", alignment="right"),
            ),
            rows=tuple(
                (
                    timing.tier,
                    str(timing.operators),
                    word_duration(timing.seconds),
                    str(timing.runs),
                    _word_interval(timing),
                )
                for timing in timings.timings
            ),
        ),
        *(use if output else ()),
    )


def _word_stages(timings: StageTimings, folder: Path) -> str:
    """Say what was timed."""
    tiers = " and ".join(
        f"the {timing.tier}'s stage takes {word_duration(timing.seconds)}"
        for timing in timings.timings
    )
    crossings = timings.timings[0].crossings if timings.timings else ()
    where = f" (cut at {word_names(crossings)})" if crossings else ""
    return f"Of {folder.name}{where} {tiers} on this machine."


def _word_interval(timing: StageTiming) -> str:
    """Write how sure the time is."""
    interval = timing.interval_relative
    return "-" if interval is None else f"within {100 * interval:.1f} %"
