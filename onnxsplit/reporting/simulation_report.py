"""Simulations as pages."""

import math
from collections.abc import Callable

import numpy as np

from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import word_count, word_duration, word_names
from onnxsplit.simulation.results import OURS, Outcome, SimulationResult
from onnxsplit.simulation.statistics import Estimate, estimate
from onnxsplit.units import format_duration, format_rate

_STRETCHES = 8
"""Into how many stretches the course of time is divided."""

_MOST_CUTS = 12
_MOST_COLUMNS = 5


def describe_simulation(result: SimulationResult) -> Page:
    """Lay out a simulation: delays, reductions, what they are made of, and the cuts over time.

    Parameters
    ----------
    result : SimulationResult
    """
    blocks: list[Block] = [
        Sentence(text=_word_outcome(result), tone="strong"),
        Sentence(text=_word_links(result)),
        _list_policies(result),
        *_list_parts(result),
        _list_cuts(result),
        _list_depths(result),
        Sentence(text=_word_decisions(result), tone="quiet"),
    ]
    blocks += [Sentence(text=note, tone="warning") for note in result.notes]
    blocks.append(Bullets(title="Assumptions", items=result.assumptions))
    return tuple(blocks)


def _word_outcome(result: SimulationResult) -> str:
    """Say what was simulated, and how ours does against the best of the others."""
    what = "training" if result.objective == "training" else "inference"
    shape = result.encounters.devices.shape
    ours = result.lead
    sentence = (
        f"{result.scenario}: {what} over {word_count(shape[1], 'epoch')} of"
        f" {word_count(shape[2], 'device')} each, {word_count(shape[0], 'seed')}:"
        f" {ours.name} takes {_word_estimate(estimate(result.time_all(ours)), word_duration)}."
    )
    others = [entry for entry in result.reductions if entry[0] == ours.name]
    rivals = [entry for entry in others if entry[1] not in OURS]
    if not rivals:
        return sentence
    _, best, least = min(rivals, key=lambda entry: entry[2].mean)
    _, worst, most = max(rivals, key=lambda entry: entry[2].mean)
    return (
        f"{sentence} That is {_word_share(least)} less than the best of the others ({best}) and"
        f" {_word_share(most)} less than the worst ({worst})."
    )


def _word_links(result: SimulationResult) -> str:
    """Say what links were met."""
    met = result.encounters
    ways = [
        f"{way} {format_rate(low)} to {format_rate(high)}, median {format_rate(middle)}"
        for way, rates in (("up", met.up_bytes_per_second), ("down", met.down_bytes_per_second))
        for low, middle, high in [np.quantile(rates, (0.05, 0.5, 0.95)).tolist()]
    ]
    return (
        f"Links that were met (from the 5th to the 95th percentile): {'; '.join(ways)};"
        f" {100 * float(met.at_floor.mean()):.3g} % are as slow as a link can get."
    )


def _list_policies(result: SimulationResult) -> Table:
    """List what each policy took, and how far ours is below it."""
    ours = result.lead.name
    below = {other: share for name, other, share in result.reductions if name == ours}
    rows = [
        (
            outcome.name,
            _word_estimate(estimate(result.time_epochs(outcome).mean(axis=1)), word_duration),
            _word_estimate(estimate(result.time_all(outcome)), word_duration),
            _word_share(below[outcome.name]) if outcome.name in below else "-",
        )
        for outcome in result.outcomes
    ]
    columns = (
        Column(title="policy"),
        Column(title="an epoch", alignment="right"),
        Column(title="to the end", alignment="right"),
        Column(title=f"{ours} less by", alignment="right"),
    )
    title = "Delay (mean over seeds, half width of the 95 % interval)"
    return Table(title=title, columns=columns, rows=tuple(rows))


