"""The next cut where both tiers have enough of the work.

Note on the hull. Every placement is a point: the server's share of the work, and its seconds. The
cheapest point of a given share is knapsack-hard to find, but the lower convex hull of all points is
not: a reward for each unit of work on the server only shifts the cost of every operator, so a
minimum cut finds the point that a line of that slope touches. Between two known points the next
slope to try is that of the line through them; if no point lies below it, the two span an edge of
the hull (Eisner and Severance, "Mathematical techniques for efficient record segmentation in large
shared databases", Journal of the ACM, 1976). Of what lies above the hull, only the prefixes of the
graph's order are looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnxsplit.placement import Placement
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.cuts.optimum import price_wholes
from onnxsplit.planning.cuts.separators import place_prefix
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.outlook.shares import (
    CutTable,
    measure_server_share,
    measure_shares,
    tabulate_cuts,
    weigh_cells,
)
from onnxsplit.planning.outlook.wording import (
    explain_idle_tiers,
    explain_next_cut,
    explain_small_share,
)

_MOST_SOLVES = 16
_FLOAT_NOISE = 1e-9
_STEEP = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A placement by its share of work on the server and its seconds."""

    share: float
    priced: PricedPlacement

    @property
    def seconds(self) -> float:
        """What the objective minimises: seconds, unless it is energy."""
        return self.priced.value


def is_balanced(server_share: float, least_share: float) -> bool:
    """Tell whether both tiers have at least a share of the work.

    Parameters
    ----------
    server_share, least_share : float
    """
    return least_share - _FLOAT_NOISE <= server_share <= 1 - least_share + _FLOAT_NOISE


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What is to be said of how a split shares the work.

    Parameters
    ----------
    notes : tuple of str
        Sentences; empty if every tier has enough.
    balanced : PricedPlacement or None
        A cut that gives both tiers enough, where this one does not and one was found.
    """

    notes: tuple[str, ...] = ()
    balanced: PricedPlacement | None = None


def review_balance(
    solver: Solver, placement: Placement, least_share: float, table: CutTable | None = None
) -> Balance:
    """Say that a split moves only little, and which cut moves enough; nothing if it does.

    Parameters
    ----------
    solver : Solver
    placement : Placement
    least_share : float
    table : CutTable, optional
        Made where it is needed, if not given.
    """
    if not placement.is_proper:
        return Balance()
    if len(placement.tiers) != 2:  # noqa: PLR2004 - a share of one is the rest of the other
        shares = measure_shares(solver.formulation.coarse, placement)
        return Balance(notes=explain_idle_tiers(shares, least_share))
    share = measure_server_share(solver.formulation.coarse, placement)
    if is_balanced(share, least_share):
        return Balance()
    balanced = find_balanced_cut(solver, table or tabulate_cuts(solver), least_share)
    return Balance(
        notes=(
            explain_small_share(share, least_share, placement.tiers[-1]),
            explain_next_cut(solver.graph, balanced, least_share),
        ),
        balanced=balanced,
    )


def find_balanced_cut(
    solver: Solver, table: CutTable, least_share: float
) -> PricedPlacement | None:
    """Find the cheapest known placement where both tiers have at least a share of the work.

    Parameters
    ----------
    solver : Solver
    table : CutTable
    least_share : float

    Returns
    -------
    PricedPlacement or None
        The best among the corners of the hull (see the module's note) and the prefixes of the
        graph's order. A better one may exist.
    """
    fitting = [
        point.priced
        for point in _walk_hull(solver, least_share)
        if point.priced.placement.is_proper
        and is_balanced(point.share, least_share)
        and solver.keeps_budgets(point.priced)
    ]
    window = (table.server_shares >= least_share - _FLOAT_NOISE) & (
        table.server_shares <= 1 - least_share + _FLOAT_NOISE
    )
    window[[0, -1]] = False
    seconds = np.where(window, table.seconds, np.inf)
    place = int(np.argmin(seconds))
    if np.isfinite(seconds[place]):
        prefix = solver.price(place_prefix(solver.graph, place, solver.formulation.tiers))
        fitting += [prefix] if solver.keeps_budgets(prefix) else []
    return min(fitting, key=lambda priced: priced.rank, default=None)


def _walk_hull(solver: Solver, least_share: float) -> Iterator[_Point]:
    """Yield the corners of the hull over the shares that are wanted, as far as solves allow."""
    device, server = solver.formulation.tiers
    wholes = price_wholes(solver)
    capacities = solver.formulation.capacities
    scale = _STEEP * float(capacities[np.isfinite(capacities)].sum())
    left = _touch(solver, -scale) if device not in wholes else _locate(solver, wholes[device])
    right = _touch(solver, scale) if server not in wholes else _locate(solver, wholes[server])
    yield left
    yield right
    edges = [(left, right)]
    for _ in range(_MOST_SOLVES):
        edges = [
            (a, b)
            for a, b in edges
            if b.share - a.share > _FLOAT_NOISE
            and b.share > least_share
            and a.share < 1 - least_share
        ]
        if not edges:
            return
        a, b = edges.pop(0)
        slope = (b.seconds - a.seconds) / (b.share - a.share)
        corner = _touch(solver, slope)
        yield corner
        gain = (a.seconds - corner.seconds) + slope * (corner.share - a.share)
        if gain > _FLOAT_NOISE * a.seconds:
            edges += [(a, corner), (corner, b)]


def _touch(solver: Solver, slope: float) -> _Point:
    """Find the placement that a line of this slope, in seconds per share, touches from below."""
    weights = weigh_cells(solver.formulation.coarse, solver.formulation.tiers[-1])
    extra = np.stack((weights * max(0.0, slope), weights * max(0.0, -slope)), axis=1)
    return _locate(solver, solver.solve_biased(extra))


def _locate(solver: Solver, priced: PricedPlacement) -> _Point:
    """Return a placement's point."""
    share = measure_server_share(solver.formulation.coarse, priced.placement)
    return _Point(share=share, priced=priced)
