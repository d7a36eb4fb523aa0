import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxsplit.engines.port import EngineOptions, KernelEvent
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.profiles import BoundaryCost, Profile
from onnxsplit.profiling.assembly import Measurement, assemble_profile
from onnxsplit.profiling.attribution import Attribution, attribute
from onnxsplit.profiling.fusion import FusedGraph, FusedGroup

CPU, GPU = "CPUExecutionProvider", "CUDAExecutionProvider"


def chain_graph(length: int) -> OperatorGraph:
    names = [f"n{place}" for place in range(length)]
    values = ["x", *(f"v{place}" for place in range(length))]
    return OperatorGraph(
        identity=ModelIdentity(sha256="ab", structure="cd"),
        operators=tuple(
            Operator(
                name=name,
                op_type="Relu",
                domain="",
                index=place,
                inputs=(values[place],),
                outputs=(values[place + 1],),
            )
            for place, name in enumerate(names)
        ),
        tensors={value: TensorSpec(name=value, dtype="float32", shape=(2,)) for value in values},
        inputs=("x",),
        outputs=(values[-1],),
        constant_operators=("folded",),
    )


def run_of(microseconds: dict[str, int], provider: str = CPU) -> list[KernelEvent]:
    return [
        KernelEvent(run=0, operator=name, op_type="Relu", provider=provider, seconds=value * 1e-6)
        for name, value in microseconds.items()
    ]


def assemble(
    graph: OperatorGraph,
    runs: list[list[KernelEvent]],
    whole: list[float],
    *,
    provider: str = CPU,
    attribution: Attribution | None = None,
    **changes: Any,  # noqa: ANN401 - any field of Measurement
) -> Profile:
    named, _ = attribute(graph, runs, None)
    return assemble_profile(
        graph,
        Measurement(
            method="fused",
            whole_seconds=tuple(whole),
            attribution=attribution or named,
            **changes,
        ),
        options=EngineOptions(provider=provider),
        tier="device",
        environment={"threads": 1},
    )


def test_operators_keep_their_proportions_and_add_up_to_the_whole() -> None:
    # With half a microsecond for the cut: 2 and 6 microseconds, of a whole of 4.
    profile = assemble(chain_graph(2), [run_of({"n0": 1, "n1": 5})], [4e-6])
    seconds = {group.operators: group.seconds for group in profile.groups}
    assert seconds == {
        ("n0",): pytest.approx(0.86e-6, abs=1e-8),
        ("n1",): pytest.approx(3.14e-6, abs=1e-8),
    }
    assert profile.total_seconds == pytest.approx(4e-6, abs=1e-9)
    assert profile.extra["kernel_sum_seconds"] == pytest.approx(7e-6)
    assert profile.extra["scale"] == pytest.approx(4 / 7, abs=1e-6)
    assert profile.evidence == "measured"
    assert profile.model == ModelIdentity(sha256="ab", structure="cd")


def test_what_any_run_costs_is_set_apart_and_the_rest_still_adds_up() -> None:
    profile = assemble(chain_graph(2), [run_of({"n0": 1, "n1": 5})], [40e-6], run_seconds=5e-6)
    assert profile.run_seconds == 5e-6
    assert profile.total_seconds == pytest.approx(40e-6, abs=2e-9)
    assert profile.extra["scale"] == pytest.approx(35 / 7, abs=1e-6)


def test_a_whole_shorter_than_an_empty_run_leaves_nothing_for_the_operators() -> None:
    profile = assemble(chain_graph(1), [run_of({"n0": 1})], [4e-6], run_seconds=5e-6)
    assert profile.total_seconds == profile.run_seconds == 4e-6


def test_groups_list_their_kernels_memory_and_layout() -> None:
    graph = chain_graph(3)
    run = [
        replace(event, held_bytes=held, output_bytes=8, parameter_bytes=16)
        for event, held in zip(run_of({"n0": 3, "r": 1, "n2": 4}), (108, 124, 116), strict=True)
    ]
    groups = (
        FusedGroup(operators=("n0", "n1"), nodes=(0,), layout=(1,)),
        FusedGroup(operators=("n2",), nodes=(2,)),
    )
    fused = FusedGraph(groups=groups, aliases={"v1": "v1"})
    attribution = Attribution(fused=fused, runs=(run,))
    profile = assemble(graph, [], [9.5e-6], attribution=attribution, first_run=run)
    assert profile.groups[0].operators == ("n0", "n1")
    assert profile.groups[0].extra == {
        "kernels": ["Relu", "Relu"],
        "parameter_bytes": 32,
        "memory_bytes": 24,
        "layout_seconds": pytest.approx(1.5e-6),
    }
    assert profile.extra["layout_seconds"] == pytest.approx(1.5e-6)
    assert profile.extra["attributed_share"] == 1.0
    assert profile.extra["memory"] == {
        "peak_bytes": 24,
        "weight_bytes": 0,
        "prepacked_bytes": 100,
    }
    assert profile.extra["operators"] == ["n0", "n1", "n2"]


