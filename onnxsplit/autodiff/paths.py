"""Which operators gradients pass on their way, and which of those have no rule."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from onnxsplit.autodiff.rules import find_rule
from onnxsplit.autodiff.table import RuleEntry, stops_gradients
from onnxsplit.errors import ModelError, UnknownGradientError
from onnxsplit.graph import FLOATING, TensorSpec
from onnxsplit.model.bodies import find_bodies, find_free_values
from onnxsplit.model.index import ModelIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingRule:
    """An operator that gradients would pass, and that has no rule.

    Parameters
    ----------
    operator, op_type : str
    reason : str
        A phrase in brackets for the message.
    """

    operator: str
    op_type: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientPaths:
    """The paths from trained values to the results they are trained for.

    Parameters
    ----------
    values : frozenset of str
        Values on a path, ends included: those that have a gradient.
    operators : tuple of int
        Places in ``graph.node`` of the operators on a path, in topological order.
    missing : tuple of MissingRule
        Operators on a path that have no rule.
    blocked : tuple of str
        Trained values whose gradients would pass one of these. A cut stays trainable if none of
        them is trained: the server's half alone, where all of them lie on the device.
    unreached : tuple of str
        Trained values on which no result depends.
    """

    values: frozenset[str]
    operators: tuple[int, ...]
    missing: tuple[MissingRule, ...]
    blocked: tuple[str, ...]
    unreached: tuple[str, ...]

    def check(self) -> None:
        """Raise an error if a gradient can't be had.

        Raises
        ------
        UnknownGradientError
            Operators have no rule; the message names all of them.
        ModelError
            A trained value does not influence the results.
        """
        if self.missing:
            listed = ", ".join(f"{m.operator!r} ({m.op_type}{m.reason})" for m in self.missing)
            raise UnknownGradientError(
                f"There is no gradient rule for {len(self.missing)} operators that gradients pass:"
                f" {listed}. {_shorten(self.blocked)} must be frozen; every cut that leaves these"
                f" on the device, such as one behind {self.missing[-1].operator!r}, can then train"
                " the server's half."
            )
        if self.unreached:
            raise ModelError(
                f"The results do not depend on {_shorten(self.unreached)}, or only"
                " through steps such as Round or ArgMax, so there is no gradient; freeze these."
            )


def _shorten(names: Sequence[str]) -> str:
    """Name a few values and count the others."""
    shown = 6
    listed = ", ".join(map(repr, names[:shown]))
    return listed if len(names) <= shown else f"{listed} and {len(names) - shown} more"


def find_gradient_paths(
    index: ModelIndex,
    specs: Mapping[str, TensorSpec],
    *,
    of: Iterable[str],
    with_respect_to: Iterable[str],
) -> GradientPaths:
    """Find the operators between trained values and results; O(nodes + values).

    Parameters
    ----------
    index : ModelIndex
        Of a prepared model.
    specs : mapping of str to TensorSpec
        Element types; a value of unknown type counts as floating point.
    of : iterable of str
        Results: a loss, or what crosses a cut.
    with_respect_to : iterable of str
        Trained values: initializers, inputs, or values between operators.

    Returns
    -------
    GradientPaths
    """
    wanted = tuple(dict.fromkeys(with_respect_to))
    depending = _follow(index, specs, set(wanted))
    values = set(of) & depending
    operators: list[int] = []
    for place in reversed(index.order):
        if values.isdisjoint(index.nodes[place].output):
            continue
        reads = list_differentiable(index.nodes[place], specs) & depending
        if reads:
            operators.append(place)
            values |= reads
    operators.reverse()
    missing = tuple(_find_missing(index, operators, values))
    leading = _list_leading(index, specs, operators, {entry.operator for entry in missing})
    return GradientPaths(
        values=frozenset(values),
        operators=tuple(operators),
        missing=missing,
        blocked=tuple(name for name in wanted if name in leading),
        unreached=tuple(name for name in wanted if name not in values),
    )


def list_differentiable(node: onnx.NodeProto, specs: Mapping[str, TensorSpec]) -> set[str]:
    """Return the values that a node reads and that a gradient can pass to."""
    if stops_gradients(node):
        return set()
    entry = find_rule(node)
    inert = entry.inert if entry is not None else ()
    given = {
        name
        for place, name in enumerate(node.input)
        if name and place not in inert and is_floating(specs, name)
    }
    captured = {name for body in find_bodies(node) for name in find_free_values(body)}
    return given | {name for name in captured if is_floating(specs, name)}


def is_floating(specs: Mapping[str, TensorSpec], name: str) -> bool:
    """Tell whether a value is, or may be, of floating point."""
    spec = specs.get(name)
    return spec is None or spec.dtype is None or spec.dtype in FLOATING


def _follow(index: ModelIndex, specs: Mapping[str, TensorSpec], wanted: set[str]) -> set[str]:
    """Return the floating-point values that depend on the wanted ones."""
    depending = set(wanted)
    for place in index.order:
        node = index.nodes[place]
        if not depending.isdisjoint(list_differentiable(node, specs)):
            depending.update(name for name in node.output if name and is_floating(specs, name))
    return depending


def _list_leading(
    index: ModelIndex,
    specs: Mapping[str, TensorSpec],
    operators: Sequence[int],
    missing: Collection[str],
) -> set[str]:
    """Return the values from which a path leads through one of the missing operators."""
    leading: set[str] = set()
    for place in reversed(operators):
        node = index.nodes[place]
        reads = list_differentiable(node, specs)
        if not leading.isdisjoint(node.output):
            leading |= reads
        elif node.name in missing:
            uncovered = _list_uncovered(node, reads)
            leading |= {node.input[place] for place in uncovered} if uncovered else reads
    return leading


def _list_uncovered(node: onnx.NodeProto, values: Collection[str]) -> list[int]:
    """Return the places of the inputs, among some values, that the node's rule does not cover."""
    entry = find_rule(node)
    return [
        place
        for place, name in enumerate(node.input)
        if entry and name in values and place not in entry.inert and not entry.covers(place)
    ]


def _find_missing(
    index: ModelIndex, operators: Iterable[int], values: Collection[str]
) -> Iterable[MissingRule]:
    """Yield the operators that no rule covers."""
    for place in operators:
        node = index.nodes[place]
        reason = _explain_lack(node, find_rule(node), values)
        if reason is not None:
            yield MissingRule(operator=node.name, op_type=node.op_type, reason=reason)


def _explain_lack(
    node: onnx.NodeProto, entry: RuleEntry | None, values: Collection[str]
) -> str | None:
    """Return what a node lacks, or None."""
    if entry is None:
        return f" of {node.domain}" if node.domain else ""
    uncovered = _list_uncovered(node, values)
    if uncovered:
        return f", input {uncovered[0]}"
    lack = entry.find_lack(node)
    return f", {lack}" if lack else None
