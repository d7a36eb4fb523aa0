"""Every placement of a device and a server, one by one: order ideals, under a guard."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.placement import Placement
from onnxsplit.planning.coarsening import CoarseGraph
from onnxsplit.planning.optimum import Solver
from onnxsplit.planning.pricing import PricedPlacement

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


def list_ideals(coarse: CoarseGraph) -> Iterator[frozenset[int]]:
    """Yield every set of cells that holds what its members read from, each once.

    Parameters
    ----------
    coarse : CoarseGraph

    Notes
    -----
    O(cells) for each; there may be exponentially many. The sets that hold a cell and those that
    don't are listed apart: with it go all before it, without it none behind it.
    """
    before = _list_all(coarse.predecessors, range(len(coarse.cells)))
    behind = _list_all(coarse.successors, reversed(range(len(coarse.cells))))
    stack: list[tuple[frozenset[int], frozenset[int]]] = [(frozenset(), frozenset())]
    while stack:
        inside, outside = stack.pop()
        free = next(
            (c for c in range(len(coarse.cells)) if c not in inside and c not in outside), None
        )
        if free is None:
            yield inside
            continue
        stack.append((inside | before[free] | {free}, outside))
        stack.append((inside, outside | behind[free] | {free}))


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
                operator.name: device if cell_of[operator.name] in ideal else server
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


def _list_all(
    next_to: tuple[frozenset[int], ...], order: "range | Iterator[int]"
) -> list[frozenset[int]]:
    """Return everything that is reached from each cell, in an order where that comes first."""
    reached: list[frozenset[int]] = [frozenset()] * len(next_to)
    for cell in order:
        reached[cell] = next_to[cell].union(*(reached[other] for other in next_to[cell]))
    return reached
