"""What a cut at a value adds where kernels keep values in blocks of channels.

onnxruntime's CPU provider computes convolutions, and what lies between them, in a blocked layout
(NCHWc). A value that leaves the model or enters it has the plain one. Where it leaves, it is laid
out anew. Where it enters, that is done for the convolutions that read it; what stands between
convolutions stays blocked only if all its inputs are. An addition that met the value is then no
longer done within a convolution, and what it makes is plain again for all that follow. These rules
are those of ``NchwcTransformer`` in onnxruntime.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from onnxsplit.graph import OperatorGraph
from onnxsplit.profiling.executed import ExecutedNode
from onnxsplit.profiling.fusion import FusedGraph

WorkKind = Literal["ReorderInput", "ReorderOutput", "Add", "Relu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutWork:
    """One kernel that a cut adds, or saves.

    Parameters
    ----------
    kind : str
        Its type; ``Relu`` stands for any activation.
    value : str
        The model's value that it makes.
    sign : int
        1 if it is added, -1 if it is saved.
    """

    kind: WorkKind
    value: str
    sign: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryWork:
    """What a cut at a value adds on both of its sides.

    Parameters
    ----------
    send, receive : tuple of LayoutWork
    """

    send: tuple[LayoutWork, ...]
    receive: tuple[LayoutWork, ...]


def find_boundary_work(
    graph: OperatorGraph, executed: Sequence[ExecutedNode], fused: FusedGraph
) -> dict[str, BoundaryWork]:
    """Return what a cut at each value between groups adds; values without any are left out.

    Parameters
    ----------
    graph : OperatorGraph
    executed : sequence of ExecutedNode
        The graph that runs, in order of execution.
    fused : FusedGraph
        Its groups and aliases.

    Notes
    -----
    Each value is followed through the nodes after it: quadratic at worst, but only where layouts
    are blocked. Values are looked at one by one; of a cut at several, what they have in common is
    counted for each.
    """
    blocked = _find_blocked(executed)
    if not blocked:
        return {}
    forms: dict[str, list[str]] = {}
    for name, value in fused.aliases.items():
        forms.setdefault(value, []).append(name)
    group_of = {name: i for i, group in enumerate(fused.groups) for name in group.operators}
    found = {}
    for value in _list_cuttable(graph, group_of):
        held = [name for name in forms.get(value, ()) if name in blocked]
        if held:
            is_plain_too = len(held) < len(forms[value])
            send = () if is_plain_too else (LayoutWork(kind="ReorderOutput", value=value),)
            receive = tuple(_follow(executed, fused.aliases, blocked, held))
            found[value] = BoundaryWork(send=send, receive=receive)
    return found


def _find_blocked(executed: Sequence[ExecutedNode]) -> set[str]:
    """Return the values in blocked layout."""
    blocked: set[str] = set()
    for node in executed:
        if node.is_blocked:
            if node.op_type != "ReorderOutput":
                blocked.update(node.outputs)
        elif any(name in blocked for name in node.inputs):
            blocked.update(node.outputs)
    return blocked


def _list_cuttable(graph: OperatorGraph, group_of: Mapping[str, int]) -> Iterator[str]:
    """Yield the values that one group makes and another one reads."""
    for operator in graph:
        for value in operator.outputs:
            readers = graph.consumers(value)
            if any(group_of[reader] != group_of[operator.name] for reader in readers):
                yield value


def _follow(
    executed: Sequence[ExecutedNode],
    aliases: Mapping[str, str],
    blocked: set[str],
    arrived: Sequence[str],
) -> Iterator[LayoutWork]:
    """Yield what changes in the nodes that follow when blocked values arrive plain instead."""
    plain = set(arrived)
    reordered: set[str] = set()
    for node in executed:
        turned = [name for name in node.inputs if name in plain]
        if not turned:
            continue
        if node.op_type == "ReorderOutput":
            yield LayoutWork(kind="ReorderOutput", value=aliases[turned[0]], sign=-1)
        elif node.op_type == "Conv" and node.is_blocked:
            yield from _follow_convolution(node, aliases, plain, reordered)
        else:
            if not node.is_blocked:
                rest = {n for n in node.inputs if n in blocked and n not in plain | reordered}
                yield from _reorder(sorted(rest), aliases, reordered)
            plain.update(node.outputs)


def _follow_convolution(
    node: ExecutedNode, aliases: Mapping[str, str], plain: set[str], reordered: set[str]
) -> Iterator[LayoutWork]:
    """Yield what changes for a blocked convolution; its output may turn plain."""
    source = node.inputs[0]
    if source in plain and source not in reordered:
        reordered.add(source)
        yield LayoutWork(kind="ReorderInput", value=aliases[source])
    if node.addend not in plain:
        return
    plain.update(node.outputs)
    held = [aliases[name] for name in node.outputs if name in aliases]
    kinds: list[WorkKind] = ["ReorderOutput", "Add"]
    if node.activation is not None:
        kinds.append("Relu")
    for value in held:
        yield from (LayoutWork(kind=kind, value=value) for kind in kinds)


def _reorder(
    names: Sequence[str], aliases: Mapping[str, str], reordered: set[str]
) -> Iterator[LayoutWork]:
    """Yield the layout work of blocked values that meet plain ones."""
    for name in names:
        reordered.add(name)
        if name in aliases:
            yield LayoutWork(kind="ReorderOutput", value=aliases[name])