def test_a_large_group_of_several_kernels_is_not_called_attributed() -> None:
    graph = chain_graph(10)
    run = run_of({"n0": 7, "n1": 1, "n9": 1})
    large = FusedGroup(operators=tuple(f"n{i}" for i in range(9)), nodes=(0, 1))
    small = FusedGroup(operators=("n9",), nodes=(2,))
    attribution = Attribution(fused=FusedGraph(groups=(large, small)), runs=(run,))
    profile = assemble(graph, [], [1.0], attribution=attribution)
    assert profile.extra["attributed_share"] == pytest.approx(1.5 / 10.5, abs=1e-6)
    one_kernel = FusedGroup(operators=large.operators, nodes=(0,), layout=(1,))
    attribution = Attribution(fused=FusedGraph(groups=(one_kernel, small)), runs=(run,))
    profile = assemble(graph, [], [1.0], attribution=attribution)
    assert profile.extra["attributed_share"] == 1.0


def test_boundaries_survive_the_way_through_a_file() -> None:
    boundaries = {"v0": BoundaryCost(send_seconds=1e-6, receive_seconds=2e-6)}
    profile = assemble(chain_graph(2), [run_of({"n0": 1})], [1.0], boundaries=boundaries)
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


@given(
    st.lists(st.integers(min_value=0, max_value=10**7), min_size=1, max_size=50),
    st.floats(min_value=1e-5, max_value=100.0),
)
def test_the_groups_always_add_up_to_the_whole_within_rounding(
    microseconds: list[int], whole: float
) -> None:
    graph = chain_graph(len(microseconds))
    run = run_of({f"n{place}": value for place, value in enumerate(microseconds)})
    profile = assemble(graph, [run], [whole])
    slack = 0.5e-9 * (len(microseconds) + 1)
    # The factor itself is exact; only seconds are rounded.
    assert math.isclose(profile.total_seconds, whole, rel_tol=1e-12, abs_tol=slack)
    assert [group.operators for group in profile.groups] == [(op.name,) for op in graph]


def test_the_20th_percentile_over_the_runs_counts() -> None:
    times = [10, 20, 30, 40, 50, 1000]
    runs = [run_of({"n0": value}) for value in times]
    profile = assemble(chain_graph(1), runs, [1.0, 2.0, 3.0, 4.0, 5.0, 100.0])
    assert profile.extra["whole_seconds"] == 2.0
    assert profile.extra["kernel_sum_seconds"] == pytest.approx(20.5e-6)
    assert profile.extra["runs"] == 6
    assert profile.extra["interval_relative"] > 0


def test_kernels_of_constants_belong_to_no_operator_and_are_reported() -> None:
    profile = assemble(chain_graph(1), [run_of({"folded": 9, "n0": 4})], [1.0])
    assert [group.operators for group in profile.groups] == [("n0",)]
    assert profile.groups[0].seconds == 1.0
    assert profile.extra["unattributed_seconds"] == pytest.approx(9.5e-6)


def test_operators_without_a_kernel_cost_nothing_and_are_listed() -> None:
    profile = assemble(chain_graph(2), [run_of({"n1": 4})], [1.0])
    assert [group.seconds for group in profile.groups] == [0.0, 1.0]
    assert profile.extra["untimed"] == ["n0"]


def test_operators_that_the_engine_left_out_are_told_from_those_not_found() -> None:
    groups = (FusedGroup(operators=("n0",), nodes=(0,)), FusedGroup(operators=("n1",)))
    fused = FusedGraph(groups=groups, aliases={"v0": "v0"})
    attribution = Attribution(fused=fused, runs=(run_of({"n0": 4}),))
    profile = assemble(chain_graph(2), [], [1.0], attribution=attribution)
    assert profile.extra["eliminated"] == ["n1"]
    assert profile.extra["untimed"] == []


def test_operators_that_fell_back_to_the_cpu_are_listed() -> None:
    run = [*run_of({"n0": 4}, GPU), *run_of({"n1": 4}, CPU)]
    profile = assemble(chain_graph(3), [run], [1.0], provider=GPU)
    assert profile.extra["placement_by_provider"] == {GPU: ["n0"], CPU: ["n1"]}
    assert profile.extra["fell_back"] == ["n1"]


def test_a_model_of_constants_alone_has_no_groups() -> None:
    graph = OperatorGraph(identity=ModelIdentity(), operators=(), tensors={}, inputs=(), outputs=())
    profile = assemble(graph, [], [1e-6, 1e-6, 1e-6])
    assert profile.groups == ()
    assert profile.extra["untimed"] == []


def test_values_of_unknown_size_are_left_out_of_the_file() -> None:
    graph = chain_graph(3)
    odd = {
        **graph.tensors,
        "v0": TensorSpec(name="v0", dtype=None, shape=("N", 2)),
        "v1": TensorSpec(name="v1", dtype="float32", shape=None, kind="sequence"),
    }
    profile = assemble(replace(graph, tensors=odd), [run_of({"n0": 4})], [1.0])
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile
    assert set(profile.tensors) == {"x", "v2"}
