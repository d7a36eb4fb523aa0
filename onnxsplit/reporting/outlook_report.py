"""How firm a plan is, and why its operators are where they are, as blocks of a page."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from onnxsplit.outlook import Explanation, Front, OtherTier, ParameterRange, Successor
from onnxsplit.planned import Plan
from onnxsplit.reporting.page import Block, Bullets, Column, Sentence, Table
from onnxsplit.reporting.wording import (
    word_bytes,
    word_count,
    word_duration,
    word_factor,
    word_names,
)
from onnxsplit.units import format_rate

_PARAMETERS = {
    "up_bytes_per_second": "uplink",
    "down_bytes_per_second": "downlink",
    "round_trip_seconds": "round trip",
    "speed": "speed",
}


def outlook_blocks(plan: Plan) -> tuple[Block, ...]:
    """Lay out what a plan was asked to tell beside its placement."""
    blocks: list[Block] = [_front_table(plan.front)] if plan.front else []
    if plan.moving:
        blocks.append(Sentence(text=_word_move(plan.moving)))
    if plan.sensitivity is not None:
        best = _word_successor(plan.sensitivity.of)
        blocks.append(
            Bullets(
                title=f"Best of all is {best}, and stays so while, all else equal,",
                items=tuple(_word_range(plan, entry) for entry in plan.sensitivity.ranges),
            )
        )
    if plan.explanations:
        blocks.append(Bullets(title="Why operators are where they are", items=_list_reasons(plan)))
    return tuple(blocks)


def _word_move(moving: Mapping[str, Any]) -> str:
    """Say what moving from the earlier placement takes."""
    moved = len(moving["moved"])
    if not moved:
        return "Every operator stays where it was."
    down, up = word_bytes(moving["download_bytes"]), word_bytes(moving["upload_bytes"])
    return (
        f"Moving {word_count(moved, 'operator')} sends {down} of weights to the device and {up} to"
        f" the server, spread over {word_count(moving['runs'], 'run')}."
    )


def _front_table(front: Front) -> Table:
    """List the trade-offs between latency and period."""
    return Table(
        title="Latency against throughput"
        + ("" if front.is_complete else ", as far as was looked for"),
        columns=(
            Column(title="placement", is_name=True),
            Column(title="latency", alignment="right"),
            Column(title="period", alignment="right"),
            Column(title="results a second", alignment="right"),
        ),
        rows=tuple(
            (
                _word_successor(point.placement),
                word_duration(point.latency_seconds),
                word_duration(point.period_seconds),
                f"{1 / point.period_seconds:.3g}" if point.period_seconds else "-",
            )
            for point in front.points
        ),
    )


def word_value(plan: Plan, value: float) -> str:
    """Write an amount in the objective's unit."""
    return f"{value:.3g} J" if plan.objective == "energy" else word_duration(value)


def _word_range(plan: Plan, entry: ParameterRange) -> str:
    """Say how far a figure may move, what is best beyond, and what staying would cost."""
    name = f"the {_PARAMETERS[entry.parameter]} of {entry.where}"
    least, most = (_word_figure(entry, end) for end in (entry.least, entry.most))
    ends = [f"at least {least}"] if entry.below else []
    ends += [f"at most {most}"] if entry.above else []
    now = f"{name} (now {_word_figure(entry, entry.value)}) is"
    if not ends:
        return f"{now} anything"
    beyond = [f"below that {_word_successor(entry.below)}"] if entry.below else []
    beyond += [f"above that {_word_successor(entry.above)}"] if entry.above else []
    regrets = [
        f"{word_value(plan, regret)} at {share} the figure"
        for share, regret in (
            ("half", entry.regret_if_halved_seconds),
            ("twice", entry.regret_if_doubled_seconds),
        )
        if regret
    ]
    staying = f"; staying would cost {' and '.join(regrets)}" if regrets else ""
    return f"{now} {' and '.join(ends)}: {', '.join(beyond)}{staying}"


def _word_figure(entry: ParameterRange, figure: float) -> str:
    """Write a figure in its unit."""
    if not math.isfinite(figure):
        return "unlimited"
    match entry.parameter:
        case "speed":
            return word_factor(figure)
        case "round_trip_seconds":
            return word_duration(figure)
        case _:
            return format_rate(figure)


def _word_successor(successor: Successor) -> str:
    """Call a placement by its verdict, and a split by what crosses."""
    if successor.verdict != "split":
        return successor.verdict
    return f"split at {word_names(successor.crossings, most=1)}"


def _list_reasons(plan: Plan) -> tuple[str, ...]:
    """Say for each operator why it is where it is."""
    return tuple(
        sentence for entry in plan.explanations for sentence in _word_explanation(plan, entry)
    )


def _word_explanation(plan: Plan, entry: Explanation) -> Iterator[str]:
    """Say what each other tier would cost."""
    head = f"{word_names([entry.operator])} is on the {entry.tier}"
    for other in entry.others:
        yield f"{head}: {_word_other(plan, entry, other)}."


def _word_other(plan: Plan, entry: Explanation, other: OtherTier) -> str:
    """Say what an operator on another tier would cost, and what moves with it."""
    if other.difference_seconds is None:
        return f"it can't be on the {other.tier}, because {other.obstacle}"
    difference = other.difference_seconds
    amount = word_value(plan, abs(difference))
    worth = f"{amount} {'less' if difference < 0 else 'more'}" if difference else "no more"
    moved = [name for name in other.moved if name != entry.operator]
    along = f", with {word_count(len(moved), 'other operator')} moved along" if moved else ""
    crossing = (
        f", and crosses at {word_names(other.crossings)} ({word_bytes(other.crossing_bytes)})"
        if other.crossings
        else ", and nothing crosses"
    )
    return f"the best placement with it on the {other.tier} costs {worth}{along}{crossing}"
