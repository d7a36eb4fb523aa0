"""A plan beside its baselines and alternatives, as a sentence and as a table."""

from onnxsplit.planned import Plan
from onnxsplit.reporting.crossings_report import word_sent
from onnxsplit.reporting.page import Column, Table
from onnxsplit.reporting.wording import word_duration, word_energy, word_ratio


def word_comparison(plan: Plan) -> str:
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


_MEASURES = {"training": "delay of an epoch", "throughput": "period between results"}


def _word_measure(plan: Plan) -> str:
    """Name what placements are compared by."""
    return _MEASURES.get(plan.objective, "latency")


_TIMES = {"training": "epoch", "throughput": "period"}

_BASELINES = {
    "chain": "chain: best prefix of the order",
    "qdmp": "qdmp: cut vertices alone",
    "dads": "dads, as published",
}


def comparison_table(plan: Plan) -> Table:
    """Put the plan beside the baselines and the alternatives."""
    total = plan.predicted.compared_seconds
    told = [plan.predicted.total_joules]
    rows = [
        (f"this ({plan.placement.verdict})", *word_sent(plan.crossings), word_duration(total), "")
    ]
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
        sends = word_sent(alternative.crossings)
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
