"""The cut problem: every side priced, networkx as a second solver, what each arc is for."""

import itertools
import math
import random
from collections.abc import Callable
from fractions import Fraction

import networkx as nx
import numpy as np
import pytest

from onnxsplit.mincut import SINK, SOURCE, CutProblem, solve_minimum_cut
from onnxsplit.planning.cuts.formulation import Formulation
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.solvers import open_solver
from tests.random_graphs import Case, draw_case, list_ideals, price_by_hand, tilt

Arc = tuple[int, int, float]
UNIT = 10**15  # decimals of the cases times this are whole numbers


def _formulate(case: Case) -> Formulation:
    return open_solver(case.question, Constraints()).formulation


def _list_arcs(formulation: Formulation) -> list[Arc]:
    """Return the arcs as they were added, self-loops left out."""
    structure = formulation.structure
    merged = structure.merged_of.tolist()
    tails, heads = structure.tails.tolist(), structure.heads.tolist()
    capacities = formulation.capacities.tolist()
    return [
        (tails[place], heads[place], capacity)
        for place, capacity in zip(merged, capacities, strict=True)
        if place >= 0
    ]


def _price_side(vertices: int, arcs: list[Arc], cells: list[bool]) -> Fraction | None:
    """Price a choice of cells with the best choice of all other vertices; None if infinite."""
    side = [True, False, *cells, *([True] * (vertices - 2 - len(cells)))]
    first_other = 2 + len(cells)
    for tail, head, capacity in arcs:
        # An auxiliary vertex joins the source side if all that it leads to is there.
        if tail >= first_other and math.isinf(capacity) and not side[head]:
            side[tail] = False
    total = Fraction(0)
    for tail, head, capacity in arcs:
        if side[tail] and not side[head]:
            if math.isinf(capacity):
                return None
            total += Fraction(capacity)
    return total


def _solve_by_networkx(arcs: list[Arc]) -> Fraction:
    """Return the minimum cut's value in units, by another algorithm on whole numbers."""
    network: nx.DiGraph[int] = nx.DiGraph()
    for tail, head, capacity in arcs:
        known = network.get_edge_data(tail, head, {"capacity": 0})
        if math.isinf(capacity) or "capacity" not in known:
            network.add_edge(tail, head)
            network[tail][head].pop("capacity", None)
        else:
            units = round(Fraction(str(capacity)) * UNIT)
            network.add_edge(tail, head, capacity=known["capacity"] + units)
    network.add_nodes_from([SOURCE, SINK])
    flow = nx.maximum_flow_value(network, SOURCE, SINK, flow_func=nx.algorithms.flow.preflow_push)
    return Fraction(int(flow), UNIT)


def _find_best(case: Case) -> Fraction:
    """Return the least price of all order ideals."""
    prices = (price_by_hand(case, ideal) for ideal in list_ideals(case.graph))
    return min(price.seconds for price in prices if price is not None)


@pytest.mark.parametrize("stuck", [False, True])
def test_every_choice_of_sides_costs_what_it_should_or_is_barred(*, stuck: bool) -> None:
    allowed = barred = 0
    for seed in range(250):
        case = draw_case(random.Random(seed), groups=True, most=7, stuck=stuck)
        formulation = _formulate(case)
        arcs, cells = _list_arcs(formulation), formulation.coarse.cells
        ideals = {frozenset(ideal) for ideal in list_ideals(case.graph)}
        for sides in itertools.product([False, True], repeat=len(cells)):
            device = frozenset(
                name
                for cell, on_device in zip(cells, sides, strict=True)
                for name in cell.operators
                if on_device
            )
            found = _price_side(formulation.structure.vertex_count, arcs, list(sides))
            expected = price_by_hand(case, device) if device in ideals else None
            if expected is None:
                barred += 1
                assert found is None, f"seed {seed}: {sorted(device)} should be barred"
            else:
                allowed += 1
                assert found is not None, f"seed {seed}: {sorted(device)} should be allowed"
                assert float(found) == pytest.approx(float(expected.seconds), abs=1e-12), (
                    f"seed {seed}: {sorted(device)}"
                )
    assert allowed >= 1000
    assert barred >= 1000


