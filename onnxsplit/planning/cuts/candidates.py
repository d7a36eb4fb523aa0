"""The best placements that differ in what crosses: candidates to be measured for real.

Note on the partition. Lawler ("A procedure for computing the K best solutions to discrete
optimization problems", Management Science, 1972) splits what is left after a solution into parts
that pins describe, and solves each. Data never comes back, so a placement is given by the cells on
the device, which are closed under predecessors. Let D be that set for the best placement of a part
and Q another set in the part. If Q does not hold all of D, then it lacks a cell of D that none of
D reads from (Q holds the predecessors of all it holds). Else Q holds a further cell all of whose
predecessors lie in D. So the last cells of D, each sent to the server while those before it stay,
and then the first cells of the server, each taken to the device while D stays and those before it
do not, divide the rest: as many parts as the cut has neighbours, not as many as there are cells.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.cuts.formulation import Bar
from onnxsplit.planning.cuts.solver import Solver

MOST_SOLVES = 400
"""Solves after which the search gives up; many placements may share their crossings."""

Identity = tuple[str, frozenset[tuple[str, str]]]
"""The tiers that a placement uses, and what crosses to which of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The best placements, no two with the same crossings.

    Parameters
    ----------
    priced : tuple of PricedPlacement
        Cheapest first; of all placements with the same crossings the cheapest.
    is_cut_short : bool
        The guard ended the search before it had found as many as were wanted; there may be more.
    solves : int
        Minimum cuts that it took.
    """

    priced: tuple[PricedPlacement, ...]
    is_cut_short: bool
    solves: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Part:
    """A set of placements, described by bars of cells, with the best of them."""

    rank: tuple[float, bool, int, int]
    number: int
    priced: PricedPlacement = field(compare=False)
    bars: tuple[Bar, ...] = field(compare=False)


def find_candidates(
    solver: Solver, count: int, *, splits_only: bool = False, most_solves: int = MOST_SOLVES
) -> Candidates:
    """Find the best placements that differ in their crossings, or in which tiers they use.

    Parameters
    ----------
    solver : Solver
    count : int
        How many are wanted.
    splits_only : bool
        Leave out placements that leave a tier empty.
    most_solves : int
        Give up after so many minimum cuts.

    Returns
    -------
    Candidates
        Fewer than wanted where there are no more, or where the guard ended the search.

    Notes
    -----
    For each placement that it passes, repeats among them, one minimum cut for each cell at the
    edge of the cut; see the module's note.
    """
    search = _Search(solver=solver, most_solves=most_solves)
    found: dict[Identity, PricedPlacement] = {}
    for priced in search.rank_placements():
        if not solver.keeps_budgets(priced):
            continue
        if priced.placement.is_proper or not splits_only:
            found.setdefault(identify(priced), priced)
        if len(found) >= count:
            break
    return Candidates(
        priced=tuple(found.values()),
        is_cut_short=search.is_exhausted and len(found) < count,
        solves=search.solves,
    )


def identify(priced: PricedPlacement) -> Identity:
    """Tell placements apart by the tiers they use and by what crosses to which of them."""
    crossings = frozenset((crossing.tensor, crossing.target) for crossing in priced.crossings)
    return priced.placement.verdict, crossings


@dataclass(slots=True, kw_only=True)
class _Search:
    """Enumerates all placements, cheapest first."""

    solver: Solver
    most_solves: int
    solves: int = 0
    is_exhausted: bool = False
    _parts: list[_Part] = field(default_factory=list)

    def rank_placements(self) -> Iterator[PricedPlacement]:
        """Yield placements until there are no more or the guard ends it."""
        self._add(())
        while self._parts:
            part = heapq.heappop(self._parts)
            yield part.priced
            for bars in self._divide(part):
                if self.solves >= self.most_solves:
                    self.is_exhausted = True
                    return
                self._add(bars)

    def _add(self, bars: tuple[Bar, ...]) -> None:
        """Solve a part and keep it, unless no placement is in it."""
        self.solves += 1
        try:
            priced = self.solver.solve(bars).priced
        except InfeasiblePlacementError:
            return
        part = _Part(rank=priced.rank, number=self.solves, priced=priced, bars=bars)
        heapq.heappush(self._parts, part)

    def _divide(self, part: _Part) -> Iterator[tuple[Bar, ...]]:
        """Divide what is left of a part when its best placement is taken out.

        Any other placement moves a cell at the edge of some layer: away from the tiers up to it,
        or into them. Each part moves one such cell and leaves those before it where they are.
        """
        kept = list(part.bars)
        taken = set(part.bars)
        for cell, stays, moves in self._list_moves(part.priced):
            if not all((cell, place) in taken for place in stays):
                yield (*kept, *((cell, place) for place in stays))
            kept += [(cell, place) for place in moves if (cell, place) not in taken]

    def _list_moves(self, priced: PricedPlacement) -> Iterator[tuple[int, range, range]]:
        """Yield cells at an edge, the places on their side of it, and those on the other."""
        formulation, coarse = self.solver.formulation, self.solver.formulation.coarse
        tiers, tier_of = formulation.tiers, priced.placement.tier_of
        place_of = [tiers.index(tier_of[cell.operators[0]]) for cell in coarse.cells]
        for layer in range(len(tiers) - 1):
            near, far = range(layer + 1), range(layer + 1, len(tiers))
            here = {cell for cell, place in enumerate(place_of) if place <= layer}
            for cell in sorted(here):
                if not coarse.successors[cell] & here:
                    yield cell, near, far
            for cell, before in enumerate(coarse.predecessors):
                if cell not in here and before <= here:
                    yield cell, far, near
