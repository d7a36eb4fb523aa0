"""What an epoch of split learning is taken to be, where nobody said or measured it."""

from typing import Any

from onnxsplit.graph import OperatorGraph
from onnxsplit.objectives import TrainingDelay
from onnxsplit.planning.costs.gradients import follow_gradients
from onnxsplit.planning.costs.question import Question
from onnxsplit.units import format_size

BYTES_PER_LABEL = 8
"""An int64 class for each row of the batch, where the labels' size was not given."""


def measure_labels(question: Question, objective: TrainingDelay) -> int:
    """Return the bytes of one batch's labels: as given, else 8 for each row of the batch.

    Parameters
    ----------
    question : Question
    objective : TrainingDelay
    """
    if objective.label_bytes is not None:
        return objective.label_bytes
    return BYTES_PER_LABEL * count_rows(question.graph)


def count_rows(graph: OperatorGraph) -> int:
    """Return the batch's rows: the first dim of the first input that has dims, else 1.

    Parameters
    ----------
    graph : OperatorGraph
    """
    shapes = (graph.tensors[name].shape for name in graph.inputs)
    first = next((shape[0] for shape in shapes if shape), 1)
    return first if isinstance(first, int) else 1


def describe_epoch(question: Question, objective: TrainingDelay) -> dict[str, Any]:
    """Return what a plan's file says of the epoch.

    Parameters
    ----------
    question : Question
    objective : TrainingDelay
    """
    return {
        "iterations": objective.iterations,
        "labels_at": objective.labels_at,
        "label_bytes": measure_labels(question, objective),
        "frozen": list(objective.frozen),
    }


def name_epoch_assumptions(question: Question, objective: TrainingDelay) -> tuple[str, ...]:
    """Say what of an epoch nobody measured or gave.

    Parameters
    ----------
    question : Question
    objective : TrainingDelay
    """
    graph = question.graph
    flow = follow_gradients(graph, objective.frozen)
    trained = {weight for names in flow.trained.values() for weight in names}
    size = sum(graph.weight_bytes[weight] for weight in trained)
    travels = (
        "Once an epoch all parameters of the device's part come down, and the trained ones"
        f" ({len(trained)} of the model's {len(graph.weight_bytes)} initializers, together"
        f" {format_size(size)}) go up again; the loss and the update of parameters take no time."
    )
    sentences = [travels]
    if objective.label_bytes is None:
        rows = count_rows(graph)
        sentences.append(
            f"The labels of a batch are taken to be {BYTES_PER_LABEL} bytes for each row, and its"
            f" rows the first dim of the first input ({rows}); --label-bytes says otherwise."
        )
    if objective.labels_at == "device":
        sentences.append(
            "The labels may travel to the server if the loss is cheaper there; keeping them"
            " private, with the last layers back on the device (a U-shape), is not planned."
        )
    return tuple(sentences)
