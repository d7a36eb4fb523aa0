"""Plans as pages and documents."""

from typing import Any

from onnxsplit.placement import Certificate, CostPart, Crossing, Plan
from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import (
    word_bytes,
    word_count,
    word_duration,
    word_name,
    word_names,
    word_ratio,
    word_shape,
    word_share,
)


def describe_plan(plan: Plan) -> Page:
    """Lay out a plan: what is best, what crosses, what it costs, and what was assumed."""
    return (
        *headline(plan),
        *cost_blocks(plan),
        Sentence(text=word_certificate(plan.certificate), tone="quiet"),
        Sentence(text=word_statistics(plan), tone="quiet"),
        *assumption_blocks(plan),
    )


def plan_document(plan: Plan, *, timings: bool) -> dict[str, Any]:
    """Return the plan's JSON, with the solver's sizes and time if they are asked for."""
    document = plan.to_json()
    if timings:
        statistics = plan.statistics
        document["timings"] = {
            "vertices": statistics.vertices,
            "arcs": statistics.arcs,
            "solves": statistics.solves,
            "solver_seconds": statistics.seconds,
        }
    return document


def headline(plan: Plan) -> tuple[Block, ...]:
    """Say what needs saying first, then who runs what and how it compares."""
    notes = tuple(Sentence(text=note, tone="warning") for note in plan.notes)
    return (
        *notes,
        Sentence(text=_word_placement(plan), tone="strong"),
        Sentence(text=_word_comparison(plan)),
        *((Sentence(text=plan.reason),) if plan.reason else ()),
    )


def cost_blocks(plan: Plan) -> tuple[Block, ...]:
    """Lay out what crosses, the parts of the latency, and the other ways to place the model."""
    travelling = (*plan.crossings, *plan.downloads)
    crossings = (_crossings_table(travelling),) if travelling else ()
    parts = (_parts_table(plan),) if plan.predicted.parts else ()
    return (*crossings, *parts, _comparison_table(plan))


def assumption_blocks(plan: Plan) -> tuple[Block, ...]:
    """List everything in the numbers that nobody measured."""
    if not plan.assumptions:
        return ()
    return (Bullets(title="Assumptions", items=plan.assumptions),)


def word_certificate(certificate: Certificate) -> str:
    """Say what was proved."""
    over = certificate.restriction or "all placements"
    if certificate.cut_ticks != certificate.flow_ticks:
        excess = (certificate.cut_ticks - certificate.flow_ticks) * certificate.tick_seconds
        return f"At most {word_duration(excess)} above the best of {over}."
    bound = word_duration(certificate.rounding_bound_seconds)
    return (
        f"Proven best of {over}: minimum cut = maximum flow = {certificate.cut_ticks} ticks"
        f" (rounding: {bound} at most)."
    )


def word_statistics(plan: Plan) -> str:
    """Say how large the solved problem was and how long it took."""
    statistics = plan.statistics
    sizes = (
        word_count(statistics.vertices, "vertex", "vertices"),
        word_count(statistics.arcs, "arc"),
    )
    solves = word_count(statistics.solves, "solve")
    return f"Solved {' and '.join(sizes)} in {word_duration(statistics.seconds)} ({solves})."


def _word_placement(plan: Plan) -> str:
    """Say who runs what."""
    placement = plan.placement
    used = [tier for tier in placement.tiers if placement.operators(tier)]
    if not used:
        return "Nothing to place: every output of the model is made of constants alone."
    if len(used) == 1:
        count = word_count(len(placement.operators(used[0])), "operator")
        return f"Not split: the {used[0]} runs everything ({count})."
    first, *others = used
    parts = [_word_first(placement.operators(first), tier=first)]
    parts.extend(_word_next(placement.operators(tier), tier=tier) for tier in others)
    return f"Split: {'; '.join(parts)}."


