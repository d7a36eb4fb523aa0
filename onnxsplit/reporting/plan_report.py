"""Plans as pages and documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from onnxsplit.placement import (
    Certificate,
    CostPart,
    Crossing,
    MeasuredCandidate,
    PartKind,
    Plan,
)
from onnxsplit.reporting.outlook_report import outlook_blocks
from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import (
    word_bytes,
    word_count,
    word_duration,
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
        *outlook_blocks(plan),
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
    """Lay out what crosses, the parts of the time, and the other ways to place the model."""
    travelling = (*plan.crossings, *plan.downloads)
    crossings = (_crossings_table(travelling),) if travelling else ()
    measured = (_measured_table(plan.measured),) if plan.measured else ()
    return (*crossings, _parts_table(plan), *measured, _comparison_table(plan))


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
    return (
        f"Solved {statistics.vertices} vertices and {statistics.arcs} arcs"
        f" in {word_duration(statistics.seconds)} ({word_count(statistics.solves, 'solve')})."
    )


def _word_placement(plan: Plan) -> str:
    """Say who runs what."""
    placement = plan.placement
    used = [tier for tier in placement.tiers if placement.operators(tier)]
    if len(used) == 1:
        count = word_count(len(placement.operators(used[0])), "operator")
        return f"Not split: the {used[0]} runs all {count}."
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
    others = [
        f"{word_ratio(total, seconds)} than {name}"
        if word_ratio(total, seconds) != "as fast"
        else f"as fast as {name}"
        for name, seconds in plan.baselines.items()
        if name.startswith("all-") and name != plan.placement.verdict
    ]
    compared = f": {', '.join(others)}" if others else ""
    return f"Predicted {_word_measure(plan)} {word_duration(total)}{compared}."


_MEASURES = {"training": "delay of an epoch"}


def _word_measure(plan: Plan) -> str:
    """Name what the predicted time is the time of."""
    return _MEASURES.get(plan.objective, "latency")


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
        title=f"Predicted {_word_measure(plan)}",
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


_BASELINES = {
    "chain": "chain: best prefix of the order",
    "qdmp": "qdmp: cut vertices alone",
    "dads": "dads, as published",
}


def _comparison_table(plan: Plan) -> Table:
    """Put the plan beside the baselines and the alternatives."""
    total = plan.predicted.total_seconds
    rows = [(f"this ({plan.placement.verdict})", *_sends(plan.crossings), word_duration(total), "")]
    rows.extend(
        (
            _BASELINES.get(name, name),
            "",
            "",
            word_duration(seconds),
            word_ratio(seconds, total),
        )
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
            Column(title="time" if plan.objective in _MEASURES else "latency", alignment="right"),
            Column(title="compared"),
        ),
        rows=tuple(rows),
    )


def _measured_table(measured: Sequence[MeasuredCandidate]) -> Table:
    """Put what each candidate's stages took beside what they were predicted to take."""
    tiers = list(dict.fromkeys(stage.tier for entry in measured for stage in entry.stages))
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
                _sends(candidate.crossings)[0] or candidate.placement.verdict,
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


def _sends(crossings: tuple[Crossing, ...]) -> tuple[str, str]:
    """Say which tensors cross and how many bytes they are."""
    if not crossings:
        return ("", "")
    first, *others = [crossing.tensor for crossing in crossings]
    names = f"{first} and {len(others)} more" if others else first
    return (names, word_bytes(sum(crossing.size_bytes for crossing in crossings)))
