import numpy as np
import onnx
import pytest

from onnxsplit.engines.executed import read_executed_graph
from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions, KernelEvent
from onnxsplit.profiling.attribution import (
    TRUNCATED_SECONDS,
    ExecutedNode,
    NodeSignature,
    fits_graph,
    own_by_graph,
    own_by_name,
    place_operators,
    read_executed,
    read_signatures,
    split_runs,
    sum_by_operator,
)
from tests.engine_models import (
    chain_model,
    control_flow_model,
    function_model,
    half_precision_model,
)

UNFUSED = EngineOptions(threads=1, optimization="disabled")


def kernel(
    operator: str,
    op_type: str = "Relu",
    *,
    microseconds: int = 0,
    provider: str = "CPU",
    run: int = 0,
) -> KernelEvent:
    return KernelEvent(
        run=run,
        operator=operator,
        op_type=op_type,
        provider=provider,
        seconds=microseconds * 1e-6,
    )


def executed(name: str, op_type: str, inputs: str, outputs: str) -> ExecutedNode:
    return ExecutedNode(
        name=name, op_type=op_type, inputs=tuple(inputs.split()), outputs=tuple(outputs.split())
    )


def executed_nodes(model: onnx.ModelProto) -> list[ExecutedNode]:
    return read_executed(read_executed_graph(model.SerializeToString(), UNFUSED))


def trace(model: onnx.ModelProto) -> tuple[KernelEvent, ...]:
    kinds = {1: np.float32, 10: np.float16}
    value = model.graph.input[0].type.tensor_type
    shape = [dim.dim_value for dim in value.shape.dim]
    feeds = {"x": np.ones(shape, dtype=kinds[value.elem_type])}
    with open_session(model.SerializeToString(), UNFUSED, trace=True) as session:
        session.run(feeds)
        return session.end_profiling()


NODES = {
    "a": NodeSignature(op_type="Relu", outputs=("ya",)),
    "b": NodeSignature(op_type="Add", outputs=("yb",)),
}


def test_runs_are_told_apart_and_warm_ups_dropped() -> None:
    events = [kernel("a", run=run) for run in (0, 0, 1, 2, 2)]
    assert [len(run) for run in split_runs(events, warm_ups=1)] == [1, 2]


def test_a_name_owns_its_kernel_once_and_only_with_its_type() -> None:
    kernels = [kernel("a"), kernel("a"), kernel("b"), kernel("Cast_7", "Cast")]
    assert own_by_name(kernels, NODES) == ["a", None, None, None]


def test_what_lies_within_a_function_belongs_to_the_function() -> None:
    body = [
        executed("", "Relu", "x", "inner"),
        executed("b", "Neg", "inner", "inner_2"),
        executed("", "Add", "inner_2 inner", "yb"),
    ]
    assert own_by_graph(body, NODES) == ["b", "b", "b"]


def test_a_cast_before_belongs_to_the_reader_and_one_after_to_the_maker() -> None:
    nodes = [
        executed("cast_in", "Cast", "x", "x32"),
        executed("a", "Relu", "x32", "ya32"),
        executed("cast_out", "Cast", "ya32", "ya"),
        executed("", "Cast", "ya", "ya64"),
        executed("", "Add", "ya64", "yb"),
    ]
    assert own_by_graph(nodes, NODES) == ["a", "a", "a", "b", "b"]


def test_a_value_with_two_readers_belongs_to_the_first() -> None:
    nodes = [
        executed("", "Cast", "x", "x32"),
        executed("a", "Relu", "x32", "ya"),
        executed("b", "Add", "x32", "yb"),
    ]
    assert own_by_graph(nodes, NODES) == ["a", "a", "b"]


def test_what_nothing_needs_belongs_to_nobody() -> None:
    assert own_by_graph([executed("", "Neg", "x", "lost")], NODES) == [None]


def test_seconds_add_up_by_owner_with_half_a_microsecond_for_the_cut() -> None:
    kernels = [kernel("a", microseconds=3), kernel("x", microseconds=4), kernel("y")]
    sums = sum_by_operator(kernels, ["a", "a", None])
    assert sums == {
        "a": pytest.approx(7e-6 + 2 * TRUNCATED_SECONDS),
        None: pytest.approx(TRUNCATED_SECONDS),
    }


def test_an_operator_is_placed_where_its_longest_kernel_ran() -> None:
    kernels = [
        kernel("a", microseconds=1, provider="CPU"),
        kernel("a2", microseconds=9, provider="GPU"),
        kernel("b", microseconds=2, provider="CPU"),
        kernel("c", provider="CPU"),
    ]
    assert place_operators(kernels, ["a", "a", "b", None]) == {"a": "GPU", "b": "CPU"}


@pytest.mark.parametrize(
    ("nodes", "fits"),
    [
        ([executed("a", "Relu", "", ""), executed("", "Add", "", "")], True),
        ([executed("a", "Relu", "", "")], False),
        ([executed("a", "Relu", "", ""), executed("", "Mul", "", "")], False),
        ([executed("z", "Relu", "", ""), executed("", "Add", "", "")], False),
    ],
)
def test_a_run_fits_a_graph_of_the_same_nodes_in_the_same_order(
    nodes: list[ExecutedNode], *, fits: bool
) -> None:
    assert fits_graph([kernel("a"), kernel("Add_3", "Add")], nodes) is fits


@pytest.mark.parametrize("model", [chain_model(), control_flow_model()], ids=["chain", "control"])
def test_names_alone_do_for_models_without_functions(model: onnx.ModelProto) -> None:
    owners = own_by_name(trace(model), read_signatures(model.graph))
    assert sorted(map(str, owners)) == sorted(node.name for node in model.graph.node)


def test_the_executed_graph_lists_what_bodies_capture() -> None:
    nodes = {node.name: node for node in executed_nodes(control_flow_model())}
    assert "x" in nodes["if"].inputs
    assert set(nodes["loop"].inputs) >= {"b", "x"}
    assert not {"v", "go"} & set(nodes["loop"].inputs)


@pytest.mark.parametrize(
    "model", [function_model(), half_precision_model()], ids=["function", "half"]
)
def test_every_kernel_finds_its_operator_where_functions_and_casts_hide_it(
    model: onnx.ModelProto,
) -> None:
    events, nodes = trace(model), read_signatures(model.graph)
    assert None in own_by_name(events, nodes)
    graph = executed_nodes(model)
    assert fits_graph(events, graph)
    owners = own_by_graph(graph, nodes)
    assert set(owners) == set(nodes)


def test_the_calls_of_one_function_are_told_apart() -> None:
    model = function_model()
    graph = executed_nodes(model)
    owners = own_by_graph(graph, read_signatures(model.graph))
    assert [owner for owner in owners if owner != "norm"] == [
        *("call_1", "call_1", "between", "call_2", "call_2")
    ]
    assert owners.count("norm") > 10
