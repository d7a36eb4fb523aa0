"""Which cells share a tier in some best placement, whatever the links are.

Two steps, both exact for all links between the same tiers, since they compare costs parameter by
parameter (see `onnxsplit.planning.costs.charges`): blocks, then single vertices, by the exchange of
`onnxsplit.mincut.dominance`. Neither touches a root, so that roots may later be kept on the device,
and leaves on the server, in the search for the best proper split. Other bars are for the original
problem, as are longer chains, candidates and weights on cells.

A block is contracted if

* it has an entry and an exit that are cells: before a model input nothing can be cut, but the best
  proper split must keep a root on the device;
* nothing within it reads from, or is read, outside of it (a root can't lie in it: its way from the
  source passes by the entry);
* no cell within it costs more on the server than on the device, by any parameter, with the way back
  of model outputs and the way of parameters: so none is pinned to the device;
* no cut of its values is cheaper than the one at its entry, by any parameter;
* and none of this is worse where costs tie: cells within it are cheaper on the server for certain,
  or the values of its entry are also the fewest and smallest.

Source of the idea: arXiv 2507.01041; the conditions are rebuilt, and each is needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from onnxsplit.mincut import Contraction, contract, join_dominated, merge_parallel
from onnxsplit.planning.costs.charges import CONSTANT, TensorCharge
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.blocks import Block, explain_loose_ends, find_blocks
from onnxsplit.planning.cuts.bottleneck import BottleneckTests, Carriage
from onnxsplit.planning.cuts.formulation import Formulation

_DEVICE, _SERVER = 0, 1
_FIRST = 2
_TWO_TIERS = 2


def contract_formulation(question: Question, formulation: Formulation) -> Contraction:
    """Contract a cut problem as far as is exact for all links.

    Parameters
    ----------
    question : Question
    formulation : Formulation
        Of that question.

    Returns
    -------
    Contraction
        For more than two tiers it joins nothing but parallel arcs.

    Notes
    -----
    A maximum flow for each block and parameter, blocks that look alike once, then a few passes over
    the arcs.
    """
    start = merge_parallel(formulation.problem)
    if len(formulation.tiers) != _TWO_TIERS:
        return start
    judge = BlockJudge.of(question, formulation)
    labels = np.arange(formulation.problem.vertex_count)
    for block in judge.blocks:
        if not judge.find_obstacle(block):
            labels[[_FIRST + cell for cell in block.cells]] = labels[_FIRST + block.cells[0]]
    blocks = start.follow(contract(start.problem, labels))
    roots = np.array(formulation.coarse.roots, dtype=np.int64) + _FIRST
    return join_dominated(blocks, roots)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockJudge:
    """Tells which blocks of a problem contract, and what is in the way of the others.

    Parameters
    ----------
    formulation : Formulation
    blocks : tuple of Block
    """

    formulation: Formulation
    blocks: tuple[Block, ...]
    _made: dict[int, list[TensorCharge]]
    _read_outside: frozenset[int]
    _tests: BottleneckTests = field(default_factory=BottleneckTests)

    @classmethod
    def of(cls, question: Question, formulation: Formulation) -> "BlockJudge":
        """Find the blocks of a problem."""
        places, charges = question.places, formulation.charges
        elsewhere = places.inputs_at_last | {state.past for state in places.states}
        made: dict[int, list[TensorCharge]] = {}
        for tensor in charges.tensors:
            if tensor.maker is not None:
                made.setdefault(tensor.maker, []).append(tensor)
        count = len(formulation.coarse.cells)
        return cls(
            formulation=formulation,
            blocks=find_blocks(question.graph, formulation.coarse, elsewhere=elsewhere),
            _made=made,
            _read_outside=frozenset(maker for reader, maker in charges.order if reader >= count),
        )

    def find_obstacle(self, block: Block) -> str:
        """Say why a block does not contract; nothing if it does."""
        if loose := explain_loose_ends(block, self.formulation.coarse):
            return loose
        if self._read_outside & set(block.interior):
            return "the loss reads from within it"
        return self._find_dear_cell(block) or self._find_bottleneck(block)

    def _find_dear_cell(self, block: Block) -> str:
        """Say which cell would rather stay on the device."""
        inside = np.array(block.interior)
        costs = self.formulation.charges.vertices[inside]
        arcs = self.formulation.tier_arcs[inside]
        barred = np.isinf(self.formulation.problem.coefficients[arcs[:, _SERVER], 0])
        dear = barred | (costs[:, _SERVER] > costs[:, _DEVICE]).any(axis=1)
        if not dear.any():
            return ""
        name = self.formulation.coarse.cells[inside[np.argmax(dear)]].operators[0]
        return f"{name} costs more on the server, with what has to come back, or must not run there"

    def _find_bottleneck(self, block: Block) -> str:
        """Say whether a cut within the block can be cheaper than the one before it."""
        tensors = list(self._list_tensors(block))
        for column in self._list_paid_columns(block, tensors):
            carriages = [c for tensor in tensors for c in self._carry(block, tensor, column)]
            if not self._tests.is_narrowest_before(block, carriages):
                return "less crosses within it than before it"
        if not self._is_cheaper_for_certain(block) and not self._keeps_ties(block, tensors):
            return "as little crosses within it as before it, in fewer or smaller values"
        return ""

    def _list_paid_columns(self, block: Block, tensors: list[TensorCharge]) -> list[int]:
        """Return the parameters by which what the entry sends costs anything."""
        rows = [
            row
            for tensor in tensors
            if tensor.maker == block.entry
            for row in (tensor.forward, tensor.gradient)
            if row is not None
        ]
        return np.flatnonzero(np.vstack(rows).any(axis=0)).tolist() if rows else []

    def _list_tensors(self, block: Block) -> Iterator[TensorCharge]:
        """Yield what is made before or within the block and read in it."""
        cells = set(block.cells)
        for maker in (block.entry, *block.interior):
            for tensor in self._made.get(-1 if maker is None else maker, []):
                if cells & set(tensor.readers):
                    yield tensor

    def _carry(self, block: Block, tensor: TensorCharge, column: int) -> Iterator[Carriage]:
        """Yield what a value, and its gradient, cost by one parameter."""
        ways = [(tensor.readers, tensor.forward)]
        if tensor.gradient is not None:
            ways.append((tensor.gradient_readers, tensor.gradient))
        for readers, rows in ways:
            cost = float(rows[0, column])
            if not np.isfinite(rows[0]).all():
                cost = np.inf
            yield _carry_within(block, tensor, readers, cost)

    def _is_cheaper_for_certain(self, block: Block) -> bool:
        """Tell whether every cell within the block takes less on the server by the constant."""
        costs = self.formulation.charges.vertices[list(block.interior), :, CONSTANT]
        return bool((costs[:, _SERVER] < costs[:, _DEVICE]).all())

    def _keeps_ties(self, block: Block, tensors: list[TensorCharge]) -> bool:
        """Tell whether the values of the entry are the fewest, and the smallest."""
        counts = [_carry_within(block, tensor, tensor.readers, 1.0) for tensor in tensors]
        sizes = [
            _carry_within(block, tensor, tensor.readers, float(tensor.size_bytes))
            for tensor in tensors
        ]
        return all(self._tests.is_narrowest_before(block, levels) for levels in (counts, sizes))


def _carry_within(
    block: Block, tensor: TensorCharge, readers: tuple[int, ...], cost: float
) -> Carriage:
    """Describe a value as far as the block reads it."""
    cells = set(block.cells)
    maker = tensor.maker if tensor.maker is not None else -1
    return Carriage(
        maker=maker, readers=tuple(reader for reader in readers if reader in cells), cost=cost
    )
