"""The minimum cut with its certificate, and lexicographic tie-breaking among all minimum cuts.

Note on ties. Given a maximum flow, a cut is minimum exactly if no residual arc leaves its source
side (Picard and Queyranne, "On the structure of all minimum cuts in a network", 1980). Making
every residual arc infinite therefore leaves just the minimum cuts, and a second cost can be
minimised among them by a second maximum flow; and so on, level by level.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.mincut.certificate import TickCertificate, certify
from onnxsplit.mincut.maxflow import find_maximum_flow
from onnxsplit.mincut.problem import SINK, SOURCE, Capacities, CutProblem, check_capacities
from onnxsplit.mincut.structure import ArcStructure
from onnxsplit.mincut.ticks import Ticks, choose_scale

Side = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveStatistics:
    """Size of the solved problem and time it took.

    Parameters
    ----------
    vertices, arcs : int
        Arcs after merging parallel ones, without the empty reverses.
    seconds : float
    """

    vertices: int
    arcs: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumCut:
    """A cut that no other undercuts.

    Parameters
    ----------
    source_side : ndarray of bool, shape (vertices,)
    certificate : TickCertificate
    statistics : SolveStatistics
    """

    source_side: Side
    certificate: TickCertificate
    statistics: SolveStatistics


def solve_minimum_cut(problem: CutProblem, *, tie_breaks: Sequence[Capacities] = ()) -> MinimumCut:
    """Find a minimum cut and certify it.

    Parameters
    ----------
    problem : CutProblem
    tie_breaks : sequence of ndarray of float64, shape (arcs,)
        Further costs, in falling order of importance, to choose among the minimum cuts. Whole
        numbers whose sums stay below 2^29 are compared exactly, others to one part in 2^29.
        What then still ties is decided for the smallest source side.

    Returns
    -------
    MinimumCut

    Raises
    ------
    InfeasiblePlacementError
        Arcs that may never be cut lead from the source to the sink.
    CapacityOverflowError
        The costs add up to more than a float holds.

    Notes
    -----
    One maximum flow, and one more for each tie-break level that is needed. Exact in ticks; how
    ticks are chosen is told in ``ticks``.
    """
    started = time.perf_counter()
    structure = ArcStructure.of(problem)
    return solve_prepared(structure, problem.capacities, tie_breaks=tie_breaks, started=started)


def solve_prepared(
    structure: ArcStructure,
    capacities: Capacities,
    *,
    tie_breaks: Sequence[Capacities] = (),
    started: float | None = None,
) -> MinimumCut:
    """Solve again with other capacities on arrays that were prepared once.

    Parameters
    ----------
    structure : ArcStructure
        ``ArcStructure.of(problem)``.
    capacities : ndarray of float64, shape (arcs,)
        In the order of the problem's own arcs.
    tie_breaks : sequence of ndarray of float64, shape (arcs,)
    started : float, optional
        When the work began, by ``time.perf_counter``.

    Raises
    ------
    InfeasiblePlacementError
        Arcs that may never be cut lead from the source to the sink.
    CapacityOverflowError
        The costs add up to more than a float holds.
    """
    started = time.perf_counter() if started is None else started
    check_capacities(capacities)
    merged = structure.merge(capacities)
    levels = tuple(structure.merge(costs) for costs in tie_breaks)
    return solve_merged(structure, merged, tie_breaks=levels, started=started)


def solve_merged(
    structure: ArcStructure,
    merged: Capacities,
    *,
    tie_breaks: Sequence[Capacities] = (),
    started: float | None = None,
) -> MinimumCut:
    """Solve where parallel arcs have been merged already.

    Parameters
    ----------
    structure : ArcStructure
    merged : ndarray of float64, shape (merged arcs,)
        Not negative; 0 for an arc that is there as a reverse alone.
    tie_breaks : sequence of ndarray of float64, shape (merged arcs,)
    started : float, optional
        When the work began, by ``time.perf_counter``.

    Raises
    ------
    InfeasiblePlacementError
        Arcs that may never be cut lead from the source to the sink.
    CapacityOverflowError
        The costs add up to more than a float holds.
    """
    started = time.perf_counter() if started is None else started
    side, bound = _find_feasible_side(structure, merged)
    scale = choose_scale(merged, bound)
    ticks = scale.quantise(merged)
    flow = find_maximum_flow(structure, ticks)
    open_arcs = flow < ticks
    side = structure.reach(SOURCE, open_arcs)
    chosen = _break_ties(structure, side, open_arcs, tie_breaks)
    value = certify(structure, ticks, flow, chosen)
    return MinimumCut(
        source_side=chosen,
        certificate=TickCertificate(
            cut_ticks=value,
            flow_ticks=value,
            tick=scale.tick,
            rounding_bound=0.0 if scale.is_exact else _bound_rounding(ticks, scale.tick),
        ),
        statistics=SolveStatistics(
            vertices=structure.vertex_count,
            arcs=int(np.count_nonzero(ticks)),
            seconds=time.perf_counter() - started,
        ),
    )


def _bound_rounding(ticks: Ticks, tick: float) -> float:
    """Bound what rounding adds: half a tick for each arc of this cut and of the true optimum."""
    return tick * int(np.count_nonzero(ticks))


def _find_feasible_side(structure: ArcStructure, merged: Capacities) -> tuple[Side, float]:
    """Return a cut that severs no infinite arc, and what it costs."""
    infinite = np.isinf(merged)
    from_source = structure.reach(SOURCE, infinite)
    if from_source[SINK]:
        raise InfeasiblePlacementError("The constraints contradict each other: no cut meets them.")
    to_sink = structure.reach_backwards(SINK, infinite)
    sides = (from_source, ~to_sink)
    costs = [_cost(structure, merged, side) for side in sides]
    best = int(np.argmin(costs))
    return sides[best], costs[best]


def _cost(structure: ArcStructure, merged: Capacities, side: Side) -> float:
    """Add up the capacities of the arcs that leave a side."""
    severed = side[structure.tails] & ~side[structure.heads]
    return float(merged[severed].sum())


def _break_ties(
    structure: ArcStructure, side: Side, open_arcs: Side, tie_breaks: Sequence[Capacities]
) -> Side:
    """Choose among all minimum cuts, level by level."""
    for costs in tie_breaks:
        largest = ~structure.reach_backwards(SINK, open_arcs)
        if np.array_equal(side, largest):
            return side
        bound = min(_cost(structure, costs, cut) for cut in (side, largest))
        ticks = choose_scale(costs, bound).quantise(np.where(open_arcs, np.inf, costs))
        flow = find_maximum_flow(structure, ticks)
        # An arc that was open stays open: its residual is what kept earlier levels minimum.
        open_arcs = open_arcs | (flow < ticks)
        side = structure.reach(SOURCE, open_arcs)
    return side
