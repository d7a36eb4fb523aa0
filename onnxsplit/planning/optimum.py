"""The best placement of all, and the best that leaves no tier empty.

Note on proper splits. Data never comes back, so the device's operators are closed under
predecessors and the server's under successors: the device holds an operator exactly if it holds a
root cell, the server exactly if it holds a leaf cell. The best proper split is therefore the least
over pinning one root to the device and one leaf to the server. An optimum over fewer pins that
happens to be proper is the best under them, so most pairs need no solve of their own; and a solve
that is already dearer than the best known split bounds all pairs below it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InfeasiblePlacementError, InternalError
from onnxsplit.graph import OperatorGraph
from onnxsplit.mincut import MinimumCut, solve_prepared
from onnxsplit.placement import Certificate, Placement, SolverStatistics
from onnxsplit.planning.conflicts import Demands, explain_conflict, explain_no_split
from onnxsplit.planning.formulation import Formulation
from onnxsplit.planning.pricing import PricedPlacement

_FLOAT_NOISE = 1e-9

_Costs = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A certified optimum.

    Parameters
    ----------
    priced : PricedPlacement
    certificate : Certificate
    """

    priced: PricedPlacement
    certificate: Certificate


@dataclass(slots=True, kw_only=True)
class Solver:
    """Solves one formulation under changing pins, and keeps count.

    Parameters
    ----------
    graph : OperatorGraph
    formulation : Formulation
    price : callable
        Prices a placement independently of the cut.
    """

    graph: OperatorGraph
    formulation: Formulation
    price: Callable[[Placement], PricedPlacement]
    solves: int = 0
    seconds: float = 0.0
    _size: tuple[int, int] = field(default=(0, 0))

    def solve(self, *, device: tuple[int, ...] = (), server: tuple[int, ...] = ()) -> Solution:
        """Find the best placement under further pins of cells.

        Raises
        ------
        InfeasiblePlacementError
            No placement meets the pins.
        InternalError
            The cut's value is not what the placement costs.
        """
        return self._settle(self.formulation.pin(device=device, server=server))

    def solve_biased(self, *, extra_device: _Costs, extra_server: _Costs) -> PricedPlacement:
        """Find the best placement when cells cost extra; it is priced without the extra."""
        capacities = self.formulation.pin(extra_device=extra_device, extra_server=extra_server)
        cut = self._cut(capacities, tie_breaks=())
        return self.price(self.formulation.read_placement(cut.source_side, self.graph))

    def admits(self, placement: Placement) -> bool:
        """Tell whether a placement meets the pins, divides no kernel and sends nothing back."""
        formulation = self.formulation
        device = formulation.tiers[0]
        sides = [
            {placement.tier_of[name] == device for name in cell.operators}
            for cell in formulation.coarse.cells
        ]
        if any(len(side) > 1 for side in sides):
            return False
        on_device = np.array([True in side for side in sides], dtype=np.bool_)
        barred_device = np.isinf(formulation.capacities[formulation.device_arcs])
        barred_server = np.isinf(formulation.capacities[formulation.server_arcs])
        if bool(np.any(on_device & barred_device) or np.any(~on_device & barred_server)):
            return False
        return not self._crosses_banned(placement)

    def _crosses_banned(self, placement: Placement) -> bool:
        """Tell whether a value that may not travel is read across the cut."""
        device, server = self.formulation.tiers
        return any(
            placement.tier_of.get(self.graph.producer(tensor) or "", device) == device
            and any(placement.tier_of[name] == server for name in self.graph.consumers(tensor))
            for tensor in self.formulation.banned
        )

    @property
    def demands(self) -> Demands:
        """What every placement has to respect."""
        formulation = self.formulation
        return Demands(
            graph=self.graph,
            coarse=formulation.coarse,
            pins=formulation.pins,
            stuck=formulation.banned,
        )

    @property
    def statistics(self) -> SolverStatistics:
        """Size of the largest problem, number of solves and time so far."""
        vertices, arcs = self._size
        return SolverStatistics(
            vertices=vertices, arcs=arcs, solves=self.solves, seconds=self.seconds
        )

    def _settle(self, capacities: _Costs) -> Solution:
        """Solve, price, and hold the two against each other."""
        cut = self._cut(capacities, tie_breaks=self.formulation.tie_breaks)
        priced = self.price(self.formulation.read_placement(cut.source_side, self.graph))
        proof = cut.certificate
        claimed = proof.cut_ticks * proof.tick
        slack = proof.rounding_bound + _FLOAT_NOISE * max(claimed, priced.total_seconds)
        if abs(claimed - priced.total_seconds) > slack:
            raise InternalError(
                f"The cut claims {claimed!r} s and its placement costs {priced.total_seconds!r} s."
            )
        return Solution(
            priced=priced,
            certificate=Certificate(
                cut_ticks=proof.cut_ticks,
                flow_ticks=proof.flow_ticks,
                tick_seconds=proof.tick,
                rounding_bound_seconds=proof.rounding_bound,
            ),
        )

    def _cut(self, capacities: _Costs, *, tie_breaks: tuple[_Costs, ...]) -> MinimumCut:
        """Solve and count."""
        started = time.perf_counter()
        try:
            cut = solve_prepared(self.formulation.structure, capacities, tie_breaks=tie_breaks)
        finally:
            self.solves += 1
            self.seconds += time.perf_counter() - started
        self._size = max(self._size, (cut.statistics.vertices, cut.statistics.arcs))
        return cut


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
        solution = solver.solve()
    except InfeasiblePlacementError as error:
        raise InfeasiblePlacementError(explain_conflict(solver.demands)) from error
    candidates = [solution.priced, *price_wholes(solver).values()]
    best = min(candidates, key=lambda priced: priced.rank)
    return replace(solution, priced=best)


