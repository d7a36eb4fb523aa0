"""How much of the work a placement leaves to each tier, and the next cut where both have enough."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from onnxsplit.placement import Placement
from onnxsplit.planning.coarsening import CoarseGraph
from onnxsplit.planning.optimum import Solver
from onnxsplit.planning.pricing import PricedPlacement
from onnxsplit.planning.separators import find_single_tensor_cuts

_SWEEP_STEPS = 14


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


def find_balanced_cut(solver: Solver, least_share: float) -> PricedPlacement | None:
    """Find the cheapest known placement where both tiers have at least a share of the work.

    Parameters
    ----------
    solver : Solver
    least_share : float

    Returns
    -------
    PricedPlacement or None
        The best among the single-tensor cuts and the optima of a Lagrangian sweep. A better one
        may exist, since a share is a knapsack constraint.
    """
    coarse = solver.formulation.coarse
    candidates = (*price_single_tensor_cuts(solver), *_sweep(solver))
    fitting = [
        priced
        for priced in candidates
        if priced.placement.is_proper
        and least_share <= measure_server_share(coarse, priced.placement) <= 1 - least_share
    ]
    return min(fitting, key=lambda priced: priced.rank, default=None)


def price_single_tensor_cuts(solver: Solver) -> list[PricedPlacement]:
    """Price every single-tensor cut that the constraints admit, in graph order."""
    placements = (cut.place(solver.graph) for cut in find_single_tensor_cuts(solver.graph))
    return [solver.price(placement) for placement in placements if solver.admits(placement)]


def _sweep(solver: Solver) -> Iterator[PricedPlacement]:
    """Yield optima when work costs extra on one tier, from little to much."""
    coarse = solver.formulation.coarse
    device, server = solver.formulation.tiers
    weights = _weigh_cells(coarse, server)
    nothing = np.zeros(len(coarse.cells))
    scale = sum(cell.seconds[device] + cell.seconds[server] for cell in coarse.cells)
    for step in range(_SWEEP_STEPS):
        extra = weights * scale * 2.0 ** (step - _SWEEP_STEPS + 2)
        yield solver.solve_biased(extra_device=extra, extra_server=nothing)
        yield solver.solve_biased(extra_device=nothing, extra_server=extra)


def _weigh_cells(coarse: CoarseGraph, tier: str) -> npt.NDArray[np.float64]:
    """Return each cell's share of a tier's seconds, or of the operators if all are zero."""
    seconds = [cell.seconds[tier] for cell in coarse.cells]
    if not any(seconds):
        seconds = [float(len(cell.operators)) for cell in coarse.cells]
    return np.array(seconds, dtype=np.float64) / sum(seconds)
