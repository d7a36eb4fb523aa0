"""What a plan says of its objective: what it was told, and what is assumed for it."""

from typing import Any

from onnxsplit.objectives import TrainingDelay
from onnxsplit.planning.costs.epochs import describe_epoch, name_epoch_assumptions
from onnxsplit.planning.costs.question import Question


def describe_objective(question: Question) -> dict[str, Any]:
    """Return what the objective was told beside its name, as a plan's file holds it.

    Parameters
    ----------
    question : Question
    """
    if isinstance(question.objective, TrainingDelay):
        return describe_epoch(question, question.objective)
    return {}


def name_objective_assumptions(question: Question) -> tuple[str, ...]:
    """Say what is assumed for the objective.

    Parameters
    ----------
    question : Question
    """
    if isinstance(question.objective, TrainingDelay):
        return name_epoch_assumptions(question, question.objective)
    return ()


def note_stages(question: Question) -> tuple[str, ...]:
    """Say where the stages that are written are not those that the plan is for.

    Parameters
    ----------
    question : Question
    """
    if not isinstance(question.objective, TrainingDelay):
        return ()
    note = (
        "The cut is planned for training, but the stages are for inference; --loss writes stages"
        " with a backward pass as well."
    )
    return (note,)
