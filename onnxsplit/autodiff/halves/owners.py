"""Whose work each node of a training step is: which operator of the model it belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxsplit.autodiff.halves.forward import prepare_forward
from onnxsplit.autodiff.halves.graphs import WholeStep, differentiate_step, place_step
from onnxsplit.autodiff.halves.naming import forward_name, optimizer_prefix
from onnxsplit.autodiff.halves.parts import UNSPLIT
from onnxsplit.autodiff.halves.placing import place_nodes
from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.autodiff.halves.stages import StateTensor, TrainingStage, build_stages
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.loading import LoadedModel
from onnxsplit.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedStep:
    """An unsplit training step, with the operator that each node works for.

    Parameters
    ----------
    whole : TrainingStage
    states : mapping of str to StateTensor
    forward, backward : mapping of str to str
        Node to operator; backward is the way back, and the update of what it has learnt.
    step : WholeStep
    """

    whole: TrainingStage
    states: Mapping[str, StateTensor]
    forward: Mapping[str, str]
    backward: Mapping[str, str]
    step: WholeStep


def build_owned_step(
    model: LoadedModel,
    graph: OperatorGraph,
    trained: Mapping[str, Sequence[str]],
    recipe: Recipe,
) -> OwnedStep:
    """Make an unsplit training step and tell whose work its nodes are.

    Parameters
    ----------
    model : LoadedModel
    graph : OperatorGraph
        Of that model.
    trained : mapping of str to sequence of str
        Operator to the initializers of it that are trained.
    recipe : Recipe

    Raises
    ------
    UnknownGradientError
        Operators on the way of gradients have no rule; all are named.
    UsageError
        The loss does not fit the model, or nothing is left to train.
    """
    everywhere = Placement(
        tiers=("device", "server"), tier_of={operator.name: "server" for operator in graph}
    )
    forward = prepare_forward(model, everywhere, trained, recipe)
    step = differentiate_step(forward, recipe.optimizer)
    placed = place_step(step, UNSPLIT)
    (whole,) = build_stages(placed)
    owners = _find_operators(step, graph)
    return OwnedStep(
        whole=whole,
        states=placed.states,
        forward={forward_name(name): owner for name, owner in owners.items()},
        backward=_own_backward(step, owners),
        step=step,
    )


def _find_operators(step: WholeStep, graph: OperatorGraph) -> dict[str, str]:
    """Map forward nodes to operators; the loss works for what makes the predictions."""
    makers = {value: place for place, operator in enumerate(graph) for value in operator.outputs}
    proto = step.forward.model.proto
    last = makers.get(step.forward.head.predictions[0], len(graph) - 1)
    loss = {value: last for node in step.forward.head.nodes for value in node.output if value}
    variables = [variable.name for variable in step.forward.variables]
    places = place_nodes(proto, {**makers, **loss}, variables)
    names = [operator.name for operator in graph]
    owners = {name: names[place] for name, place in places.items() if place is not None}
    parts = {name: owners[norm] for name, norm in step.norms.owners.items()}
    return {**owners, **parts}


def _own_backward(step: WholeStep, owners: Mapping[str, str]) -> dict[str, str]:
    """Map the nodes of the way back, and of the updates, to operators."""
    owned = {}
    for node in step.gradients.backward:
        names = [owners[name] for name in node.operators if name in owners]
        if names:
            owned[node.proto.name] = names[-1]
    for variable in step.forward.parameters:
        owned[optimizer_prefix(variable.name)] = variable.operators[0]
    return owned
