"""From a placement of the inference model to everything that its training needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxsplit.autodiff.halves.forward import TrainedForward, prepare_forward
from onnxsplit.autodiff.halves.graphs import differentiate_step, place_evaluation, place_step
from onnxsplit.autodiff.halves.parts import UNSPLIT, schedule_evaluation, schedule_training
from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.autodiff.halves.stages import StateTensor, TrainingStage, build_stages
from onnxsplit.model.loading import LoadedModel
from onnxsplit.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingHalves:
    """The stages of a step, of an evaluation and of an unsplit step, and their common state.

    Parameters
    ----------
    forward : TrainedForward
    training, evaluation : tuple of TrainingStage
        In the order in which they run.
    whole : TrainingStage
        The same nodes in one graph: what the others must equal bit for bit.
    states : mapping of str to StateTensor
    """

    forward: TrainedForward
    training: tuple[TrainingStage, ...]
    evaluation: tuple[TrainingStage, ...]
    whole: TrainingStage
    states: Mapping[str, StateTensor]


def split_training(
    model: LoadedModel,
    placement: Placement,
    trained: Mapping[str, Sequence[str]],
    recipe: Recipe,
) -> TrainingHalves:
    """Make the training stages of a placement.

    Parameters
    ----------
    model : LoadedModel
        For inference, with its weights.
    placement : Placement
        On a device and a server.
    trained : mapping of str to sequence of str
        Operator to the initializers of it that are trained.
    recipe : Recipe

    Returns
    -------
    TrainingHalves
        O(size of the model): one graph is differentiated, and its nodes are divided.

    Raises
    ------
    UnknownGradientError
        Operators on the way of gradients have no rule; all are named.
    UsageError
        The loss does not fit the model, nothing is left to train, or a name is taken.
    UnsupportedModelError
        A tied parameter is read on both tiers, or the model can't be prepared.
    UnknownShapeError
        A rank that a rule needs can't be inferred.
    """
    forward = prepare_forward(model, placement, trained, recipe)
    step = differentiate_step(forward, recipe.optimizer)
    split = place_step(step, schedule_training(recipe.labels_at))
    (whole,) = build_stages(place_step(step, UNSPLIT))
    evaluated = place_evaluation(forward, schedule_evaluation(recipe.labels_at))
    return TrainingHalves(
        forward=forward,
        training=build_stages(split, recompute=recipe.recompute),
        evaluation=build_stages(evaluated),
        whole=whole,
        states=split.states,
    )