@pytest.mark.parametrize("stuck", [False, True])
def test_networkx_finds_the_same_minimum_in_the_same_problem(*, stuck: bool) -> None:
    for seed in range(300):
        case = draw_case(random.Random(seed), groups=seed % 2 == 0, stuck=stuck)
        found = float(_solve_by_networkx(_list_arcs(_formulate(case))))
        assert found == pytest.approx(float(_find_best(case)), abs=1e-11), f"seed {seed}"


def _drop_reverse_arcs(formulation: Formulation, arcs: list[Arc]) -> list[Arc]:
    """Let results come back for free: cells are sorted, so only these arcs lead backwards."""
    limit = 2 + len(formulation.coarse.cells)
    return [
        (tail, head, capacity)
        for tail, head, capacity in arcs
        if not (math.isinf(capacity) and 2 <= head < tail < limit)
    ]


def _charge_each_reader(formulation: Formulation, arcs: list[Arc]) -> list[Arc]:
    """Let a value pay once for every cell that reads it."""
    limit = 2 + len(formulation.coarse.cells)
    price = {head: (tail, capacity) for tail, head, capacity in arcs if head >= limit}
    charged = []
    for tail, head, capacity in arcs:
        if head >= limit and tail != SOURCE:
            continue
        if tail >= limit and price[tail][0] != SOURCE:
            charged.append((price[tail][0], head, price[tail][1]))
        else:
            charged.append((tail, head, capacity))
    return charged


def _charge_each_vertex(formulation: Formulation, arcs: list[Arc]) -> list[Arc]:
    """Send all outputs of an operator as soon as one is read, as one transfer per vertex would."""
    limit = 2 + len(formulation.coarse.cells)
    total: dict[int, float] = {}
    for tail, head, capacity in arcs:
        if 2 <= tail < limit and head != SINK and not (2 <= head < tail):
            total[tail] = total.get(tail, 0.0) + capacity
    carrier = {
        tail: formulation.structure.vertex_count + place for place, tail in enumerate(sorted(total))
    }
    charged: list[Arc] = [(tail, carrier[tail], amount) for tail, amount in total.items()]
    for tail, head, capacity in arcs:
        if tail in carrier and head != SINK and not (2 <= head < tail):
            charged.append((carrier[tail], head, math.inf))
        else:
            charged.append((tail, head, capacity))
    return charged


def _forget_round_trip(formulation: Formulation, arcs: list[Arc]) -> list[Arc]:
    """Leave the round trip out."""
    latest = formulation.structure.vertex_count - 1
    return [arc for arc in arcs if latest not in arc[:2]]


def _charge_round_trip_to_first(formulation: Formulation, arcs: list[Arc]) -> list[Arc]:
    """Tie the round trip to the first cell alone, as if the server always ran a root."""
    latest = formulation.structure.vertex_count - 1
    return [arc for arc in arcs if arc[0] != latest or arc[1] == 2]


Variant = Callable[[Formulation, list[Arc]], list[Arc]]


@pytest.mark.parametrize(
    ("variant", "least_wrong"),
    [
        (_drop_reverse_arcs, 75),
        (_charge_each_reader, 40),
        (_charge_each_vertex, 20),
        (_forget_round_trip, 150),
        (_charge_round_trip_to_first, 100),
    ],
)
def test_each_part_of_the_construction_is_needed(variant: Variant, least_wrong: int) -> None:
    wrong = 0
    for seed in range(500):
        case = tilt(draw_case(random.Random(seed), most=10))
        formulation = _formulate(case)
        arcs = variant(formulation, _list_arcs(formulation))
        problem = CutProblem(
            vertex_count=2 * formulation.structure.vertex_count,
            tails=np.array([arc[0] for arc in arcs], dtype=np.int64),
            heads=np.array([arc[1] for arc in arcs], dtype=np.int64),
            capacities=np.array([arc[2] for arc in arcs], dtype=np.float64),
        )
        proof = solve_minimum_cut(problem).certificate
        claimed = proof.cut_ticks * proof.tick
        wrong += abs(claimed - float(_find_best(case))) > proof.rounding_bound + 1e-9
    assert wrong >= least_wrong, "the tests would not notice that it is missing"
