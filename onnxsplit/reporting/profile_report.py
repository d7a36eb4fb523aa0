"""Profiles as pages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxsplit.profiles import Profile
from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import (
    word_bytes,
    word_count,
    word_duration,
    word_names,
    word_share,
)

TOP = 10
"""Groups that the page lists; the file holds all."""


def describe_profile(profile: Profile, *, model: Path, output: Path | None) -> Page:
    """Lay out what a model costs: the whole, the dearest operators, and how it was measured."""
    written: tuple[Block, ...] = (Sentence(text=f"Wrote {output}."),) if output else ()
    return (
        *_warnings(profile),
        Sentence(text=_word_whole(profile, model), tone="strong"),
        *written,
        *(_pass_tables(profile) if _is_training(profile) else _groups_tables(profile)),
        *_measured_tables(profile),
        *_assumptions(profile),
    )


def _word_whole(profile: Profile, model: Path) -> str:
    """Say what the whole model takes."""
    operators = sum(len(group.operators) for group in profile.groups)
    fused = (
        f", {word_count(len(profile.groups), 'kernel')}" if len(profile.groups) != operators else ""
    )
    back = sum(group.backward_seconds or 0.0 for group in profile.groups)
    both = f" forward in training, and {word_duration(back)} backward," if back else ""
    return (
        f"{model.name} takes {word_duration(profile.total_seconds)}{both} on the {profile.tier}"
        f" ({word_count(operators, 'operator')}{fused})."
    )


def _is_training(profile: Profile) -> bool:
    """Tell whether a profile has the way back as well."""
    return any(group.backward_seconds for group in profile.groups)


def _warnings(profile: Profile) -> tuple[Sentence, ...]:
    """Say first what ran elsewhere than it should, or was not timed."""
    wanted = profile.environment.get("provider", "the provider that was asked for")
    fell_back, untimed = profile.extra.get("fell_back", ()), profile.extra.get("untimed", ())
    texts = []
    if fell_back:
        texts.append(
            f"{word_count(len(fell_back), 'operator')} did not run on {wanted}:"
            f" {word_names(fell_back)}."
        )
    if untimed:
        texts.append(
            f"{word_count(len(untimed), 'operator')} left no time of their own and count as free:"
            f" {word_names(untimed)}."
        )
    limit, need = (profile.extra.get(f"{key}_bytes") for key in ("memory_limit", "whole_peak"))
    if limit is not None and need is not None and need > limit:
        texts.append(
            f"The whole model needs {word_bytes(need)} for weights and values, more than the"
            f" {word_bytes(limit)} that there are: it can't run on the {profile.tier} alone."
        )
    return tuple(Sentence(text=text, tone="warning") for text in texts)


def _groups_tables(profile: Profile) -> tuple[Table, ...]:
    """List the dearest groups."""
    if not profile.groups:
        return ()
    whole = profile.total_seconds
    ordered = sorted(profile.groups, key=lambda group: -group.seconds)
    dearest, rest = ordered[:TOP], ordered[TOP:]
    rows = [
        (
            group.operators[0],
            str(len(group.operators)),
            word_duration(group.seconds),
            word_share(group.seconds, whole),
        )
        for group in dearest
    ]
    if rest:
        seconds = sum(group.seconds for group in rest)
        count = sum(len(group.operators) for group in rest)
        rows.append(("all others", str(count), word_duration(seconds), word_share(seconds, whole)))
    return (
        Table(
            title="Where the time goes",
            columns=(
                Column(title="operator", is_name=True),
                Column(title="operators", alignment="right"),
                Column(title="time", alignment="right"),
                Column(title="share", alignment="right"),
            ),
            rows=tuple(rows),
            total=("whole model", "", word_duration(whole), ""),
        ),
    )


def _pass_tables(profile: Profile) -> tuple[Table, ...]:
    """List the groups that are dearest both ways."""
    both = {
        group.operators: group.seconds + (group.backward_seconds or 0.0) for group in profile.groups
    }
    whole = sum(both.values())
    ordered = sorted(profile.groups, key=lambda group: -both[group.operators])
    rows = tuple(
        (
            group.operators[0],
            str(len(group.operators)),
            word_duration(group.seconds),
            word_duration(group.backward_seconds or 0.0),
            word_share(both[group.operators], whole),
        )
        for group in ordered[:TOP]
    )
    return (
        Table(
            title="Where the time of a training step goes",
            columns=(
                Column(title="operator", is_name=True),
                Column(title="operators", alignment="right"),
                Column(title="forward", alignment="right"),
                Column(title="backward", alignment="right"),
                Column(title="share", alignment="right"),
            ),
            rows=rows,
        ),
    )


def _measured_tables(profile: Profile) -> tuple[Table, ...]:
    """List how and where it was measured."""
    rows = [*_method_rows(profile), *_environment_rows(profile)]
    if not rows:
        return ()
    columns = (Column(title="what"), Column(title="value", is_name=True))
    return (Table(title="How it was measured", columns=columns, rows=tuple(rows)),)


def _method_rows(profile: Profile) -> list[tuple[str, str]]:
    """List the method, the runs and the providers, as far as the profile tells."""
    extra = profile.extra
    rows: list[tuple[str, str]] = [("evidence", profile.evidence)]
    if "method" in extra:
        rows.append(("method", str(extra["method"])))
    if "runs" in extra:
        interval = extra.get("interval_relative")
        spread = "" if interval is None else f", 95 % interval within {100 * interval:.1f} %"
        rows.append(("runs", f"{extra['runs']}{spread}"))
    rows += _attribution_rows(extra)
    if profile.run_seconds:
        rows.append(("any run", word_duration(profile.run_seconds)))
    if "memory" in extra:
        rows.append(("peak memory", _word_memory(extra["memory"])))
    if "idle" in extra:
        rows.append(("after pauses", _word_idle(extra["idle"])))
    for place, segment in enumerate(extra.get("segments", ()), start=1):
        rows.append((f"segment {place}", _word_segment(segment)))
    for provider, names in extra.get("placement_by_provider", {}).items():
        rows.append(("ran on", f"{provider}: {word_count(len(names), 'operator')}"))
    return rows


def _attribution_rows(extra: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List how well the kernels' times add up, and where they belong."""
    rows = []
    if extra.get("disagreement"):
        rows.append(("sum of kernels", f"{100 * extra['disagreement']:.1f} % off the whole"))
    if "attributed_share" in extra:
        rows.append(("attributed", word_share(extra["attributed_share"], 1.0)))
    if "layout_seconds" in extra:
        rows.append(("layout work", word_duration(extra["layout_seconds"])))
    return rows


