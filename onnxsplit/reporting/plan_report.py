"""Plans as pages and documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from onnxsplit.measured import MeasuredCandidate
from onnxsplit.placement import Crossing
from onnxsplit.planned import Plan
from onnxsplit.prediction import CostPart, PartKind
from onnxsplit.reporting.data_report import data_blocks
from onnxsplit.reporting.mix_report import mix_blocks
from onnxsplit.reporting.outlook_report import outlook_blocks
from onnxsplit.reporting.page import Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import (
    word_bytes,
    word_count,
    word_duration,
    word_energy,
    word_name,
    word_names,
    word_ratio,
    word_shape,
    word_share,
)

_MOST_COLUMNS = 2


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
        Sentence(text=_word_comparison(plan)),
        *((Sentence(text=plan.reason),) if plan.reason else ()),
    )


def cost_blocks(plan: Plan) -> tuple[Block, ...]:
    """Lay out what crosses, the parts of the time, and the other ways to place the model."""
    travelling = (*plan.crossings, *plan.downloads)
    crossings = (_crossings_table(travelling),) if travelling else ()
    parts = (_parts_table(plan),) if plan.predicted.parts else ()
    measured = (_measured_table(plan.measured),) if plan.measured else ()
    return (
        *crossings,
        *_boundary_blocks(plan),
        *parts,
        *measured,
        _comparison_table(plan),
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


def _word_comparison(plan: Plan) -> str:
    """Compare the plan with the baselines, in a sentence."""
    total = plan.predicted.compared_seconds
    if not total:
        return f"Predicted {_word_measure(plan)} 0 s.{_word_joules(plan)}"
    others = [
        f"{word_ratio(total, seconds)} than {name}"
        if word_ratio(total, seconds) != "as fast"
        else f"as fast as {name}"
        for name, seconds in plan.baselines.items()
        if name.startswith("all-") and name != plan.placement.verdict
    ]
    compared = f": {', '.join(others)}" if others else ""
    return f"Predicted {_word_measure(plan)} {word_duration(total)}{compared}.{_word_joules(plan)}"


def _word_joules(plan: Plan) -> str:
    """Say what the plan draws beside the baselines; nothing where no power is known."""
    joules = plan.predicted.total_joules
    if joules is None:
        return ""
    others = [
        f"{word_energy(drawn)} for {name}"
        for name, drawn in plan.baseline_joules.items()
        if name.startswith("all-") and name != plan.placement.verdict
    ]
    compared = f" ({', '.join(others)})" if others else ""
    return f" Predicted energy {word_energy(joules)}{compared}."


_TOTALS = {"training": "delay of an epoch"}
_MEASURES = {**_TOTALS, "throughput": "period between results"}


def _word_measure(plan: Plan) -> str:
    """Name what placements are compared by."""
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
                _word_wire(crossing),
                word_shape(crossing.shape),
                word_bytes(crossing.size_bytes),
            )
            for crossing in crossings
        ),
    )


def _word_wire(crossing: Crossing) -> str:
    """Name a crossing's element type, and how it travels where that differs."""
    return crossing.dtype if crossing.wire is None else f"{crossing.dtype} ({crossing.wire})"


def _boundary_blocks(plan: Plan) -> tuple[Block, ...]:
    """Say what narrower crossings do to the outputs, and what was forbidden for it."""
    boundary = plan.boundary
    if boundary is None:
        return ()
    rounds = word_count(boundary.rounds, "round")
    if not boundary.wires:
        text = f"No crossing travels narrower (boundary {boundary.asked}, {rounds})."
    else:
        text = (
            f"Narrower crossings let outputs drift by {boundary.drift:.2g} of their largest value;"
            f" {boundary.max_drift:g} is allowed (boundary {boundary.asked}, {rounds})."
        )
    forbidden = tuple(
        f"{pair.tensor} as {pair.wire} drifts by {pair.drift:.2g}" for pair in boundary.forbidden
    )
    bullets = (Bullets(title="Forbidden at the boundary", items=forbidden),) if forbidden else ()
    return (Sentence(text=text), *bullets)


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


_TIMES = {"training": "epoch", "throughput": "period"}

_BASELINES = {
    "chain": "chain: best prefix of the order",
    "qdmp": "qdmp: cut vertices alone",
    "dads": "dads, as published",
}


def _comparison_table(plan: Plan) -> Table:
    """Put the plan beside the baselines and the alternatives."""
    total = plan.predicted.compared_seconds
    told = [plan.predicted.total_joules]
    rows = [(f"this ({plan.placement.verdict})", *_sends(plan.crossings), word_duration(total), "")]
    for name, seconds in plan.baselines.items():
        if name != plan.placement.verdict:
            rows.append(
                (
                    _BASELINES.get(name, name),
                    "",
                    "",
                    word_duration(seconds),
                    word_ratio(seconds, total),
                )
            )
            told.append(plan.baseline_joules.get(name))
    for alternative in plan.alternatives:
        seconds = alternative.prediction.compared_seconds
        sends = _sends(alternative.crossings)
        ratio = word_ratio(seconds, total)
        rows.append((alternative.reason, *sends, word_duration(seconds), ratio))
        told.append(alternative.prediction.total_joules)
    energy = () if told[0] is None else (Column(title="energy", alignment="right"),)
    return Table(
        title="Compared with",
        columns=(
            Column(title="placement"),
            Column(title="cut at", is_name=True),
            Column(title="sends", alignment="right"),
            Column(title=_TIMES.get(plan.objective, "latency"), alignment="right"),
            Column(title="compared"),
            *energy,
        ),
        rows=tuple(
            (*row, *(["" if joules is None else word_energy(joules)] if energy else []))
            for row, joules in zip(rows, told, strict=True)
        ),
    )


def _measured_table(measured: Sequence[MeasuredCandidate]) -> Table:
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


def _measured_list(measured: Sequence[MeasuredCandidate], tiers: Sequence[str]) -> Table:
    """Put the tiers of a longer chain below each candidate, for beside it there is no room."""
    rows: list[tuple[str, ...]] = []
    for candidate in measured:
        latency = _word_change(
            candidate.predicted_seconds, candidate.corrected_seconds, candidate.measured_seconds
        )
        cut = _sends(candidate.crossings)[0] or candidate.placement.verdict
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


def _sends(crossings: tuple[Crossing, ...]) -> tuple[str, str]:
    """Say which tensors cross and how many bytes they are."""
    if not crossings:
        return ("", "")
    first, *others = [crossing.tensor for crossing in crossings]
    shown = word_name(first)
    names = f"{shown} and {len(others)} more" if others else shown
    return (names, word_bytes(sum(crossing.size_bytes for crossing in crossings)))
