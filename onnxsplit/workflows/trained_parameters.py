"""Which initializers a training changes, as the planner counts them."""

from collections.abc import Sequence

from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.gradients import follow_gradients

_NORMS = (
    "BatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "SimplifiedLayerNormalization",
)


def find_trained(graph: OperatorGraph, frozen: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the initializers of each operator that are trained and that the outputs depend on."""
    flow = follow_gradients(graph, frozen)
    return {name: names for name, names in flow.trained.items() if name in flow.backward}


def list_frozen(graph: OperatorGraph, frozen: Sequence[str], recipe: Recipe) -> tuple[str, ...]:
    """Return the globs of what is frozen: those given, and norms if the recipe freezes them."""
    if recipe.norms != "frozen":
        return tuple(frozen)
    there = {operator.op_type for operator in graph}
    return (*frozen, *(f"op:{name}" for name in _NORMS if name in there))
