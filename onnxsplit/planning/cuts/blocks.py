"""Cut vertices and the blocks between them.

Note on dominators. A cell lies on every way from the inputs to the ends exactly if it dominates a
sink behind all leaves, seen from a source before all inputs. Cells that depend on nothing which
starts at the device (inputs at the server, states) hang on no such way: they are no part of a
block. A block is what lies between two consecutive cut vertices, with the later one: any way
through a cell passes both, so a topological order has the cell between them.

The idea of blocks is that of arXiv 2507.01041; cut vertices by dominators are ours.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import networkx as nx

from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.coarsening import CoarseGraph

_SOURCE, _SINK = -1, -2
"""Numbers that no cell has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Cells between two consecutive cut vertices.

    Parameters
    ----------
    entry : int or None
        The cell before it, which is a cut vertex; None where the block begins at model inputs.
    interior : tuple of int
        Cells on some, but not on all ways through it.
    exit : int or None
        The cut vertex at its end; None where the last block ends at several leaves.
    """

    entry: int | None
    interior: tuple[int, ...]
    exit: int | None

    @property
    def cells(self) -> tuple[int, ...]:
        """The interior and the exit."""
        return self.interior if self.exit is None else (*self.interior, self.exit)


def find_blocks(
    graph: OperatorGraph, coarse: CoarseGraph, *, elsewhere: frozenset[str] = frozenset()
) -> tuple[Block, ...]:
    """Find the blocks of a coarse graph.

    Parameters
    ----------
    graph : OperatorGraph
    coarse : CoarseGraph
    elsewhere : frozenset of str
        Model inputs that do not start at the device: those at the server, and states.

    Returns
    -------
    tuple of Block
        From the inputs on. Together they hold every cell that depends on the device's inputs, or
        on nothing at all, once.

    Notes
    -----
    Dominators by Cooper, Harvey and Kennedy, as networkx has them: near linear on such graphs.
    """
    ways = _link_ends(graph, coarse, elsewhere)
    reached = nx.descendants(ways, _SOURCE)
    if _SINK not in reached:
        return ()
    cuts = _list_dominators(ways)
    places = [place for place in range(len(coarse.cells)) if place in reached]
    return tuple(_divide(places, cuts))


def _link_ends(
    graph: OperatorGraph, coarse: CoarseGraph, elsewhere: frozenset[str]
) -> "nx.DiGraph[int]":
    """Put a source before the device's inputs and a sink behind the leaves."""
    ways: nx.DiGraph[int] = nx.DiGraph()
    ways.add_node(_SOURCE)
    here = {
        coarse.cell_of[name]
        for tensor in graph.inputs
        if tensor not in elsewhere
        for name in graph.consumers(tensor)
    }
    waiting = {coarse.cell_of[name] for tensor in elsewhere for name in graph.consumers(tensor)}
    # What depends on nothing, such as a generator of random numbers, begins a way of its own.
    here.update(root for root in coarse.roots if root not in waiting)
    ways.add_edges_from((_SOURCE, cell) for cell in sorted(here))
    for cell, before in enumerate(coarse.predecessors):
        ways.add_edges_from((maker, cell) for maker in sorted(before))
    ways.add_edges_from((leaf, _SINK) for leaf in coarse.leaves)
    return ways


def _list_dominators(ways: "nx.DiGraph[int]") -> list[int]:
    """Return the cells that lie on every way, in order."""
    above = nx.immediate_dominators(ways, _SOURCE)
    cuts = []
    at = above[_SINK]
    while at != _SOURCE:
        cuts.append(at)
        at = above[at]
    return cuts[::-1]


def _divide(places: list[int], cuts: list[int]) -> Iterable[Block]:
    """Divide cells, in topological order, at the cut vertices."""
    start, entry = 0, None
    for cut in cuts:
        end = bisect_left(places, cut)
        yield Block(entry=entry, interior=tuple(places[start:end]), exit=cut)
        start, entry = end + 1, cut
    if places[start:]:
        yield Block(entry=entry, interior=tuple(places[start:]), exit=None)


def explain_loose_ends(block: Block, coarse: CoarseGraph) -> str:
    """Say why a block is no stretch between two cells; nothing if it is one.

    Parameters
    ----------
    block : Block
    coarse : CoarseGraph
    """
    if not block.interior:
        return "nothing lies within it"
    if block.entry is None:
        return "it begins at model inputs"
    if block.exit is None:
        return "it has several ends"
    inside = {block.entry, *block.interior}
    if not all(coarse.predecessors[cell] <= inside for cell in block.cells):
        return "it reads values from outside of it"
    return ""