def find_best_split(solver: Solver) -> Solution:
    """Find the best placement that leaves no tier empty; see the module's note.

    Parameters
    ----------
    solver : Solver

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
    One solve where the optimum is proper, else usually one for each leaf or root, at most one for
    each pair of them.
    """
    search = _SplitSearch(solver=solver)
    search.run()
    best = search.best
    if best is None:
        raise InfeasiblePlacementError(explain_no_split(solver.demands))
    return replace(best, certificate=replace(best.certificate, restriction="proper splits"))


@dataclass(slots=True, kw_only=True)
class _SplitSearch:
    """Solves under pins that together cover every proper split, and keeps the best."""

    solver: Solver
    best: Solution | None = None

    def run(self) -> None:
        """Search; see the module's note."""
        first = _try(self.solver)
        if first is None or self._keep(first):
            return
        coarse = self.solver.formulation.coarse
        if first.priced.placement.operators(self.solver.formulation.tiers[0]):
            for leaf in coarse.leaves:
                under = _try(self.solver, server=(leaf,))
                if under is not None and not self._is_beaten(under) and not self._keep(under):
                    self._try_pairs((root, leaf) for root in coarse.roots)
        else:
            for root in coarse.roots:
                under = _try(self.solver, device=(root,))
                if under is not None and not self._is_beaten(under) and not self._keep(under):
                    self._try_pairs((root, leaf) for leaf in coarse.leaves)

    def _try_pairs(self, pairs: Iterator[tuple[int, int]]) -> None:
        """Solve with a root on the device and a leaf on the server."""
        for root, leaf in pairs:
            if root != leaf:
                under = _try(self.solver, device=(root,), server=(leaf,))
                if under is not None:
                    self._keep(under)

    def _keep(self, solution: Solution) -> bool:
        """Keep a proper solution if it is the best so far; tell whether it is proper."""
        if not solution.priced.placement.is_proper:
            return False
        if self.best is None or solution.priced.rank < self.best.priced.rank:
            self.best = solution
        return True

    def _is_beaten(self, solution: Solution) -> bool:
        """Tell whether nothing under a solve's pins can be better than the best known."""
        if self.best is None:
            return False
        known = self.best.priced.total_seconds
        return solution.priced.total_seconds > known * (1 + _FLOAT_NOISE)


def _try(
    solver: Solver, *, device: tuple[int, ...] = (), server: tuple[int, ...] = ()
) -> Solution | None:
    """Solve, or return None where the pins clash."""
    try:
        return solver.solve(device=device, server=server)
    except InfeasiblePlacementError:
        return None


def price_wholes(solver: Solver) -> dict[str, PricedPlacement]:
    """Price running everything on one tier, for each tier that the constraints allow it on."""
    tiers = solver.formulation.tiers
    wholes = {
        tier: Placement(tiers=tiers, tier_of={operator.name: tier for operator in solver.graph})
        for tier in tiers
    }
    return {tier: solver.price(whole) for tier, whole in wholes.items() if solver.admits(whole)}
