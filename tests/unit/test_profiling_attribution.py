import numpy as np
import onnx
import pytest

from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions, KernelEvent
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.profiling.attribution import (
    TRUNCATED_SECONDS,
    Attribution,
    attribute,
    fits_graph,
    group_by_name,
    measure_memory,
    place_operators,
    split_runs,
)
from onnxsplit.profiling.executed import ExecutedNode, read_executed
from onnxsplit.profiling.fusion import FusedGraph, FusedGroup
from tests.engine_models import (
    chain_model,
    control_flow_model,
    function_model,
    half_precision_model,
)
from tests.executed_graphs import members, model, node

UNFUSED = EngineOptions(threads=1, optimization="disabled")
PAIR = "a Relu x -> p\nb Add p -> y"


def kernel(
    operator: str,
    op_type: str = "Relu",
    *,
    microseconds: int = 0,
    provider: str = "CPU",
    run: int = 0,
    held_bytes: int | None = None,
    output_bytes: int = 0,
) -> KernelEvent:
    return KernelEvent(
        run=run,
        operator=operator,
        op_type=op_type,
        provider=provider,
        seconds=microseconds * 1e-6,
        held_bytes=held_bytes,
        output_bytes=output_bytes,
    )


def trace(
    proto: onnx.ModelProto,
) -> tuple[OperatorGraph, list[list[KernelEvent]], list[ExecutedNode]]:
    loaded = load_model(proto)
    kinds = {1: np.float32, 10: np.float16}
    value = proto.graph.input[0].type.tensor_type
    shape = [dim.dim_value for dim in value.shape.dim]
    feeds = {"x": np.ones(shape, dtype=kinds[value.elem_type])}
    with open_session(loaded.proto.SerializeToString(), UNFUSED, trace=True) as session:
        session.run(feeds)
        executed = session.executed
        runs = split_runs(session.end_profiling())
    assert executed is not None
    return read_graph(loaded, {}), list(runs.values()), read_executed(executed)


def test_runs_are_told_apart() -> None:
    runs = split_runs([kernel("a", run=run) for run in (0, 0, 1, 2, 2)])
    assert {run: len(kernels) for run, kernels in runs.items()} == {0: 2, 1: 1, 2: 2}


def test_a_name_owns_its_kernel_once_and_only_with_its_type() -> None:
    kernels = [kernel("a"), kernel("a"), kernel("b"), kernel("Cast_7", "Cast")]
    fused = group_by_name(model(PAIR), kernels)
    assert [group.nodes for group in fused.groups] == [(0,), ()]
    assert fused.strays == (1, 2, 3)


@pytest.mark.parametrize(
    ("nodes", "fits"),
    [
        ([node("a", "Relu", "", ""), node("", "Add", "", "")], True),
        ([node("a", "Relu", "", "")], False),
        ([node("a", "Relu", "", ""), node("", "Mul", "", "")], False),
        ([node("z", "Relu", "", ""), node("", "Add", "", "")], False),
    ],
)
def test_a_run_fits_a_graph_of_the_same_nodes_in_the_same_order(
    nodes: list[ExecutedNode], *, fits: bool
) -> None:
    assert fits_graph([kernel("a"), kernel("Add_3", "Add")], nodes) is fits


def test_without_the_executed_graph_names_are_all_there_is() -> None:
    run = [kernel("a", microseconds=6), kernel("fused", "Odd", microseconds=2)]
    for executed in (None, [node("a", "Relu", "x", "p")]):
        attribution, traced_back = attribute(model(PAIR), [run], executed)
        assert not traced_back
        assert members(attribution.fused) == ["a", "b"]
        assert attribution.known_share == pytest.approx(6.5 / 9)


def test_runs_of_other_kernels_than_the_first_are_left_out() -> None:
    runs = [[kernel("a")], [kernel("a"), kernel("b", "Add")], [kernel("a")]]
    attribution, _ = attribute(model(PAIR), runs, None)
    assert len(attribution.runs) == 2


def test_a_model_without_any_run_still_has_its_operators() -> None:
    attribution, _ = attribute(model(PAIR), [], None)
    assert members(attribution.fused) == ["a", "b"]
    assert attribution.known_share == 1.0
    assert place_operators(attribution) == {}


def test_seconds_add_up_with_half_a_microsecond_for_the_cut() -> None:
    run = [kernel("a", microseconds=3), kernel("x", microseconds=4)]
    attribution = Attribution(fused=FusedGraph(groups=()), runs=(run,))
    assert attribution.sum_seconds((0, 1)) == [pytest.approx(7e-6 + 2 * TRUNCATED_SECONDS)]


def test_operators_are_placed_where_the_longest_kernel_of_their_group_ran() -> None:
    run = [
        kernel("a", microseconds=1, provider="CPU"),
        kernel("a2", microseconds=9, provider="GPU"),
        kernel("b", microseconds=2, provider="CPU"),
    ]
    groups = (
        FusedGroup(operators=("a", "r"), nodes=(0, 1)),
        FusedGroup(operators=("b",), nodes=(2,)),
        FusedGroup(operators=("gone",)),
    )
    attribution = Attribution(fused=FusedGraph(groups=groups), runs=(run,))
    assert place_operators(attribution) == {"a": "GPU", "r": "GPU", "b": "CPU"}


def test_memory_is_what_is_held_beyond_what_was_held_before_the_first_kernel() -> None:
    first = [kernel("a", held_bytes=150, output_bytes=50), kernel("b", held_bytes=180)]
    attribution = Attribution(fused=FusedGraph(groups=()), runs=(first,))
    assert measure_memory(attribution, first) == {0: 50, 1: 80}
    assert measure_memory(attribution, [kernel("a"), kernel("b")]) == {}
    assert measure_memory(attribution, first[:1]) == {}


@pytest.mark.parametrize("proto", [chain_model(), control_flow_model()], ids=["chain", "control"])
def test_unfused_models_have_a_group_for_each_operator(proto: onnx.ModelProto) -> None:
    graph, runs, executed = trace(proto)
    attribution, traced_back = attribute(graph, runs, executed)
    assert traced_back
    assert members(attribution.fused) == [operator.name for operator in graph]
    assert attribution.fused.strays == ()  # a constant that one operator reads counts with it


def test_the_executed_graph_lists_what_bodies_capture() -> None:
    _, _, executed = trace(control_flow_model())
    nodes = {entry.name: entry for entry in executed}
    assert "x" in nodes["if"].inputs
    assert set(nodes["loop"].inputs) >= {"b", "x"}
    assert not {"v", "go"} & set(nodes["loop"].inputs)


@pytest.mark.parametrize(
    "proto", [function_model(), half_precision_model()], ids=["function", "half"]
)
def test_every_kernel_finds_its_operator_where_functions_and_casts_hide_it(
    proto: onnx.ModelProto,
) -> None:
    graph, runs, executed = trace(proto)
    assert group_by_name(graph, runs[0]).strays
    attribution, _ = attribute(graph, runs, executed)
    assert attribution.fused.strays == ()
    assert members(attribution.fused) == [operator.name for operator in graph]


def test_the_calls_of_one_function_are_told_apart() -> None:
    graph, runs, executed = trace(function_model())
    attribution, _ = attribute(graph, runs, executed)
    kernels = {g.operators[0]: len(g.nodes) + len(g.layout) for g in attribution.fused.groups}
    assert kernels.pop("norm") > 10
    assert kernels == {"call_1": 2, "between": 1, "call_2": 2}
