import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxsplit.engines.port import EngineOptions, KernelEvent
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.profiles import Profile
from onnxsplit.profiling.assembly import Measurement, assemble_profile
from onnxsplit.profiling.attribution import Owners

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
    owners: list[Owners] | None = None,
) -> Profile:
    named: list[Owners] = [[event.operator for event in run] for run in runs]
    return assemble_profile(
        graph,
        Measurement(whole_seconds=tuple(whole), runs=tuple(runs), owners=tuple(owners or named)),
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
    assert "unfused" in profile.assumptions[0]
    assert profile.model == ModelIdentity(sha256="ab", structure="cd")


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


def test_constants_are_left_out_and_reported() -> None:
    profile = assemble(chain_graph(1), [run_of({"folded": 9, "n0": 4})], [1.0])
    assert [group.operators for group in profile.groups] == [("n0",)]
    assert profile.groups[0].seconds == 1.0
    assert profile.extra["folded_seconds"] == pytest.approx(9.5e-6)


def test_operators_without_a_kernel_cost_nothing_and_are_listed() -> None:
    profile = assemble(chain_graph(2), [run_of({"n1": 4})], [1.0])
    assert [group.seconds for group in profile.groups] == [0.0, 1.0]
    assert profile.extra["untimed"] == ["n0"]


def test_kernels_without_an_owner_are_reported() -> None:
    run = run_of({"n0": 4, "Cast_9": 2})
    profile = assemble(chain_graph(1), [run], [1.0], owners=[["n0", None]])
    assert profile.extra["unattributed_seconds"] == pytest.approx(2.5e-6)


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
