"""How much of the work a placement leaves to each tier, and the next cut where both have enough."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.placement import Placement
from onnxsplit.planning.coarsening import CoarseGraph
from onnxsplit.planning.optimum import Solver
from onnxsplit.planning.pricing import PricedPlacement
from onnxsplit.planning.separators import SingleTensorCut, find_single_tensor_cuts

_SWEEP_STEPS = 8

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutTable:
    """The single-tensor cuts that the constraints admit, cheapest first.

    Parameters
    ----------
    cuts : tuple of SingleTensorCut
    server_shares : tuple of float
        The server's share of the work at each.
    """

    cuts: tuple[SingleTensorCut, ...]
    server_shares: tuple[float, ...]


def tabulate_cuts(solver: Solver) -> CutTable:
    """Rank all single-tensor cuts.

    Parameters
    ----------
    solver : Solver

    Returns
    -------
    CutTable
        Without cuts that divide a kernel, contradict a pin or send what may not travel.

    Notes
    -----
    O(n + m) and a sort: the costs of all prefixes are running sums.
    """
    formulation, graph = solver.formulation, solver.graph
    cells = formulation.coarse.cells
    last = np.array([graph.position(cell.operators[-1]) for cell in cells], dtype=np.int64)
    first = np.array([graph.position(cell.operators[0]) for cell in cells], dtype=np.int64)
    on_device = _sum_before(formulation.capacities[formulation.device_arcs], last, len(graph))
    on_server = _sum_from(formulation.capacities[formulation.server_arcs], first, len(graph))
    work = _sum_from(_weigh_cells(formulation.coarse, formulation.tiers[-1]), first, len(graph))
    divided = _sum_before(np.ones(len(cells)), first, len(graph)) != _sum_before(
        np.ones(len(cells)), last, len(graph)
    )
    link = formulation.link
    rows = []
    for cut in find_single_tensor_cuts(graph):
        place = cut.device_operators
        size = graph.tensors[cut.tensor].size_bytes
        if divided[place] or cut.tensor in formulation.banned or size is None:
            continue
        seconds = on_device[place] + on_server[place] + size / link.up_bytes_per_second
        if np.isfinite(seconds):
            rows.append((float(seconds), size, place, cut, float(work[place])))
    rows.sort(key=lambda row: row[:3])
    return CutTable(cuts=tuple(row[3] for row in rows), server_shares=tuple(row[4] for row in rows))


def measure_server_share(coarse: CoarseGraph, placement: Placement) -> float:
    """Return the server's share of the work, counted in its own seconds.

    Parameters
    ----------
    coarse : CoarseGraph
    placement : Placement
        Of this graph's operators.

    Returns
    -------
    float
        Between 0 and 1; by number of operators where no time was measured at all.
    """
    server = placement.tiers[-1]
    weights: list[float] = _weigh_cells(coarse, server).tolist()
    return sum(
        weight
        * sum(placement.tier_of[name] == server for name in cell.operators)
        / len(cell.operators)
        for cell, weight in zip(coarse.cells, weights, strict=True)
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
        The best among the single-tensor cuts and the optima of a Lagrangian sweep. A better one
        may exist, since a share is a knapsack constraint.
    """
    coarse = solver.formulation.coarse
    fitting = [
        priced
        for priced in _sweep(solver)
        if priced.placement.is_proper
        and least_share <= measure_server_share(coarse, priced.placement) <= 1 - least_share
    ]
    for cut, share in zip(table.cuts, table.server_shares, strict=True):
        if least_share <= share <= 1 - least_share:
            fitting.append(solver.price(cut.place(solver.graph)))
            break
    return min(fitting, key=lambda priced: priced.rank, default=None)


def _sweep(solver: Solver) -> Iterator[PricedPlacement]:
    """Yield optima when work costs extra on one tier, from little to much."""
    coarse = solver.formulation.coarse
    device, server = solver.formulation.tiers
    weights = _weigh_cells(coarse, server)
    nothing = np.zeros(len(coarse.cells))
    scale = sum(cell.seconds[device] + cell.seconds[server] for cell in coarse.cells)
    for step in range(_SWEEP_STEPS):
        extra = weights * scale * 4.0 ** (step - _SWEEP_STEPS + 2)
        yield solver.solve_biased(extra_device=extra, extra_server=nothing)
        yield solver.solve_biased(extra_device=nothing, extra_server=extra)


def _sum_before(values: Floats, places: npt.NDArray[np.int64], count: int) -> Floats:
    """Return for each prefix length the sum of the values at places within the prefix."""
    at_place = np.bincount(places, weights=values, minlength=count)
    return np.concatenate(([0.0], np.cumsum(at_place)))


def _sum_from(values: Floats, places: npt.NDArray[np.int64], count: int) -> Floats:
    """Return for each prefix length the sum of the values at places beyond the prefix."""
    at_place = np.bincount(places, weights=values, minlength=count)
    return np.concatenate((np.cumsum(at_place[::-1])[::-1], [0.0]))


def _weigh_cells(coarse: CoarseGraph, tier: str) -> Floats:
    """Return each cell's share of a tier's seconds, or of the operators if all are zero."""
    seconds = [cell.seconds[tier] for cell in coarse.cells]
    if not any(seconds):
        seconds = [float(len(cell.operators)) for cell in coarse.cells]
    return np.array(seconds, dtype=np.float64) / sum(seconds)
