"""How much of the work a placement leaves to each tier, and what all prefixes of the order cost."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.graph import OperatorGraph
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.charges import read_parameters
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.planning.cuts.separators import SingleTensorCut, find_single_tensor_cuts
from onnxsplit.planning.cuts.solver import Solver

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutTable:
    """The prefixes of the graph's order as cuts, and those among them that one tensor crosses.

    Parameters
    ----------
    seconds : ndarray of float64, shape (operators + 1,)
        Latency when the first operators, as many as the index says, run on the device; ``inf``
        where that divides a kernel, contradicts a pin or sends what may not travel.
    server_shares : ndarray of float64, shape (operators + 1,)
        The server's share of the work.
    cuts : tuple of SingleTensorCut
        Those that the constraints admit, cheapest first.
    """

    seconds: Floats
    server_shares: Floats
    cuts: tuple[SingleTensorCut, ...]


def tabulate_cuts(solver: Solver) -> CutTable:
    """Price all prefixes of the graph's order.

    Parameters
    ----------
    solver : Solver
        Of two tiers: with more, a prefix tells no placement.

    Returns
    -------
    CutTable

    Notes
    -----
    O(n + m) and a sort: the costs of all prefixes are running sums. They rank cuts; whatever is
    shown is priced by itself. What vertices share (a round trip, parameters) ranks no cut.
    """
    formulation, graph = solver.formulation, solver.graph
    cells, count = formulation.coarse.cells, len(graph)
    last = np.array([graph.position(cell.operators[-1]) for cell in cells], dtype=np.int64)
    first = np.array([graph.position(cell.operators[0]) for cell in cells], dtype=np.int64)
    each = np.ones(len(cells))
    divided = _sum_before(each, first, count) != _sum_before(each, last, count)
    transfers, stuck = _sum_transfers(solver)
    trips = float(formulation.charges.beyond[0] @ read_parameters(formulation.topology))
    seconds = (
        _sum_before(formulation.capacities[formulation.tier_arcs[:, 0]], last, count)
        + _sum_from(formulation.capacities[formulation.tier_arcs[:, 1]], first, count)
        + transfers
        + trips
    )
    seconds[-1] -= trips
    seconds[divided | stuck] = np.inf
    admitted = [
        cut for cut in find_single_tensor_cuts(graph) if np.isfinite(seconds[cut.device_operators])
    ]
    return CutTable(
        seconds=seconds,
        server_shares=_sum_from(
            weigh_cells(formulation.coarse, formulation.tiers[-1]), first, count
        ),
        cuts=tuple(
            sorted(
                admitted,
                key=lambda cut: (
                    seconds[cut.device_operators],
                    graph.tensors[cut.tensor].size_bytes,
                    cut.device_operators,
                ),
            )
        ),
    )


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
    return _measure_share(coarse, placement, placement.tiers[-1])


def measure_shares(coarse: CoarseGraph, placement: Placement) -> dict[str, float]:
    """Return each tier's share of the work, counted in its own seconds.

    Parameters
    ----------
    coarse : CoarseGraph
    placement : Placement

    Returns
    -------
    dict of str to float
        They need not add up to 1, for what is quick on one tier may be slow on another.
    """
    return {tier: _measure_share(coarse, placement, tier) for tier in placement.tiers}


def weigh_cells(coarse: CoarseGraph, tier: str) -> Floats:
    """Return each cell's share of a tier's seconds, or of the operators if all are zero.

    Parameters
    ----------
    coarse : CoarseGraph
    tier : str

    Returns
    -------
    ndarray of float64, shape (cells,)
    """
    seconds = [cell.seconds[tier] for cell in coarse.cells]
    if not any(seconds):
        seconds = [float(len(cell.operators)) for cell in coarse.cells]
    return np.array(seconds, dtype=np.float64) / sum(seconds)


def sum_crossings(
    graph: OperatorGraph, stuck: frozenset[str]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return for each prefix of the graph's order the bytes that cross, and whether a stuck does.

    Parameters
    ----------
    graph : OperatorGraph
    stuck : frozenset of str
        Values that may not cross; neither may those whose size is not known.

    Returns
    -------
    ndarray of float64, shape (operators + 1,)
    ndarray of bool, shape (operators + 1,)
    """
    changes = np.zeros((2, len(graph) + 2))
    for tensor, spec in graph.tensors.items():
        readers = graph.consumers(tensor)
        if readers:
            maker = graph.producer(tensor)
            begin = 0 if maker is None else graph.position(maker) + 1
            end = graph.position(readers[-1]) + 1
            is_stuck = tensor in stuck or spec.size_bytes is None
            row, amount = (1, 1) if is_stuck else (0, spec.size_bytes or 0)
            changes[row, begin] += amount
            changes[row, end] -= amount
    sizes, barred = np.cumsum(changes, axis=1)[:, :-1]
    return sizes, barred > 0


def _measure_share(coarse: CoarseGraph, placement: Placement, tier: str) -> float:
    """Return one tier's share of the work, in its own seconds."""
    weights: list[float] = weigh_cells(coarse, tier).tolist()
    return sum(
        weight
        * sum(placement.tier_of[name] == tier for name in cell.operators)
        / len(cell.operators)
        for cell, weight in zip(coarse.cells, weights, strict=True)
    )


def _sum_transfers(solver: Solver) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return for each prefix length what crosses costs, and whether a stuck value crosses."""
    graph, formulation = solver.graph, solver.formulation
    parameters = read_parameters(formulation.topology)
    changes = np.zeros((2, len(graph) + 2))
    for charge in formulation.charges.tensors:
        if charge.tensor not in graph.tensors:  # labels are no value of the model
            continue
        maker = graph.producer(charge.tensor)
        begin = 0 if maker is None else graph.position(maker) + 1
        readers = [graph.position(name) for name in graph.consumers(charge.tensor)]
        is_read_behind = charge.ends_at_last or max(charge.readers, default=0) >= len(
            formulation.coarse.cells
        )
        end = len(graph) + 1 if is_read_behind else max(readers, default=-1) + 1
        if charge.starts_at_last:
            begin, end = min(readers, default=len(graph)) + 1, len(graph) + 1
        costs = [charge.forward[0]]
        if charge.gradient is not None:
            costs.append(charge.gradient[0])
        cost = sum(float(row @ parameters) for row in costs)
        row, amount = (0, cost) if np.isfinite(cost) else (1, 1.0)
        if begin < end:
            changes[row, begin] += amount
            changes[row, end] -= amount
    transfers, stuck = np.cumsum(changes, axis=1)[:, :-1]
    return transfers, stuck > 0


def _sum_before(values: Floats, places: Places, count: int) -> Floats:
    """Return for each prefix length the sum of the values at places within the prefix."""
    at_place = np.bincount(places, weights=values, minlength=count)
    return np.concatenate(([0.0], np.cumsum(at_place)))


def _sum_from(values: Floats, places: Places, count: int) -> Floats:
    """Return for each prefix length the sum of the values at places beyond the prefix."""
    at_place = np.bincount(places, weights=values, minlength=count)
    return np.concatenate((np.cumsum(at_place[::-1])[::-1], [0.0]))
