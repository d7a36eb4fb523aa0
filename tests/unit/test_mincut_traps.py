"""The traps of a 32-bit flow engine, and the certificate held against tampering."""

import math
import random

import numpy as np
import pytest

from onnxsplit.errors import InfeasiblePlacementError, InternalError
from onnxsplit.mincut import SINK, SOURCE, ArcStructure, CutProblem, certify, solve_minimum_cut
from onnxsplit.mincut.maxflow import find_maximum_flow
from onnxsplit.mincut.problem import ProblemBuilder
from onnxsplit.mincut.ticks import BUDGET_TICKS, INFINITE_TICKS, choose_scale

INF = math.inf
Arcs = list[tuple[int, int, float]]


def _problem(vertices: int, arcs: Arcs) -> CutProblem:
    builder = ProblemBuilder(vertex_count=vertices)
    for tail, head, capacity in arcs:
        builder.add_arc(tail, head, np.array([capacity]))
    return builder.build().at(np.ones(1))


def _value(vertices: int, arcs: Arcs) -> float:
    proof = solve_minimum_cut(_problem(vertices, arcs)).certificate
    return proof.cut_ticks * proof.tick


@pytest.mark.parametrize("huge", [2.0**40, 2.0**31 + 5, 1e12, 3e200])
def test_capacities_beyond_32_bits_are_not_truncated(huge: float) -> None:
    assert _value(3, [(SOURCE, 2, huge), (2, SINK, huge)]) == pytest.approx(huge, rel=1e-8)
    assert _value(3, [(SOURCE, 2, huge), (2, SINK, 7.0)]) == pytest.approx(7.0)


def test_tiny_capacities_are_not_lost_beside_huge_ones() -> None:
    assert _value(3, [(SOURCE, 2, 1e-9), (2, SINK, 1e9)]) == pytest.approx(1e-9)


def test_infinite_parallel_arcs_stay_infinite() -> None:
    arcs = [(SOURCE, 2, 1.0), (2, 3, INF), (2, 3, INF), (2, 3, INF), (3, SINK, 2.0)]
    assert _value(4, arcs) == pytest.approx(1.0)


def test_two_outputs_read_by_one_operator_give_the_reverse_arc_twice() -> None:
    arcs = [
        (SOURCE, 2, 5.0),
        (2, 3, 1.0),
        (2, 3, 2.0),
        (3, 2, INF),
        (3, 2, INF),
        (3, SINK, 9.0),
        (SOURCE, 3, 0.5),
    ]
    assert _value(4, arcs) == pytest.approx(3.5)


def test_a_pin_given_twice_is_one_pin() -> None:
    arcs = [(SOURCE, 2, INF), (SOURCE, 2, INF), (2, SINK, 4.0)]
    assert _value(3, arcs) == pytest.approx(4.0)


def test_infinite_antiparallel_arcs_keep_two_vertices_together() -> None:
    arcs = [(SOURCE, 2, 3.0), (2, 3, INF), (3, 2, INF), (2, SINK, 1.0), (3, SINK, 1.5)]
    cut = solve_minimum_cut(_problem(4, arcs))
    assert cut.source_side[2] == cut.source_side[3]
    assert _value(4, arcs) == pytest.approx(2.5)


def test_many_infinite_arcs_that_meet_do_not_wrap() -> None:
    arcs: Arcs = [(SOURCE, 2, 1.0), (SOURCE, 2, 2.0)]
    for vertex in range(3, 203):
        arcs += [(2, vertex, INF), (vertex, 2, INF), (vertex, SINK, 0.5)]
    assert _value(203, arcs) == pytest.approx(3.0)


def test_contradicting_pins_are_infeasible_even_over_long_ways() -> None:
    arcs: Arcs = [(SOURCE, 2, INF), *((v, v + 1, INF) for v in range(2, 60)), (60, SINK, INF)]
    with pytest.raises(InfeasiblePlacementError):
        solve_minimum_cut(_problem(61, arcs))


def test_a_graph_without_arcs_costs_nothing() -> None:
    cut = solve_minimum_cut(_problem(4, []))
    assert cut.certificate.cut_ticks == 0
    assert cut.source_side.tolist() == [True, False, False, False]


@pytest.mark.parametrize("capacity", [-1.0, math.nan])
def test_impossible_capacities_are_refused(capacity: float) -> None:
    with pytest.raises(InternalError):
        _problem(3, [(SOURCE, 2, capacity)])


def test_arcs_between_unknown_vertices_are_refused() -> None:
    with pytest.raises(InternalError):
        _problem(3, [(SOURCE, 3, 1.0)])


def test_costs_that_a_person_wrote_get_a_common_tick_and_no_rounding() -> None:
    scale = choose_scale(np.array([0.001, 0.0125, 2.0, INF]), 3.0)
    assert scale.is_exact
    assert scale.tick == pytest.approx(5e-4)
    assert scale.quantise(np.array([0.0125, 9.0, INF])).tolist() == [25, 6001, INFINITE_TICKS]