def _list_parts(result: SimulationResult) -> tuple[Table, ...]:
    """List what each policy's delay is made of, a few policies in a table."""
    kinds = dict.fromkeys(kind for outcome in result.outcomes for kind in _join_parts(outcome))
    groups = math.ceil(len(result.outcomes) / _MOST_COLUMNS)
    tables: list[Table] = []
    for places in np.array_split(np.arange(len(result.outcomes)), groups):
        outcomes = [result.outcomes[place] for place in places]
        parts = [_join_parts(outcome) for outcome in outcomes]
        columns = (
            Column(title="part"),
            *(Column(title=outcome.name, alignment="right") for outcome in outcomes),
        )
        rows = tuple((kind, *(_word_part(joined, kind) for joined in parts)) for kind in kinds)
        title = "What the delay is made of, in percent" + (" (continued)" if tables else "")
        tables.append(Table(title=title, columns=columns, rows=rows))
    return tuple(tables)


def _word_part(parts: dict[str, float], kind: str) -> str:
    """Write the share of a part."""
    return f"{100 * parts[kind] / sum(parts.values()):.1f}" if kind in parts else "-"


def _join_parts(outcome: Outcome) -> dict[str, float]:
    """Add up a policy's parts by name; work of one kind is told apart by its tier."""
    joined: dict[str, float] = {}
    for (kind, where), seconds in sorted(outcome.parts.items()):
        name = f"{where} {kind}" if kind in {"compute", "boundary"} else kind
        name = name.replace("_", " ")
        joined[name] = joined.get(name, 0.0) + seconds
    return joined


def _list_cuts(result: SimulationResult) -> Table:
    """List the cuts that ours chose, the most used first."""
    ours = result.lead
    cuts = sorted(ours.cuts, key=lambda cut: -cut.uses)
    rows = [
        (
            cut.kind,
            cut.placement.verdict,
            word_names(list(cut.crossings)) if cut.crossings else "-",
            f"{cut.on_device} of {len(cut.placement.tier_of)}",
            f"{100 * cut.uses / result.decisions:.1f} %",
        )
        for cut in cuts[:_MOST_CUTS]
    ]
    columns = (
        Column(title="device"),
        Column(title="best"),
        Column(title="crosses", is_name=True),
        Column(title="on the device", alignment="right"),
        Column(title="chosen", alignment="right"),
    )
    more = len(cuts) - len(rows)
    title = f"Cuts of {ours.name}" + (f" (the {_MOST_CUTS} most used; {more} more)" if more else "")
    return Table(title=title, columns=columns, rows=tuple(rows))


def _list_depths(result: SimulationResult) -> Table:
    """List how much each policy leaves on the device as time goes by."""
    epochs = result.encounters.devices.shape[1]
    stretches = [part for part in np.array_split(np.arange(epochs), _STRETCHES) if part.size]
    rows = []
    for outcome in result.outcomes:
        depth = outcome.depths.mean(axis=(0, 2))
        rows.append((outcome.name, *(f"{100 * depth[part].mean():.0f}" for part in stretches)))
    columns = (
        Column(title="policy"),
        *(Column(title=f"to {part[-1] + 1}", alignment="right") for part in stretches),
    )
    title = "Operators on the device over the epochs, in percent"
    return Table(title=title, columns=columns, rows=tuple(rows))


def _word_decisions(result: SimulationResult) -> str:
    """Say how long deciding took."""
    spent = ", ".join(
        f"{outcome.name} {format_duration(outcome.decide_seconds / result.decisions)}"
        f" (made ready in {format_duration(outcome.prepare_seconds)})"
        for outcome in result.outcomes
    )
    return f"{word_count(result.decisions, 'decision')} of each policy; one takes: {spent}."


def _word_estimate(found: Estimate, word: Callable[[float], str]) -> str:
    """Write a mean with its interval."""
    if found.half_width is None:
        return word(found.mean)
    return f"{word(found.mean)} +- {word(found.half_width)}"


def _word_share(share: Estimate) -> str:
    """Write a share in percent."""
    if share.half_width is None:
        return f"{100 * share.mean:.2f} %"
    return f"{100 * share.mean:.2f} +- {100 * share.half_width:.2f} %"