def _word_first(names: tuple[str, ...], *, tier: str) -> str:
    """Say what the first tier runs."""
    return f"the {tier} runs {word_count(len(names), 'operator')}, up to {word_names(names[-1:])}"


def _word_next(names: tuple[str, ...], *, tier: str) -> str:
    """Say what a further tier runs."""
    return f"the {tier} runs {len(names)}, from {word_names(names[:1])} on"


def _word_comparison(plan: Plan) -> str:
    """Compare the plan with the baselines, in a sentence."""
    total = plan.predicted.total_seconds
    if not total:
        return "Predicted latency 0 s."
    others = [
        f"{word_ratio(total, seconds)} than {name}"
        if word_ratio(total, seconds) != "as fast"
        else f"as fast as {name}"
        for name, seconds in plan.baselines.items()
        if name != plan.placement.verdict
    ]
    compared = f": {', '.join(others)}" if others else ""
    return f"Predicted latency {word_duration(total)}{compared}."


def _crossings_table(crossings: tuple[Crossing, ...]) -> Table:
    """List the tensors that travel."""
    return Table(
        title="Tensors that travel",
        columns=(
            Column(title="tensor", is_name=True),
            Column(title="way"),
            Column(title="dtype"),
            Column(title="shape"),
            Column(title="bytes", alignment="right"),
        ),
        rows=tuple(
            (
                crossing.tensor,
                f"{crossing.source} -> {crossing.target}",
                crossing.dtype,
                word_shape(crossing.shape),
                word_bytes(crossing.size_bytes),
            )
            for crossing in crossings
        ),
    )


def _parts_table(plan: Plan) -> Table:
    """List what the predicted time is made of."""
    total = plan.predicted.total_seconds
    return Table(
        title="Predicted latency",
        columns=(
            Column(title="part"),
            Column(title="time", alignment="right"),
            Column(title="share", alignment="right"),
            Column(title="evidence"),
        ),
        rows=tuple(
            (
                _word_part(part),
                word_duration(part.seconds),
                word_share(part.seconds, total),
                part.evidence,
            )
            for part in plan.predicted.parts
        ),
        total=("total", word_duration(total), "", ""),
    )


def _word_part(part: CostPart) -> str:
    """Name one part of the predicted time; a link is called by its two tiers."""
    near, _, far = part.where.partition("->")
    match part.kind:
        case "compute":
            return f"compute on {part.where}"
        case "upload":
            return f"upload to {far}"
        case "download":
            return f"download to {near}"
        case "round_trip":
            return f"round trip to {far}"


def _comparison_table(plan: Plan) -> Table:
    """Put the plan beside the baselines and the alternatives."""
    total = plan.predicted.total_seconds
    rows = [(f"this ({plan.placement.verdict})", *_sends(plan.crossings), word_duration(total), "")]
    rows.extend(
        (name, "", "", word_duration(seconds), word_ratio(seconds, total))
        for name, seconds in plan.baselines.items()
        if name != plan.placement.verdict
    )
    rows.extend(
        (
            alternative.reason,
            *_sends(alternative.crossings),
            word_duration(alternative.prediction.total_seconds),
            word_ratio(alternative.prediction.total_seconds, total),
        )
        for alternative in plan.alternatives
    )
    return Table(
        title="Compared with",
        columns=(
            Column(title="placement"),
            Column(title="cut at", is_name=True),
            Column(title="sends", alignment="right"),
            Column(title="latency", alignment="right"),
            Column(title="compared"),
        ),
        rows=tuple(rows),
    )


def _sends(crossings: tuple[Crossing, ...]) -> tuple[str, str]:
    """Say which tensors cross and how many bytes they are."""
    if not crossings:
        return ("", "")
    first, *others = [crossing.tensor for crossing in crossings]
    shown = word_name(first)
    names = f"{shown} and {len(others)} more" if others else shown
    return (names, word_bytes(sum(crossing.size_bytes for crossing in crossings)))
