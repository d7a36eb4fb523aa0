"""The minimum cut against networkx and against every side of small graphs."""

import itertools
import math
import random
from fractions import Fraction

import networkx as nx
import numpy as np
import pytest

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.mincut import SINK, SOURCE, CutProblem, MinimumCut, solve_minimum_cut

Arc = tuple[int, int, float]
_UNIT = 10**20  # networkx's flow is exact on whole numbers of any size


def _draw_arcs(rng: random.Random, vertices: int, *, decimals: int) -> list[Arc]:
    """Draw arcs with parallels, antiparallels, self-loops, zeros and infinities among them."""
    arcs: list[Arc] = []
    for _ in range(rng.randint(1, 4 * vertices)):
        tail, head = rng.randrange(vertices), rng.randrange(vertices)
        kind = rng.random()
        if kind < 0.12:
            capacity = math.inf
        elif kind < 0.2:
            capacity = 0.0
        else:
            capacity = rng.randint(1, 40) / 10**decimals
        arcs.append((tail, head, capacity))
        if rng.random() < 0.15:
            arcs.append((head, tail, rng.choice([math.inf, capacity])))
        if rng.random() < 0.1:
            arcs.append((tail, head, capacity))
    return arcs


def _problem(vertices: int, arcs: list[Arc]) -> CutProblem:
    return CutProblem(
        vertex_count=vertices,
        tails=np.array([arc[0] for arc in arcs], dtype=np.int64),
        heads=np.array([arc[1] for arc in arcs], dtype=np.int64),
        capacities=np.array([arc[2] for arc in arcs], dtype=np.float64),
    )


def _solve_by_networkx(vertices: int, arcs: list[Arc]) -> Fraction | None:
    """Return the minimum cut's value in exact fractions; None where there is none."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(vertices))
    for tail, head, capacity in arcs:
        if tail == head:
            continue
        previous = graph.get_edge_data(tail, head, {"capacity": 0})
        if "capacity" not in previous or math.isinf(capacity):
            graph.add_edge(tail, head)
            graph[tail][head].pop("capacity", None)
        else:
            total = previous["capacity"] + int(Fraction(str(capacity)) * _UNIT)
            graph.add_edge(tail, head, capacity=total)
    try:
        flow = nx.maximum_flow_value(graph, SOURCE, SINK, flow_func=nx.algorithms.flow.preflow_push)
    except nx.NetworkXUnbounded:
        return None
    return Fraction(int(flow), _UNIT)


def _cost(arcs: list[Arc], source_side: list[bool], costs: list[float]) -> Fraction | None:
    """Price a side in fractions; None if it severs an infinite arc."""
    total = Fraction(0)
    for (tail, head, capacity), cost in zip(arcs, costs, strict=True):
        if source_side[tail] and not source_side[head]:
            if math.isinf(capacity):
                return None
            total += Fraction(str(cost))
    return total


def _check_value(arcs: list[Arc], cut: MinimumCut, expected: Fraction, seed: int) -> None:
    price = _cost(arcs, cut.source_side.tolist(), [arc[2] for arc in arcs])
    assert price is not None, f"seed {seed}: an infinite arc is cut"
    slack = cut.certificate.rounding_bound
    assert abs(float(price - expected)) <= slack + 1e-12 * float(expected), f"seed {seed}"
    ticks = cut.certificate.cut_ticks * cut.certificate.tick
    assert abs(ticks - float(expected)) <= slack + 1e-9 * float(expected), f"seed {seed}"


@pytest.mark.parametrize("block", range(10))
def test_the_cut_costs_what_networkx_finds(block: int) -> None:
    infeasible = 0
    for seed in range(block * 250, (block + 1) * 250):
        rng = random.Random(seed)
        vertices = rng.randint(2, 14)
        arcs = _draw_arcs(rng, vertices, decimals=rng.choice([0, 1, 3, 17]))
        expected = _solve_by_networkx(vertices, arcs)
        if expected is None:
            infeasible += 1
            with pytest.raises(InfeasiblePlacementError):
                solve_minimum_cut(_problem(vertices, arcs))
            continue
        _check_value(arcs, solve_minimum_cut(_problem(vertices, arcs)), expected, seed)
    assert 10 <= infeasible <= 200


def test_ties_are_broken_as_trying_every_side_would() -> None:
    interior = 0
    for seed in range(1500):
        rng = random.Random(seed)
        vertices = rng.randint(3, 8)
        arcs = [
            (t, h, min(c, 3.0) if math.isfinite(c) else c)
            for t, h, c in _draw_arcs(rng, vertices, decimals=0)
        ]
        levels = [[float(rng.randint(0, 3)) for _ in arcs] for _ in range(2)]
        best: tuple[Fraction, ...] | None = None
        for inner in itertools.product([False, True], repeat=vertices - 2):
            side = [True, False, *inner]
            prices = [_cost(arcs, side, costs) for costs in ([a[2] for a in arcs], *levels)]
            if prices[0] is not None:
                key = tuple(price for price in prices if price is not None)
                best = key if best is None else min(best, key)
        if best is None:
            continue
        cut = solve_minimum_cut(
            _problem(vertices, arcs), tie_breaks=[np.array(costs) for costs in levels]
        )
        side = cut.source_side.tolist()
        interior += 0 < sum(side[2:]) < vertices - 2
        found = [_cost(arcs, side, costs) for costs in ([a[2] for a in arcs], *levels)]
        assert tuple(price for price in found if price is not None) == best, f"seed {seed}"
    assert interior >= 300


def test_sums_of_written_decimals_tie_exactly() -> None:
    # 0.1 + 0.2 against 0.3: unequal as floats, equal as written. Fewer severed arcs wins.
    arcs = [(SOURCE, 2, 0.1), (SOURCE, 2, 0.2), (2, SINK, 0.3)]
    arcs_by_two = [(SOURCE, 2, 0.1), (SOURCE, 3, 0.2), (2, 4, 9.0), (3, 4, 9.0), (4, SINK, 0.3)]
    for case in (arcs, arcs_by_two):
        cut = solve_minimum_cut(_problem(5, case), tie_breaks=[np.ones(len(case))])
        severed = [arc for arc in case if cut.source_side[arc[0]] and not cut.source_side[arc[1]]]
        assert cut.certificate.rounding_bound == 0
        assert sum(arc[2] for arc in severed) == pytest.approx(0.3)
    assert severed == [(4, SINK, 0.3)]
