"""The policies of one kind of device: ours by the frontier, and the planner's baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.frontiers import FrontierCut
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.linear_pricing import LinearPrice, linearise
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.bandwidths import BOTH_RATES, find_regions, span_rates
from onnxsplit.planning.cuts.prefixes import PrefixRows, place_cells, tabulate_prefixes
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.outlook.baselines import find_static_split, list_cut_vertices
from onnxsplit.planning.outlook.published_cuts import find_published_cuts
from onnxsplit.planning.solvers import open_solver
from onnxsplit.simulation.policies import Cheapest, Fitted, Policy, Repaired, make_menu
from onnxsplit.tiers import Link

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_DEGREE = 2


@dataclass(slots=True, kw_only=True)
class Arena:
    """A question between a device and a server, and what its policies share.

    Parameters
    ----------
    question : Question
        Its link gives the round trip; its rates don't count.
    links : ndarray of float64, shape (links, 3)
        All that the kind of device meets: 1, 1 / uplink and 1 / downlink.
    constraints : Constraints
        What every policy has to respect.
    """

    question: Question
    links: Floats
    constraints: Constraints = field(default_factory=Constraints)
    _solver: Solver | None = field(default=None, init=False)
    _prefixes: PrefixRows | None = field(default=None, init=False)
    _prices: dict[tuple[str, ...], tuple[LinearPrice, ...]] = field(
        default_factory=dict, init=False
    )

    @property
    def solver(self) -> Solver:
        """The solver of the question, made once."""
        if self._solver is None:
            self._solver = open_solver(self.question, self.constraints)
        return self._solver

    @property
    def prefixes(self) -> PrefixRows:
        """What all prefixes cost, made once."""
        if self._prefixes is None:
            self._prefixes = tabulate_prefixes(self.solver)
        return self._prefixes

    def price(self, placement: Placement) -> tuple[LinearPrice, ...]:
        """Price a placement for all links, each once."""
        key = tuple(placement.tier_of.values())
        if key not in self._prices:
            self._prices[key] = linearise(self.question, placement)
        return self._prices[key]

    def offer(self, name: str, placements: Sequence[Placement]) -> Cheapest:
        """Return the rule that takes the cheapest of some placements, by their definition."""
        priced = [self.price(placement) for placement in placements]
        rows = [price.total for prices in priced for price in prices]
        numbers = [number for number, prices in enumerate(priced) for _ in prices]
        return make_menu(
            name, np.array(rows), np.array(numbers, dtype=np.int64), placements.__getitem__
        )

    def offer_whole(self, name: str, tier: str) -> Cheapest | None:
        """Return the rule that runs everything on one tier; None where that may not be."""
        whole = place_all(self.question, tier)
        return self.offer(name, [whole]) if self.solver.admits(whole) else None


def place_all(question: Question, tier: str) -> Placement:
    """Return the placement of all operators on one tier.

    Parameters
    ----------
    question : Question
    tier : str
    """
    tiers = question.topology.tiers
    return Placement(tiers=tiers, tier_of={operator.name: tier for operator in question.graph})


def build_policy(name: str, arena: Arena) -> Policy | None:
    """Make a policy ready; None where the method has no answer for this model.

    Parameters
    ----------
    name : str
        One of the policies of a device and a server.
    arena : Arena

    Raises
    ------
    OnnxSplitError
        The question can't be planned.
    """
    return _BUILDERS[name](arena)


def follow_frontier(name: str, question: Question, constraints: Constraints) -> Cheapest:
    """Return the rule that looks the best placement of any chain up.

    Parameters
    ----------
    name : str
    question : Question
        Its links but the first, and all round trips, stay as they are.
    constraints : Constraints

    Raises
    ------
    InfeasiblePlacementError
        No placement meets the constraints.

    Notes
    -----
    Exact: at every pair of rates the cheapest of the regions is the best of all placements.
    """
    regions = find_regions(question, constraints=constraints)
    rows = np.array([_read_row(region) for region in regions])
    placements = [region.placement for region in regions]
    return make_menu(name, rows, np.arange(len(rows)), placements.__getitem__)


def _read_row(region: FrontierCut) -> tuple[float, float, float]:
    """Return a region's cost as a row."""
    return region.constant, region.per_inverse_uplink, region.per_inverse_downlink


def _follow(arena: Arena) -> Policy:
    """Ours: the frontier's look-up."""
    return follow_frontier("ours", arena.question, arena.constraints)


