"""Divide a placed graph into parts that run one after another, each on one tier."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import onnx

from onnxsplit.errors import InternalError


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedNode:
    """A node and the part that runs it.

    Parameters
    ----------
    proto : onnx.NodeProto
    part : int or None
        Place of the part in the order in which they run; None for a node that reads nothing but
        what every part has, and so runs in each that needs it.
    """

    proto: onnx.NodeProto
    part: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one part runs.

    Parameters
    ----------
    place : int
        In the order in which they run.
    nodes : tuple of onnx.NodeProto
        In topological order.
    inputs : tuple of str
        Graph inputs and values of earlier parts, in the order in which they are first read.
    outputs : tuple of str
        What later parts read, or the caller wants, in the order in which it is made.
    stored : tuple of str
        Initializers.
    """

    place: int
    nodes: tuple[onnx.NodeProto, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    stored: tuple[str, ...]


def divide_graph(
    nodes: Sequence[PlacedNode],
    *,
    stored: AbstractSet[str],
    wanted: Collection[str],
    again: Mapping[int, AbstractSet[str]] | None = None,
) -> tuple[Part, ...]:
    """Divide a placed graph.

    Parameters
    ----------
    nodes : sequence of PlacedNode
        In topological order.
    stored : set of str
        Initializers; each part holds those that it reads.
    wanted : collection of str
        Values that the graph is there for.
    again : mapping of int to set of str, optional
        Part to the names of earlier parts' nodes that it runs once more, rather than be handed
        what they make.

    Returns
    -------
    tuple of Part
        Without those that have nothing to do; what nobody wants is left out. O(n + m) for each
        part.

    Raises
    ------
    InternalError
        A part reads what a later one makes.
    """
    makers = {value: node for node in nodes for value in node.proto.output if value}
    live = _find_live(makers, wanted)
    parts: list[Part] = []
    needed: set[str] = set(wanted)
    for place in sorted({node.part for node in nodes if node.part is not None}, reverse=True):
        own = _choose(nodes, live, makers, place, (again or {}).get(place, frozenset()))
        if not any(node.part == place for node in own):
            continue
        part = _describe(place, own, stored, needed)
        _check(part, makers)
        needed.update(part.inputs)
        parts.append(part)
    return tuple(reversed(parts))


def _find_live(makers: Mapping[str, PlacedNode], wanted: Iterable[str]) -> set[str]:
    """Return the names of the nodes that a wanted value depends on."""
    live: set[str] = set()
    pending = list(wanted)
    while pending:
        node = makers.get(pending.pop())
        if node is not None and node.proto.name not in live:
            live.add(node.proto.name)
            pending.extend(node.proto.input)
    return live


def _choose(
    nodes: Sequence[PlacedNode],
    live: AbstractSet[str],
    makers: Mapping[str, PlacedNode],
    place: int,
    again: AbstractSet[str],
) -> list[PlacedNode]:
    """Return the nodes that a part runs: its own, and copies of others."""
    chosen = {n.proto.name for n in nodes if n.part == place and n.proto.name in live}
    pending = [v for n in nodes if n.proto.name in chosen for v in n.proto.input]
    while pending:
        node = makers.get(pending.pop())
        if node is None or node.proto.name in chosen:
            continue
        if node.part is None or node.proto.name in again:
            chosen.add(node.proto.name)
            pending.extend(node.proto.input)
    return [node for node in nodes if node.proto.name in chosen]


def _describe(
    place: int, own: Sequence[PlacedNode], stored: AbstractSet[str], needed: AbstractSet[str]
) -> Part:
    """Find what a part takes and gives."""
    made = {value for node in own for value in node.proto.output if value}
    read = [v for node in own for v in node.proto.input if v and v not in made]
    first = {v: None for node in own if node.part == place for v in node.proto.output if v}
    return Part(
        place=place,
        nodes=tuple(node.proto for node in own),
        inputs=tuple(dict.fromkeys(value for value in read if value not in stored)),
        outputs=tuple(value for value in first if value in needed),
        stored=tuple(dict.fromkeys(value for value in read if value in stored)),
    )


def _check(part: Part, makers: Mapping[str, PlacedNode]) -> None:
    """Refuse a part that reads what is made after it."""
    for value in part.inputs:
        maker = makers.get(value)
        if maker is not None and maker.part is not None and maker.part > part.place:
            raise InternalError(
                f"Part {part.place} of a training graph reads {value!r}, which"
                f" {maker.proto.name!r} makes in part {maker.part}."
            )
