from collections.abc import Sequence

import pytest

from onnxsplit.engines.port import EngineOptions
from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import BoundaryCost
from onnxsplit.profiling.attribution import Attribution
from onnxsplit.profiling.boundaries import needs_rates, price_boundaries
from onnxsplit.profiling.executed import ExecutedNode
from onnxsplit.profiling.fusion import group_operators
from onnxsplit.profiling.instruments import Instruments
from onnxsplit.profiling.layouts import find_boundary_work
from onnxsplit.profiling.overheads import WorkRates, measure_layout_rates, measure_run
from tests.executed_graphs import model, node

RESIDUAL = model(
    """
    stem Conv x -> s
    one Conv s -> c1
    add1 Add c1 s -> a1
    relu1 Relu a1 -> r1
    two Conv r1 -> c2
    add2 Add c2 r1 -> a2
    pool MaxPool a2 -> p
    last Conv p -> y
    """,
    size=1000,
)
EXECUTED = [
    node("s_nchwc", "nchwc.Conv", "x w", "t0"),
    node("c1_nchwc", "nchwc.Conv", "t0 w", "t1", addend="t0", activation="Relu"),
    node("c2_nchwc", "nchwc.Conv", "t1 w", "t2", addend="t1"),
    node("p_nchwc", "nchwc.MaxPool", "t2", "t3"),
    node("y_nchwc", "nchwc.Conv", "t3 w", "t4"),
    node("ReorderOutput", "nchwc.ReorderOutput", "t4", "y"),
]


def work(
    graph: OperatorGraph, executed: Sequence[ExecutedNode], value: str
) -> tuple[list[str], list[str]]:
    found = find_boundary_work(graph, executed, group_operators(graph, executed))
    if value not in found:
        return [], []
    sides = (found[value].send, found[value].receive)
    send, receive = ([f"{'-' * (w.sign < 0)}{w.kind} {w.value}" for w in side] for side in sides)
    return send, receive


def test_a_value_laid_out_in_blocks_is_turned_back_where_it_leaves() -> None:
    send, receive = work(RESIDUAL, EXECUTED, "p")
    assert send == ["ReorderOutput p"]
    assert receive == ["ReorderInput p"]


def test_an_addition_that_meets_a_plain_value_is_lost_and_so_are_those_behind_it() -> None:
    _, receive = work(RESIDUAL, EXECUTED, "s")
    assert receive == [
        "ReorderInput s",
        *("ReorderOutput r1", "Add r1", "Relu r1"),
        "ReorderInput r1",
        *("ReorderOutput a2", "Add a2"),
        "ReorderInput p",
    ]


def test_what_follows_a_convolution_without_addition_stays_blocked() -> None:
    _, receive = work(RESIDUAL, EXECUTED, "a2")
    assert receive == ["ReorderInput p"]


def test_values_between_plain_kernels_cost_nothing() -> None:
    graph = model("a Relu x -> p\nb Tanh p -> q\nc Relu q -> y")
    executed = [
        node("a", "Relu", "x", "p"),
        node("b", "Tanh", "p", "q"),
        node("c", "Relu", "q", "y"),
    ]
    assert not needs_rates(executed)
    assert find_boundary_work(graph, executed, group_operators(graph, executed)) == {}


def test_a_value_that_is_read_plain_as_well_costs_only_its_blocked_readers() -> None:
    graph = model("a Conv x -> p\nb Tanh p -> q\nc Conv p -> y", outputs="q y")
    executed = [
        node("p_nchwc", "nchwc.Conv", "x w", "t0"),
        node("ReorderOutput", "nchwc.ReorderOutput", "t0", "p"),
        node("b", "Tanh", "p", "q"),
        node("y_nchwc", "nchwc.Conv", "t0 w", "t1"),
        node("ReorderOutput_1", "nchwc.ReorderOutput", "t1", "y"),
    ]
    send, receive = work(graph, executed, "p")
    assert send == []
    assert receive == ["-ReorderOutput p", "ReorderInput p"]


def test_a_blocked_value_that_meets_a_plain_one_in_a_concatenation_is_turned_back() -> None:
    graph = model("a Conv x -> p\nb Conv x -> q\ncat Concat p q -> k\nc Conv k -> y")
    executed = [
        node("p_nchwc", "nchwc.Conv", "x w", "t0"),
        node("q_nchwc", "nchwc.Conv", "x w", "t1"),
        node("cat", "Concat", "t0 t1", "t2"),
        node("y_nchwc", "nchwc.Conv", "t2 w", "t3"),
        node("ReorderOutput", "nchwc.ReorderOutput", "t3", "y"),
    ]
    _, receive = work(graph, executed, "p")
    assert receive == ["ReorderOutput q", "ReorderInput k"]


def test_work_is_priced_by_size_and_never_below_zero() -> None:
    kinds = ("ReorderInput", "ReorderOutput", "Add", "Relu")
    rates = WorkRates(seconds={kind: [(0, 0.0), (4000, 1e-6), (8000, 3e-6)] for kind in kinds})
    assert rates.estimate("Add", 6000) == pytest.approx(2e-6)
    assert rates.estimate("Add", 16000) == pytest.approx(6e-6)
    fused = group_operators(RESIDUAL, EXECUTED)
    attribution = Attribution(fused=fused, runs=())
    costs = price_boundaries(RESIDUAL, EXECUTED, attribution, rates)
    assert costs["p"] == BoundaryCost(send_seconds=1e-6, receive_seconds=1e-6)
    assert costs["s"] == BoundaryCost(send_seconds=1e-6, receive_seconds=8e-6)
    graph = model("a Conv x -> p\nb Tanh p -> q\nc Relu p -> y", outputs="q y")
    executed = [
        node("p_nchwc", "nchwc.Conv", "x w", "t0"),
        node("ReorderOutput", "nchwc.ReorderOutput", "t0", "p"),
        node("b", "Tanh", "p", "q"),
        node("c", "Relu", "p", "y"),
    ]
    attribution = Attribution(fused=group_operators(graph, executed), runs=())
    assert price_boundaries(graph, executed, attribution, rates) == {}


def test_rates_and_an_empty_run_are_measured_on_this_machine() -> None:
    options, instruments = EngineOptions(threads=1), Instruments()
    run_seconds = measure_run(options, instruments)
    assert run_seconds > 0
    rates = measure_layout_rates(options, instruments, run_seconds)
    assert rates is not None
    assert all(seconds >= 0 for points in rates.seconds.values() for _, seconds in points)
    assert rates.estimate("ReorderInput", 6_000_000) > 0
