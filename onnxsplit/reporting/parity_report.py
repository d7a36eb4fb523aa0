"""Parity results as pages."""

from onnxsplit.evidence import OutputParity, ParityResult
from onnxsplit.reporting.page import Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import word_count, word_names


def describe_parity(result: ParityResult) -> Page:
    """Lay out how the stages compare with the whole, output by output."""
    notes = (Bullets(title="Notes", items=result.notes),) if result.notes else ()
    return (summarise_parity(result), _outputs_table(result), *_problems(result), *notes)


def summarise_parity(result: ParityResult) -> Sentence:
    """Say in a sentence whether the stages equal the whole."""
    how = f"{word_count(result.batches, 'batch').replace('batchs', 'batches')}, {result.source}"
    if not result.passed:
        failed = [output.output for output in result.outputs if not output.passed]
        share = f"{len(failed)} of {word_count(len(result.outputs), 'output')}"
        return Sentence(
            text=f"Parity failed for {share}: {word_names(failed)} ({how}).", tone="bad"
        )
    if result.max_drift is not None:
        return Sentence(
            text=f"Parity: the stages stay within the drift budget, {result.max_drift:g} of the"
            f" largest value ({how}); crossings travel narrower, so equality is not claimed.",
            tone="good",
        )
    return Sentence(
        text=f"Parity: the stages equal the whole model, {_evidence(result)} ({how}).", tone="good"
    )


def _evidence(result: ParityResult) -> str:
    """Say how equal they are."""
    values = [output for output in result.outputs if output.comparison == "values"]
    if not values:
        return "by the shapes of their outputs, for random operators make values incomparable"
    worst = max(output.max_relative for output in values)
    is_exact = all(output.bit_equal for output in values)
    exact = "bit for bit with optimisations off" if is_exact else "not bit for bit"
    if worst == 0:
        return f"{exact}, and exactly with them on" if is_exact else exact
    return f"{exact}, and within {worst:.2g} of the values with them on"


def _outputs_table(result: ParityResult) -> Table:
    """List every output with its differences."""
    return Table(
        title="Outputs",
        columns=(
            Column(title="output", is_name=True),
            Column(title="dtype"),
            Column(title="compared"),
            Column(title="bit-equal"),
            Column(title="largest difference", alignment="right"),
            Column(title="relative", alignment="right"),
            Column(title="tolerance", alignment="right"),
            Column(title="passed"),
        ),
        rows=tuple(_row(output) for output in result.outputs),
    )


def _row(output: OutputParity) -> tuple[str, ...]:
    """Lay out one output."""
    compares_values = output.comparison == "values"
    return (
        output.output,
        output.dtype,
        output.comparison,
        _word(output.bit_equal) if compares_values else "-",
        f"{output.max_absolute:.3g}" if compares_values else "-",
        f"{output.max_relative:.3g}" if compares_values else "-",
        f"{output.tolerance:.3g}" if compares_values else "-",
        _word(output.passed),
    )


def _problems(result: ParityResult) -> tuple[Bullets, ...]:
    """List why outputs did not pass."""
    problems = tuple(
        f"{output.output}: {output.problem}" for output in result.outputs if output.problem
    )
    return (Bullets(title="Problems", items=problems),) if problems else ()


def _word(answer: bool) -> str:  # noqa: FBT001 - the answer is all there is
    """Write yes or no."""
    return "yes" if answer else "no"
