"""Whether a block is best cut before it: a maximum flow through its values.

Let every cell of a block be no dearer on the server than on the device. If what its entry sends
into the block is a least cut of the block's values, then a cut within the block costs at least as
much as one before it, and the block can be one vertex. By the theorem of Ford and Fulkerson that is
so exactly if the flow from the entry to the exit saturates all that the entry sends.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from onnxsplit.mincut import SINK, SOURCE, CutProblem, ProblemBuilder, solve_minimum_cut
from onnxsplit.planning.cuts.blocks import Block

_LARGEST_WHOLE = 2**53

_Network = tuple[tuple[int, tuple[int, ...], float], ...]
"""Maker, readers and cost of each value, in numbers of the block's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """What a value costs where it leaves the side of its maker.

    Parameters
    ----------
    maker : int
        A cell.
    readers : tuple of int
        Cells.
    cost : float
        ``inf`` if it may not travel.
    """

    maker: int
    readers: tuple[int, ...]
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BottleneckTests:
    """Tests blocks, and remembers those that look alike: models repeat themselves."""

    _known: dict[_Network, bool] = field(default_factory=dict)

    def is_narrowest_before(self, block: Block, carriages: Iterable[Carriage]) -> bool:
        """Tell whether no cut within a block is cheaper than the one before it.

        Parameters
        ----------
        block : Block
            With an entry and an exit.
        carriages : iterable of Carriage
            Of all values that the entry or the interior makes and the block reads.

        Returns
        -------
        bool
            False as well where no tick divides the costs, for then rounding could feign equality.
        """
        network = _number(block, tuple(carriages))
        if network not in self._known:
            self._known[network] = _is_saturated(network)
        return self._known[network]


def _number(block: Block, carriages: tuple[Carriage, ...]) -> _Network:
    """Write a block's values in its own numbers: the entry is the source, the exit the sink."""
    place = {cell: at for at, cell in enumerate((block.entry, block.exit, *block.interior))}
    divisor = _find_divisor([carriage.cost for carriage in carriages])
    return tuple(
        (
            place[carriage.maker],
            tuple(place[reader] for reader in carriage.readers),
            carriage.cost / divisor,
        )
        for carriage in carriages
    )


def _find_divisor(costs: list[float]) -> int:
    """Return what divides whole costs, so that large ones still fit the ticks."""
    finite = [cost for cost in costs if math.isfinite(cost)]
    if all(cost < _LARGEST_WHOLE and float(cost).is_integer() for cost in finite):
        return math.gcd(*(int(cost) for cost in finite)) or 1
    return 1


def _is_saturated(network: _Network) -> bool:
    """Tell whether the cut around the source is a minimum cut."""
    sent = math.fsum(cost for maker, _, cost in network if maker == SOURCE)
    if sent == 0:
        return True
    if not math.isfinite(sent):
        return False
    proof = solve_minimum_cut(_build(network)).certificate
    return proof.rounding_bound == 0 and proof.cut_ticks >= round(sent / proof.tick)


def _build(network: _Network) -> CutProblem:
    """Build the cut problem of a block's values; nothing comes back in it either."""
    builder = ProblemBuilder()
    builder.add_vertices(max(max((maker, *readers)) for maker, readers, _ in network) - SINK)
    for maker, readers, cost in network:
        carrier = builder.add_vertices()
        builder.add_arc(maker, carrier, np.array([cost]))
        for reader in readers:
            builder.add_arc(carrier, reader)
            if maker != SOURCE and reader != SINK:
                builder.add_arc(reader, maker)
    return builder.build().at(np.ones(1))