def _stay(arena: Arena) -> Policy | None:
    """Everything on the device."""
    return arena.offer_whole("device-only", arena.question.topology.tiers[0])


def _leave(arena: Arena) -> Policy | None:
    """Everything on the server."""
    return arena.offer_whole("server-only", arena.question.topology.tiers[-1])


def _settle(arena: Arena) -> Policy:
    """Take the one placement that is best at the mean of what is met."""
    mean = arena.links.mean(axis=0)
    trip = arena.question.topology.links[0].round_trip_seconds
    usual = Link(
        up_bytes_per_second=1 / mean[1], down_bytes_per_second=1 / mean[2], round_trip_seconds=trip
    )
    placement = find_static_split(arena.question, [usual], open_solver, arena.constraints)
    return arena.offer("oss", [placement])


def _take_prefixes(arena: Arena, name: str, counts: Sequence[int]) -> Policy | None:
    """Take the cheapest of some prefixes of the order."""
    rows, barred = _project(arena)
    numbers = np.array(counts, dtype=np.int64)
    found = [
        (row, count)
        for side in range(len(rows))
        for row, count in zip(rows[side][numbers], numbers, strict=True)
        if not barred[side][count]
    ]
    if not found:
        return None
    return make_menu(
        name,
        np.array([row for row, _ in found]),
        np.array([count for _, count in found], dtype=np.int64),
        lambda count: place_cells(arena.solver, count),
    )


def _chain(arena: Arena) -> Policy | None:
    """Neurosurgeon: the best prefix."""
    return _take_prefixes(arena, "chain", range(len(arena.prefixes.device_work)))


def _cut_vertices(arena: Arena) -> Policy | None:
    """QDMP: the best cut behind a cut vertex."""
    last = len(arena.prefixes.device_work) - 1
    counts = [0, *(cell + 1 for cell in list_cut_vertices(arena.solver)), last]
    return _take_prefixes(arena, "qdmp", list(dict.fromkeys(counts)))


def _fit(arena: Arena) -> Policy | None:
    """Regression over the place in the order."""
    rows, barred = _project(arena)
    admitted = np.flatnonzero(~barred.all(axis=0))
    if not admitted.size:
        return None
    # The first side that a place has is its row; a further one may be cheaper at some links.
    first = np.argmin(barred[:, admitted], axis=0)
    base = rows[first, admitted]
    discounts = [
        (int(place), rows[side, count] - base[place])
        for place, count in enumerate(admitted)
        for side in range(len(rows))
        if side != first[place] and not barred[side, count]
    ]
    return Fitted(
        name="regression",
        rows=base,
        discounts=discounts,
        numbers=admitted.astype(np.int64),
        degree=min(_DEGREE, admitted.size - 1),
        find=lambda count: place_cells(arena.solver, count),
    )


def _repair(arena: Arena) -> Policy | None:
    """DADS as published, repaired where it is no placement."""
    cuts = find_published_cuts(arena.question, arena.solver)
    if not cuts:
        return None
    placements = [placement for cut in cuts for placement in cut.repairs]
    repairs, first = [], 0
    for cut in cuts:
        menu = arena.offer("dads", cut.repairs)
        numbers = menu.numbers + first
        repairs.append(replace(menu, numbers=numbers, find=placements.__getitem__))
        first += len(cut.repairs)
    return Repaired(name="dads", claims=np.array([cut.claim for cut in cuts]), repairs=repairs)


def _project(arena: Arena) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return all prefixes' rows, and which may not be, for each side that a loss may be on."""
    prefixes = arena.prefixes
    basis = span_rates(arena.question.topology, BOTH_RATES)
    total = prefixes.between + prefixes.device_work + prefixes.server_work
    barred = prefixes.between_barred | prefixes.device_barred | prefixes.server_barred
    return total @ basis.T, barred


_BUILDERS: Mapping[str, Callable[[Arena], Policy | None]] = {
    "ours": _follow,
    "device-only": _stay,
    "server-only": _leave,
    "oss": _settle,
    "regression": _fit,
    "chain": _chain,
    "qdmp": _cut_vertices,
    "dads": _repair,
}


def admit(build: Callable[[], Policy | None]) -> Policy | None:
    """Make a policy ready; None where no placement of its kind is possible."""
    try:
        return build()
    except InfeasiblePlacementError:
        return None
