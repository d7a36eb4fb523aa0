"""Trainings as pages: what was learnt, what it took, and where it is."""

from collections.abc import Mapping

from onnxsplit.reporting.page import Alignment, Block, Bullets, Column, Page, Sentence, Table
from onnxsplit.reporting.wording import printable, word_bytes, word_count, word_duration
from onnxsplit.training.results import EpochFigures, TrainingResult
from onnxsplit.training.scores import Score

_RIGHT: Alignment = "right"


def describe_training(result: TrainingResult) -> Page:
    """Lay out a training."""
    notes = (Bullets(title="Notes", items=result.notes),) if result.notes else ()
    return (
        Sentence(text=_word_end(result), tone="strong"),
        *_list_epochs(result.epochs),
        *_list_parts(result.predicted, result.measured),
        Sentence(text=_word_traffic(result), tone="quiet"),
        *_list_files(result),
        *notes,
    )


def _word_end(result: TrainingResult) -> str:
    """Say how the training ended."""
    done = f"Trained for {word_count(result.steps, 'step')}"
    if not result.epochs:
        return f"{done} before; there was nothing left to do."
    last = result.epochs[-1]
    held = "" if last.evaluation is None else f"; evaluation: {_word_score(last.evaluation)}"
    return f"{done}: {_word_score(last.score)} in the last epoch{held}."


def _word_score(score: Score) -> str:
    """Write a loss and, where there is one, an accuracy."""
    accuracy = "" if score.accuracy is None else f", accuracy {100 * score.accuracy:.2f} %"
    return f"loss {score.loss:.5g}{accuracy}"


def _list_epochs(epochs: tuple[EpochFigures, ...]) -> tuple[Table, ...]:
    """List what each epoch came to."""
    if not epochs:
        return ()
    rows = tuple(
        (
            str(epoch.epoch),
            str(epoch.steps),
            f"{epoch.score.loss:.5g}",
            _word_accuracy(epoch.score),
            "-" if epoch.evaluation is None else f"{epoch.evaluation.loss:.5g}",
            "-" if epoch.evaluation is None else _word_accuracy(epoch.evaluation),
            f"{epoch.learning_rate:.3g}",
            word_duration(epoch.seconds.get("total", 0.0)),
        )
        for epoch in epochs
    )
    titles = ("epoch", "steps", "loss", "accuracy", "eval. loss", "eval. accuracy", "rate", "time")
    return (
        Table(
            title="Epochs",
            columns=tuple(Column(title=title, alignment=_RIGHT) for title in titles),
            rows=rows,
        ),
    )


def _word_accuracy(score: Score) -> str:
    """Write an accuracy."""
    return "-" if score.accuracy is None else f"{100 * score.accuracy:.2f} %"


def _list_parts(predicted: Mapping[str, float], measured: Mapping[str, float]) -> tuple[Table, ...]:
    """Lay out what a step took beside what the plan says."""
    if not measured:
        return ()
    kinds = list(dict.fromkeys((*measured, *predicted)))
    rows = tuple(
        (
            kind.replace("_", " "),
            word_duration(predicted[kind]) if kind in predicted else "-",
            word_duration(measured[kind]) if kind in measured else "-",
        )
        for kind in kinds
    )
    return (
        Table(
            title="A step: as planned for the plan's machines and link, and as run here",
            columns=(
                Column(title="part"),
                Column(title="planned", alignment=_RIGHT),
                Column(title="measured", alignment=_RIGHT),
            ),
            rows=rows,
        ),
    )


def _word_traffic(result: TrainingResult) -> str:
    """Say what a step sends and keeps."""
    return (
        f"A step sends {word_bytes(result.sent_bytes)} up and {word_bytes(result.received_bytes)}"
        f" down; {word_bytes(result.saved_bytes)} wait on the device for the way back."
    )


def _list_files(result: TrainingResult) -> tuple[Block, ...]:
    """Say what was written."""
    if result.output is None:
        return ()
    equal = "its halves equal it" if result.parity is not None else "its halves were not checked"
    lines = [
        f"{printable(result.output)}: the trained halves, and the whole as model.onnx; {equal}."
    ]
    if result.checkpoint is not None:
        lines.append(f"{printable(result.checkpoint)}: the checkpoint, to go on with --resume.")
    return (Bullets(title="Wrote", items=tuple(lines)),)
