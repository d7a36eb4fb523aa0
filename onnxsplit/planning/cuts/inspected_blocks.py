"""Which blocks of a model contract by its sizes alone, before anything is measured."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.coarsening import CoarseGraph, coarsen
from onnxsplit.planning.cuts.blocks import Block, explain_loose_ends, find_blocks
from onnxsplit.planning.cuts.bottleneck import BottleneckTests, Carriage


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedBlock:
    """A block, and whether a cut within it can ever be best.

    Parameters
    ----------
    first, last : str
        Operators, in graph order.
    operators : int
    contracts : bool
        No cut within it sends less than the one before it: wherever the server is no slower than
        the device, an optimum never cuts within it, whatever the link.
    reason : str
        Why it does, or does not.
    """

    first: str
    last: str
    operators: int
    contracts: bool
    reason: str


def inspect_blocks(graph: OperatorGraph) -> tuple[InspectedBlock, ...]:
    """Find a model's blocks, and tell which contract.

    Parameters
    ----------
    graph : OperatorGraph

    Returns
    -------
    tuple of InspectedBlock
        In order.
    """
    coarse = coarsen(graph, {})
    tests = BottleneckTests()
    found = []
    for block in find_blocks(graph, coarse):
        names = [coarse.cells[cell].operators[0] for cell in block.cells]
        obstacle = _find_obstacle(graph, coarse, block, tests)
        found.append(
            InspectedBlock(
                first=names[0],
                last=names[-1],
                operators=len(names),
                contracts=not obstacle,
                reason=obstacle or "no cut within it sends less than the one before it",
            )
        )
    return tuple(found)


def _find_obstacle(
    graph: OperatorGraph, coarse: CoarseGraph, block: Block, tests: BottleneckTests
) -> str:
    """Say why a block does not contract; nothing if it does."""
    if loose := explain_loose_ends(block, coarse):
        return loose
    outputs = set(graph.outputs)
    for cell in block.interior:
        for name in coarse.cells[cell].operators:
            if outputs & set(graph.operator(name).outputs):
                return f"{name}, within it, makes a model output"
    carriages = tuple(_list_carriages(graph, coarse, block))
    if any(entry.maker == block.entry and math.isinf(entry.cost) for entry in carriages):
        return "what enters it can't travel"
    if not tests.is_narrowest_before(block, carriages):
        return "less crosses within it than before it"
    return ""


def _list_carriages(graph: OperatorGraph, coarse: CoarseGraph, block: Block) -> Iterator[Carriage]:
    """Yield the values of a block with their bytes."""
    cells = set(block.cells)
    for maker in (block.entry, *block.interior):
        for name in () if maker is None else coarse.cells[maker].operators:
            for tensor in graph.operator(name).outputs:
                readers = {coarse.cell_of[reader] for reader in graph.consumers(tensor)} & cells
                spec = graph.tensors[tensor]
                stuck = spec.size_bytes is None or spec.travel_obstacle is not None
                if readers and maker is not None:
                    yield Carriage(
                        maker=maker,
                        readers=tuple(sorted(readers)),
                        cost=math.inf if stuck else float(spec.size_bytes or 0),
                    )
