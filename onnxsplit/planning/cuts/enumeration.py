"""Every placement of a device and a server, one by one: order ideals, under a guard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.cuts.solver import Solver

MOST_IDEALS = 20_000
"""Placements after which the enumeration gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration:
    """The best of all placements, each of them priced.

    Parameters
    ----------
    best : PricedPlacement
    ideals : int
        How many placements there are, those that the constraints forbid among them.
    """

    best: PricedPlacement
    ideals: int


def list_ideals(coarse: CoarseGraph) -> Iterator[int]:
    """Yield every set of cells that holds what its members read from, each once.

    Parameters
    ----------
    coarse : CoarseGraph

    Yields
    ------
    int
        Bit ``c`` is set if cell ``c`` is in the set, and so runs on the device.

    Notes
    -----
    A few operations on whole numbers of as many bits as there are cells for each set; there may be
    exponentially many. The sets that hold a cell and those that don't are listed apart: with it go
    all before it, without it none behind it. Between two cut vertices lies a block, and every set
    ends in one of them, so there are as many as the blocks have together, not their product.
    """
    count = len(coarse.cells)
    before = _list_all(coarse.predecessors, range(count))
    behind = _list_all(coarse.successors, range(count - 1, -1, -1))
    everything = (1 << count) - 1
    stack = [(0, 0)]
    while stack:
        inside, outside = stack.pop()
        free = everything & ~(inside | outside)
        if not free:
            yield inside
            continue
        cell = (free & -free).bit_length() - 1
        stack.append((inside | before[cell], outside))
        stack.append((inside, outside | behind[cell]))


def read_ideals(ideals: Sequence[int], cells: int) -> npt.NDArray[np.bool_]:
    """Return sets of cells as rows of booleans, shape (ideals, cells).

    Parameters
    ----------
    ideals : sequence of int
        As `list_ideals` yields them.
    cells : int
    """
    width = (cells + 7) // 8
    packed = b"".join(ideal.to_bytes(width, "little") for ideal in ideals)
    bits = np.frombuffer(packed, dtype=np.uint8).reshape(len(ideals), width)
    return np.unpackbits(bits, axis=1, bitorder="little")[:, :cells].astype(np.bool_)


def find_by_enumeration(solver: Solver, *, most_ideals: int = MOST_IDEALS) -> Enumeration | None:
    """Price every placement and return the best; None if there are more than the guard allows.

    Parameters
    ----------
    solver : Solver
        Of two tiers.
    most_ideals : int

    Raises
    ------
    InfeasiblePlacementError
        The constraints admit none.

    Notes
    -----
    One pricing for each order ideal: the brute force to name when a speed-up is claimed, never 2^n.
    """
    device, server = solver.formulation.tiers
    cell_of = solver.formulation.coarse.cell_of
    best: PricedPlacement | None = None
    count = 0
    for ideal in list_ideals(solver.formulation.coarse):
        count += 1
        if count > most_ideals:
            return None
        placement = Placement(
            tiers=(device, server),
            tier_of={
                operator.name: device if ideal >> cell_of[operator.name] & 1 else server
                for operator in solver.graph
            },
        )
        if solver.admits(placement):
            priced = solver.price(placement)
            if best is None or priced.rank < best.rank:
                best = priced
    if best is None:
        raise InfeasiblePlacementError("No placement meets the constraints.")
    return Enumeration(best=best, ideals=count)


def _list_all(next_to: Sequence[frozenset[int]], order: range) -> list[int]:
    """Return each cell with everything that is reached from it, in an order where that comes first.

    As bits of whole numbers.
    """
    reached = [0] * len(next_to)
    for cell in order:
        reached[cell] = 1 << cell
        for other in next_to[cell]:
            reached[cell] |= reached[other]
    return reached