def test_bytes_over_a_rate_that_is_no_decimal_are_exact_too() -> None:
    rate = 1.1e6 / 8
    costs = np.array([100 / rate, 200 / rate, 0.0005, 0.003])
    scale = choose_scale(costs, 0.01)
    assert scale.is_exact
    one, two, *_ = scale.quantise(costs).tolist()
    assert two == 2 * one


def test_other_costs_are_rounded_to_a_fraction_of_the_bound() -> None:
    scale = choose_scale(np.array([0.123456789123, np.pi / 10]), 1.0)
    assert not scale.is_exact
    assert scale.tick == 1.0 / BUDGET_TICKS


ARCS: Arcs = [
    (SOURCE, 2, 3.0),
    (SOURCE, 3, 2.0),
    (2, 3, 1.0),
    (2, SINK, 2.0),
    (3, SINK, 4.0),
    (3, 2, INF),
]


class TestCertificate:
    """A flow and a cut that belong together pass; whatever is tampered with is found."""

    def _solve(self) -> tuple[ArcStructure, np.ndarray, np.ndarray, np.ndarray]:
        problem = _problem(4, ARCS)
        structure = ArcStructure.of(problem)
        merged = structure.merge(problem.capacities)
        ticks = choose_scale(merged, 5.0).quantise(merged)
        flow = find_maximum_flow(structure, ticks)
        return structure, ticks, flow, structure.reach(SOURCE, flow < ticks)

    def _arc(self, structure: ArcStructure, tail: int, head: int) -> int:
        return int(np.flatnonzero((structure.tails == tail) & (structure.heads == head))[0])

    def test_an_honest_pair_passes(self) -> None:
        structure, ticks, flow, side = self._solve()
        assert certify(structure, ticks, flow, side) == 5

    def test_a_flow_with_one_unit_missing_is_found(self) -> None:
        structure, ticks, flow, side = self._solve()
        arc = self._arc(structure, 3, SINK)
        flow[arc] -= 1
        flow[structure.reverse_of[arc]] += 1
        with pytest.raises(InternalError, match="Vertex 3"):
            certify(structure, ticks, flow, side)

    def test_a_flow_that_differs_from_its_reverse_is_found(self) -> None:
        structure, ticks, flow, side = self._solve()
        flow[self._arc(structure, 3, SINK)] -= 1
        with pytest.raises(InternalError, match="reverse"):
            certify(structure, ticks, flow, side)

    def test_a_capacity_exceeded_is_found(self) -> None:
        structure, ticks, flow, side = self._solve()
        arc = self._arc(structure, 2, SINK)
        ticks[arc] = flow[arc] - 1
        with pytest.raises(InternalError, match="exceeds"):
            certify(structure, ticks, flow, side)

    def test_a_smaller_flow_than_the_cut_is_found(self) -> None:
        structure, ticks, flow, side = self._solve()
        with pytest.raises(InternalError, match="carries 0"):
            certify(structure, ticks, np.zeros_like(flow), side)

    def test_a_cut_that_is_not_minimum_is_found(self) -> None:
        structure, ticks, flow, _ = self._solve()
        with pytest.raises(InternalError, match="carries"):
            certify(structure, ticks, flow, np.array([True, False, True, True]))

    def test_a_severed_infinite_arc_is_found(self) -> None:
        structure, ticks, flow, _ = self._solve()
        with pytest.raises(InternalError, match="never be cut"):
            certify(structure, ticks, flow, np.array([True, False, False, True]))

    def test_a_cut_on_the_wrong_side_is_found(self) -> None:
        structure, ticks, flow, side = self._solve()
        with pytest.raises(InternalError, match="separate"):
            certify(structure, ticks, flow, ~side)


def test_rounding_never_lifts_the_optimum_above_what_was_clamped() -> None:
    # Five arcs whose ticks are all rounded up reach the clamped arc's ticks if it is clamped just
    # above the bound; the dearer cut then looks as cheap as the least one.
    found = 0
    for seed in range(2000):
        rng = random.Random(seed)
        parts = [rng.uniform(0.01, 0.1) for _ in range(rng.randint(2, 6))]
        dear = sum(parts) * rng.uniform(1.001, 1.2)
        builder = ProblemBuilder()
        vertex = builder.add_vertices()
        builder.add_arc(SOURCE, vertex, np.array([dear]))
        for part in parts:
            middle = builder.add_vertices()
            builder.add_arc(vertex, middle, np.array([part]))
            builder.add_arc(middle, SINK)
        cut = solve_minimum_cut(builder.build().at(np.ones(1)))
        assert cut.source_side[vertex], f"seed {seed}: the dearer cut was taken"
        found += cut.certificate.rounding_bound > 0
    assert found > 1000
