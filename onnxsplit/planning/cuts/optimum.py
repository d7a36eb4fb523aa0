"""The best placement of all, and the best that leaves no tier empty.

Note on proper splits. A placement without further demands is the best of all; if it leaves a tier
empty, every proper split has some cell on that tier, so the best proper split is the least over
pinning one cell after the other there. Data never comes back, so the first tier is empty unless it
holds a root cell, and the last unless it holds a leaf cell: for two tiers only these are tried. The
search is best first: a solve bounds all that add pins to it, and ends when the cheapest open one is
proper (branch and bound).
"""

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.cuts.formulation import Bar
from onnxsplit.planning.cuts.solver import Solution, Solver
from onnxsplit.planning.demands.conflicts import explain_conflict, explain_no_split


def find_optimum(solver: Solver) -> Solution:
    """Find the best placement of all; on a tie not splitting wins.

    Parameters
    ----------
    solver : Solver

    Returns
    -------
    Solution

    Raises
    ------
    InfeasiblePlacementError
        The pins leave no placement.

    Notes
    -----
    One certified solve.
    """
    try:
        solution = solver.solve_ends()
    except InfeasiblePlacementError as error:
        raise InfeasiblePlacementError(explain_conflict(solver.demands)) from error
    candidates = [solution.priced, *price_wholes(solver).values()]
    best = min(candidates, key=lambda priced: priced.rank)
    return replace(solution, priced=best)


def find_best_split(solver: Solver, bars: Iterable[Bar] = ()) -> Solution:
    """Find the best placement that leaves no tier empty; see the module's note.

    Parameters
    ----------
    solver : Solver
    bars : iterable of (int, int)
        Cell and place of the tier that it must not run on.

    Returns
    -------
    Solution
        Its certificate is that of the winning solve.

    Raises
    ------
    InfeasiblePlacementError
        There is no proper split, or the pins leave none.

    Notes
    -----
    One solve where the optimum is proper; else, with two tiers, usually one for each leaf or root,
    at most one for each pair of them; with more tiers up to one for each cell and empty tier.
    """
    search = _SplitSearch(solver=solver, bars=tuple(bars))
    best = search.run()
    if best is None:
        raise InfeasiblePlacementError(explain_no_split(solver.demands))
    return replace(best, certificate=replace(best.certificate, restriction="proper splits"))


@dataclass(slots=True, kw_only=True)
class _SplitSearch:
    """Solves under pins that together cover every proper split, cheapest first."""

    solver: Solver
    bars: tuple[Bar, ...] = ()
    _open: list[tuple[tuple[float, bool, int, int], int, Solution, tuple[Bar, ...]]] = field(
        default_factory=list
    )
    _count: "itertools.count[int]" = field(default_factory=itertools.count)

    def run(self) -> Solution | None:
        """Search; None if no proper split is left."""
        self._push(self.bars)
        best: Solution | None = None
        while self._open:
            _, _, solution, bars = heapq.heappop(self._open)
            if best is not None and solution.priced.rank[0] > best.priced.rank[0]:
                break
            empty = self._find_empty_tier(solution.priced.placement)
            if empty is None:
                if best is None or solution.priced.rank < best.priced.rank:
                    best = solution
                continue
            for cell in self._list_candidates(empty):
                self._push((*bars, *self.solver.formulation.list_bars((cell,), empty)))
        return best

    def _push(self, bars: tuple[Bar, ...]) -> None:
        """Solve under bars, and keep what comes out for later."""
        # Bars on any cells would spoil a contraction.
        solve = self.solver.solve if self.bars else self.solver.solve_ends
        try:
            solution = solve(bars)
        except InfeasiblePlacementError:
            return
        heapq.heappush(self._open, (solution.priced.rank, next(self._count), solution, bars))

    def _find_empty_tier(self, placement: Placement) -> int | None:
        """Return the place of a tier that runs nothing."""
        used = set(placement.tier_of.values())
        tiers = self.solver.formulation.tiers
        return next((place for place, tier in enumerate(tiers) if tier not in used), None)

    def _list_candidates(self, tier: int) -> Iterable[int]:
        """Return cells of which any placement that uses the tier has one there."""
        coarse = self.solver.formulation.coarse
        if tier == 0:
            return coarse.roots
        if tier == len(self.solver.formulation.tiers) - 1:
            return coarse.leaves
        return range(len(coarse.cells))


def price_wholes(solver: Solver) -> dict[str, PricedPlacement]:
    """Price running everything on one tier, for each tier that the constraints allow it on."""
    tiers = solver.formulation.tiers
    wholes = {
        tier: Placement(tiers=tiers, tier_of={operator.name: tier for operator in solver.graph})
        for tier in tiers
    }
    priced = {tier: solver.price(whole) for tier, whole in wholes.items() if solver.admits(whole)}
    return {tier: whole for tier, whole in priced.items() if solver.keeps_budgets(whole)}
