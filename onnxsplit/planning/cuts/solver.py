"""One formulation, solved under changing pins; every solution is priced and certified."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InternalError
from onnxsplit.graph import OperatorGraph
from onnxsplit.mincut import MinimumCut, solve_prepared
from onnxsplit.placement import Placement
from onnxsplit.planned import SolverStatistics
from onnxsplit.planning.costs.charges import read_parameters
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.cuts.formulation import Bar, Formulation
from onnxsplit.planning.cuts.reduction import Certified, Reduction, write_certificate
from onnxsplit.planning.demands.conflicts import Demands
from onnxsplit.prediction import Certificate

if TYPE_CHECKING:
    from onnxsplit.planning.demands.limits import Limits  # which reads what cells weigh


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
    elsewhere : frozenset of str
        Model inputs and outputs that do not live on the first tier.
    reduction : Reduction, optional
        The contracted graph, where blocks are to be used.
    certify : str
        ``solved`` certifies on the graph that was solved, ``original`` on the whole one as well.
    limits : Limits, optional
        Budgets, which no cut holds: what is solved here may break them.
    """

    graph: OperatorGraph
    formulation: Formulation
    price: Callable[[Placement], PricedPlacement]
    elsewhere: frozenset[str] = frozenset()
    reduction: Reduction | None = None
    certify: Certified = "solved"
    limits: "Limits | None" = None
    solves: int = 0
    seconds: float = 0.0
    _size: tuple[int, int] = field(default=(0, 0))

    def solve(self, bars: Iterable[Bar] = ()) -> Solution:
        """Find the best placement when cells must not run on some tiers.

        Parameters
        ----------
        bars : iterable of (int, int)
            Cell and place of the tier that it must not run on.

        Raises
        ------
        InfeasiblePlacementError
            No placement is left.
        InternalError
            The cut's value is not what the placement costs.
        """
        capacities = self.formulation.bar(bars)
        cut = self._count(
            lambda: solve_prepared(
                self.formulation.structure, capacities, tie_breaks=self.formulation.tie_breaks
            )
        )
        return self._settle(cut, cut.source_side, scope="original")

    def solve_ends(self, bars: Iterable[Bar] = ()) -> Solution:
        """Find the best placement when roots must not run on the server, or leaves on the device.

        As `solve` does, but on the contracted graph where there is one: such bars, and none else,
        leave its contraction exact.

        Parameters
        ----------
        bars : iterable of (int, int)

        Raises
        ------
        InfeasiblePlacementError
            No placement is left.
        InternalError
            The cut's value is not what the placement costs, or not that of the original graph.
        """
        reduction, bars = self.reduction, tuple(bars)
        if reduction is None:
            return self.solve(bars)
        parameters = read_parameters(self.formulation.topology)
        cut = self._count(lambda: reduction.solve(parameters, bars))
        side = reduction.contraction.expand(cut.source_side)
        found = self._settle(cut, side, scope=reduction.scope)
        return found if self.certify == "solved" else self._certify_original(found, bars)

    def _certify_original(self, found: Solution, bars: tuple[Bar, ...]) -> Solution:
        """Hold a solution of the contracted graph against a certified one of the original."""
        original = self.solve(bars)
        ours, theirs = found.priced.value, original.priced.value
        slack = (
            found.certificate.rounding_bound_seconds
            + original.certificate.rounding_bound_seconds
            + _FLOAT_NOISE * max(ours, theirs)
        )
        if abs(ours - theirs) > slack:
            raise InternalError(
                f"The contracted graph's best placement costs {ours!r}, the original's {theirs!r}."
            )
        return original

    def solve_biased(self, extra: _Costs) -> PricedPlacement:
        """Find the best placement when cells cost extra; it is priced without the extra.

        Parameters
        ----------
        extra : ndarray of float64, shape (cells, tiers)
        """
        capacities = self.formulation.capacities.copy()
        capacities[self.formulation.tier_arcs] += extra
        side = self.find_side(capacities)
        return self.price(self.formulation.read_placement(side, self.graph))

    def find_side(self, capacities: _Costs) -> npt.NDArray[np.bool_]:
        """Find the source side of a minimum cut under other capacities of the same problem.

        Parameters
        ----------
        capacities : ndarray of float64, shape (arcs,)

        Returns
        -------
        ndarray of bool, shape (vertices,)
        """
        return self._count(
            lambda: solve_prepared(self.formulation.structure, capacities)
        ).source_side

    def admits(self, placement: Placement) -> bool:
        """Tell whether a placement meets the pins, divides no kernel and sends nothing stuck."""
        formulation = self.formulation
        place_of = {tier: place for place, tier in enumerate(formulation.tiers)}
        sides = [
            {place_of[placement.tier_of[name]] for name in cell.operators}
            for cell in formulation.coarse.cells
        ]
        if any(len(side) > 1 for side in sides):
            return False
        places = [side.pop() for side in sides]
        arcs = formulation.tier_arcs[np.arange(len(places)), places]
        return bool(np.isfinite(formulation.capacities[arcs]).all()) and not self._crosses_banned(
            placement
        )

    def keeps_budgets(self, priced: PricedPlacement) -> bool:
        """Tell whether a placement keeps all budgets."""
        if self.limits is None:
            return True
        return self.limits.find_breach(priced, self.formulation.coarse) is None

    def _crosses_banned(self, placement: Placement) -> bool:
        """Tell whether a value that may not travel is read on another tier than it is made on."""
        tiers, banned = self.formulation.tiers, self.formulation.banned
        for charge in self.formulation.charges.tensors:
            if charge.tensor not in banned:
                continue
            home = tiers[-1] if charge.starts_at_last else tiers[0]
            home = placement.tier_of.get(self.graph.producer(charge.tensor) or "", home)
            ends = {placement.tier_of[name] for name in self.graph.consumers(charge.tensor)}
            if (ends | ({tiers[-1]} if charge.ends_at_last else set())) - {home}:
                return True
        return False

    @property
    def demands(self) -> Demands:
        """What every placement has to respect."""
        formulation = self.formulation
        return Demands(
            graph=self.graph,
            coarse=formulation.coarse,
            pins=formulation.pins,
            stuck=formulation.banned,
            tiers=formulation.tiers,
            elsewhere=self.elsewhere,
        )

    @property
    def statistics(self) -> SolverStatistics:
        """Size of the largest problem, number of solves and time so far."""
        vertices, arcs = self._size
        return SolverStatistics(
            vertices=vertices, arcs=arcs, solves=self.solves, seconds=self.seconds
        )

    def _settle(self, cut: MinimumCut, side: npt.NDArray[np.bool_], *, scope: str) -> Solution:
        """Price what a cut stands for, and hold the two against each other."""
        priced = self.price(self.formulation.read_placement(side, self.graph))
        proof, always = cut.certificate, self.formulation.always
        claimed = proof.cut_ticks * proof.tick + always
        slack = proof.rounding_bound + _FLOAT_NOISE * max(claimed, priced.value)
        if abs(claimed - priced.value) > slack:
            raise InternalError(
                f"The cut claims a cost of {claimed!r} and its placement costs {priced.value!r}."
            )
        return Solution(
            priced=priced, certificate=write_certificate(cut, always=always, scope=scope)
        )

    def _count(self, solve: Callable[[], MinimumCut]) -> MinimumCut:
        """Solve and count."""
        started = time.perf_counter()
        try:
            cut = solve()
        finally:
            self.solves += 1
            self.seconds += time.perf_counter() - started
        self._size = max(self._size, (cut.statistics.vertices, cut.statistics.arcs))
        return cut
