"""Plans as pages and documents."""

from collections.abc import Mapping
from typing import Any

from onnxsplit.planned import Plan
from onnxsplit.prediction import CostPart, PartKind
from onnxsplit.reporting.candidates_report import measured_table
from onnxsplit.reporting.comparison_report import comparison_table, word_comparison
from onnxsplit.reporting.crossings_report import boundary_blocks, crossings_table
from onnxsplit.reporting.data_report import data_blocks
from onnxsplit.reporting.mix_report import mix_blocks
from onnxsplit.reporting.outlook_report import outlook_blocks
from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import (
    word_count,
    word_duration,
    word_energy,
    word_names,
    word_share,
)


def describe_plan(plan: Plan) -> Page:
    """Lay out a plan: what is best, what crosses, what it costs, and what was assumed."""
    return (
        *headline(plan),
        *cost_blocks(plan),
        *mix_blocks(plan.mix, plan.predicted.total_seconds),
        *data_blocks(plan.data),
        *outlook_blocks(plan),
        Sentence(
            text=word_certificate(plan),
            tone="quiet",
        ),
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
        Sentence(text=word_comparison(plan)),
        *((Sentence(text=plan.reason),) if plan.reason else ()),
    )


def cost_blocks(plan: Plan) -> tuple[Block, ...]:
    """Lay out what crosses, the parts of the time, and the other ways to place the model."""
    travelling = (*plan.crossings, *plan.downloads)
    crossings = (crossings_table(travelling),) if travelling else ()
    parts = (_parts_table(plan),) if plan.predicted.parts else ()
    measured = (measured_table(plan.measured),) if plan.measured else ()
    return (
        *crossings,
        *boundary_blocks(plan),
        *parts,
        *measured,
        comparison_table(plan),
    )


def assumption_blocks(plan: Plan) -> tuple[Block, ...]:
    """List everything in the numbers that nobody measured."""
    if not plan.assumptions:
        return ()
    return (Bullets(title="Assumptions", items=plan.assumptions),)


def word_certificate(plan: Plan) -> str:
    """Say what was proved, in seconds or in joules."""
    certificate = plan.certificate
    over = certificate.restriction or "all placements"
    word = word_energy if plan.objective == "energy" else word_duration
    bound = word(certificate.rounding_bound_seconds)
    if certificate.method != "minimum cut":
        if certificate.gap_seconds:
            gap = word(certificate.gap_seconds)
            return f"At most {gap} above the best of {over}, by {certificate.method}."
        if certificate.method == "enumeration":
            return f"Proven best of {over}: every one was priced."
        return f"Best of {over}, by {certificate.method} (tolerance: {bound} at most)."
    return (
        f"Proven best of {over}: minimum cut = maximum flow = {certificate.cut_ticks} ticks"
        f" (rounding: {bound} at most)."
    )


def word_statistics(plan: Plan) -> str:
    """Say how large the solved problem was and how long it took."""
    statistics = plan.statistics
    if not statistics.solves:
        return "No minimum cut was solved."
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


def _parts_table(plan: Plan) -> Table:
    """List what the predicted time is made of."""
    total = plan.predicted.total_seconds
    return Table(
        title="Predicted delay of an epoch"
        if plan.objective == "training"
        else "Predicted latency",
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


_PART_WORDS: Mapping[PartKind, str] = {
    "compute": "compute on {tier}",
    "boundary": "what the cut adds on {tier}",
    "upload": "upload to {far}",
    "download": "download to {near}",
    "round_trip": "round trip to {far}",
    "device_forward": "forward on {tier}",
    "activation_upload": "activations to {far}",
    "server": "forward and backward on {tier}",
    "gradient_download": "gradients to {near}",
    "device_backward": "backward on {tier}",
    "label_transfer": "labels to the loss",
    "model_download": "model to {near}",
    "model_upload": "model to {far}",
}


def _word_part(part: CostPart) -> str:
    """Name one part of the predicted time; a link is called by its two tiers."""
    near, _, far = part.where.partition("->")
    return _PART_WORDS[part.kind].format(tier=part.where, near=near, far=far)