def _word_memory(memory: Mapping[str, Any]) -> str:
    """Say what a run holds."""
    values, weights = memory["peak_bytes"], memory["weight_bytes"]
    return f"{word_bytes(values)} between operators, {word_bytes(weights)} of weights"


def _word_idle(idle: Mapping[str, Any]) -> str:
    """Say what pauses cost."""
    return (
        f"{word_duration(idle['seconds'])} after {word_duration(idle['gap_seconds'])} of idling,"
        f" {word_duration(idle['back_to_back_seconds'])} back to back"
    )


def _word_segment(segment: Mapping[str, Any]) -> str:
    """Write one segment on one line."""
    resident = segment.get("resident_bytes")
    held = "" if resident is None else f", {word_bytes(resident)} resident"
    return (
        f"{word_count(segment['operators'], 'operator')} from {segment['first']} to"
        f" {segment['last']}: {word_duration(segment['seconds'])},"
        f" {word_bytes(segment['weight_bytes'])} of weights{held}"
    )


def _environment_rows(profile: Profile) -> list[tuple[str, str]]:
    """List the environment, without what is empty."""
    rows = [(key, _word(value)) for key, value in profile.environment.items()]
    return [(key, text) for key, text in rows if text]


def _word(value: Any) -> str:  # noqa: ANN401 - JSON can be anything
    """Write a value of the environment on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_word(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value))
    return str(value)


def _assumptions(profile: Profile) -> tuple[Bullets, ...]:
    """List what was assumed."""
    if not profile.assumptions:
        return ()
    return (Bullets(title="Assumptions", items=profile.assumptions),)
