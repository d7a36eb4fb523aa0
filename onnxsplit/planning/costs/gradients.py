"""Where gradients flow: which operators have a backward pass, and which tensors get one back.

A gradient of a tensor exists if something trainable lies upstream of it and the loss downstream,
both over differentiable steps: floating-point tensors, and operators whose output changes with
their input. What is trainable are the floating-point initializers of more than one element that
are not frozen: single numbers are taken to be constants of the architecture, an assumption.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxsplit.errors import UsageError
from onnxsplit.graph import FLOATING, ITEM_BYTES, Operator, OperatorGraph

FLAT_TYPES = frozenset(
    {
        "ArgMax",
        "ArgMin",
        "Ceil",
        "Floor",
        "IsInf",
        "IsNaN",
        "NonZero",
        "Round",
        "Shape",
        "Sign",
        "Size",
    }
)
"""Operators whose output does not change with small changes of their input."""

_TYPE_PREFIX = "op:"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientFlow:
    """What of a graph takes part in the backward pass.

    Parameters
    ----------
    trained : mapping of str to tuple of str
        Operator to the initializers of it that are trained.
    backward : frozenset of str
        Operators that have a backward pass: they or something upstream are trained, and the loss
        lies downstream.
    returning : mapping of str to tuple of str
        Tensor to the operators that send it a gradient; tensors without one are left out.
    to_loss : tuple of str
        Model outputs that the loss reads.
    """

    trained: Mapping[str, tuple[str, ...]]
    backward: frozenset[str]
    returning: Mapping[str, tuple[str, ...]]
    to_loss: tuple[str, ...]


def follow_gradients(graph: OperatorGraph, frozen: Sequence[str] = ()) -> GradientFlow:
    """Find where gradients flow.

    Parameters
    ----------
    graph : OperatorGraph
    frozen : sequence of str
        Globs over operator names, ``op:TYPE`` and initializer names.

    Returns
    -------
    GradientFlow

    Raises
    ------
    UsageError
        A glob matches nothing.

    Notes
    -----
    O(n + m): one sweep down for what is trained, one up for what reaches the loss. The loss reads
    every floating-point model output.
    """
    trained = _find_trained(graph, frozen)
    upstream: set[str] = set()  # tensors that depend on something trained
    wanting: set[str] = set()  # operators that are, or depend on something that is, trained
    for operator in graph:
        if trained.get(operator.name) or any(name in upstream for name in _soft(graph, operator)):
            wanting.add(operator.name)
            if operator.op_type not in FLAT_TYPES:
                upstream.update(name for name in operator.outputs if _is_floating(graph, name))
    to_loss = tuple(name for name in graph.outputs if _is_floating(graph, name))
    reaching = set(to_loss)
    towards: set[str] = set()
    for operator in reversed(graph.operators):
        if operator.op_type in FLAT_TYPES:
            continue
        if any(name in reaching and _is_floating(graph, name) for name in operator.outputs):
            towards.add(operator.name)
            reaching.update(_soft(graph, operator))
    returning = {
        tensor: readers
        for tensor in graph.tensors
        if tensor in upstream
        and (readers := tuple(name for name in graph.consumers(tensor) if name in towards))
    }
    return GradientFlow(
        trained=trained,
        backward=frozenset(wanting & towards),
        returning=returning,
        to_loss=to_loss,
    )


def _find_trained(graph: OperatorGraph, frozen: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the initializers of each operator that are trained."""
    used = dict.fromkeys(frozen, False)
    trained: dict[str, tuple[str, ...]] = {}
    for operator in graph:
        stopped = [pattern for pattern in frozen if _matches_operator(operator, pattern)]
        kept = []
        for weight in operator.weights:
            matching = [p for p in frozen if fnmatch.fnmatchcase(weight, p)]
            used.update(dict.fromkeys(matching, True))
            if _is_trainable(graph, weight) and not matching:
                kept.append(weight)
        used.update(dict.fromkeys(stopped, True))
        if kept and not stopped:
            trained[operator.name] = tuple(kept)
    for pattern, found in used.items():
        if not found:
            raise UsageError(
                f"--freeze {pattern}: no operator and no initializer matches; give a name, a glob,"
                " or op:TYPE."
            )
    return trained


def _is_trainable(graph: OperatorGraph, weight: str) -> bool:
    """Tell whether an initializer can be a parameter."""
    dtype = graph.weight_dtypes.get(weight)
    return dtype in FLOATING and graph.weight_bytes[weight] > ITEM_BYTES[dtype]


def _matches_operator(operator: Operator, pattern: str) -> bool:
    """Tell whether a glob means an operator."""
    if pattern.startswith(_TYPE_PREFIX):
        return fnmatch.fnmatchcase(operator.op_type, pattern.removeprefix(_TYPE_PREFIX))
    return fnmatch.fnmatchcase(operator.name, pattern)


def weigh_transfers(
    graph: OperatorGraph, flow: GradientFlow, names: Sequence[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the bytes of the initializers that some operators move: down, and up again.

    Parameters
    ----------
    graph : OperatorGraph
    flow : GradientFlow
    names : sequence of str
        Operators.

    Returns
    -------
    dict of str to int, dict of str to int
        Everything comes down to the device; what is trained goes up again.
    """
    down: dict[str, int] = {}
    up: dict[str, int] = {}
    for name in names:
        for weight in graph.operator(name).weights:
            down[weight] = graph.weight_bytes[weight]
        for weight in flow.trained.get(name, ()):
            up[weight] = graph.weight_bytes[weight]
    return down, up


def _soft(graph: OperatorGraph, operator: Operator) -> list[str]:
    """Return the floating-point values that an operator reads."""
    return [name for name in operator.inputs if _is_floating(graph, name)]


def _is_floating(graph: OperatorGraph, tensor: str) -> bool:
    """Tell whether a value can have a gradient."""
    spec = graph.tensors.get(tensor)
    return spec is not None and spec.kind == "tensor" and spec.dtype in FLOATING
