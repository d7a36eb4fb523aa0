import itertools
import random
from dataclasses import replace

import pytest

from onnxsplit.errors import UsageError
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.memory import measure_memory, state_memory
from onnxsplit.planning.cuts.segments import choose_segments, need_memory
from onnxsplit.planning.cuts.separators import find_single_tensor_cuts
from onnxsplit.profiles import OperatorGroup, Profile
from tests.random_graphs import draw_graph


def _chain(*weights: int, values: int = 10) -> OperatorGraph:
    """Operators in a row with weights of so many bytes."""
    operators = tuple(
        Operator(
            name=f"op{place}",
            op_type="Gemm",
            domain="",
            index=place,
            inputs=(f"t{place}",),
            outputs=(f"t{place + 1}",),
            weights=(f"w{place}",),
        )
        for place in range(len(weights))
    )
    return OperatorGraph(
        identity=ModelIdentity(),
        operators=operators,
        tensors={
            f"t{place}": TensorSpec(name=f"t{place}", dtype="uint8", shape=(values,))
            for place in range(len(weights) + 1)
        },
        inputs=("t0",),
        outputs=(f"t{len(weights)}",),
        weight_bytes={f"w{place}": size for place, size in enumerate(weights)},
    )


def test_segments_are_as_long_as_fits() -> None:
    graph = _chain(40, 40, 40, 100, 10, 10)
    segments = choose_segments(graph, 120)
    assert [segment.operators for segment in segments] == [
        ("op0", "op1"),
        ("op2",),
        ("op3",),
        ("op4", "op5"),
    ]
    assert segments[0].memory.peak_bytes == 100
    assert [len(s.operators) for s in choose_segments(graph, 2 * 120, copies=2)] == [2, 1, 1, 2]
    assert len(choose_segments(graph, 10_000)) == 1
    assert need_memory(graph).peak_bytes == 240 + 20


def test_what_does_not_fit_alone_is_named_with_what_it_needs() -> None:
    with pytest.raises(UsageError, match=r"'op1' does not fit.*240 B.*--memory"):
        choose_segments(_chain(10, 100, 10), 60, copies=2)


def test_segments_cover_all_operators_in_order_and_each_fits() -> None:
    inside = 0
    for seed in range(200):
        rng = random.Random(seed)
        graph = draw_graph(rng, most=9)
        limit = rng.randint(60, 300)
        try:
            segments = choose_segments(graph, limit)
        except UsageError:
            continue
        names = [name for segment in segments for name in segment.operators]
        assert names == [operator.name for operator in graph], f"seed {seed}"
        stops = {cut.device_operators for cut in find_single_tensor_cuts(graph)}
        for segment in segments:
            assert segment.memory.peak_bytes <= limit, f"seed {seed}"
            tier_of = {name: "a" if name in segment.operators else "b" for name in names}
            placement = Placement(tiers=("a", "b"), tier_of=tier_of)
            assert measure_memory(graph, placement)["a"] == segment.memory
        ends = set(itertools.accumulate(len(segment.operators) for segment in segments))
        inside += bool(ends - stops - {len(graph)})
    assert inside >= 10, "no block was ever divided"


def test_a_value_that_cant_travel_is_never_cut() -> None:
    graph = _chain(40, 40, 40)
    stuck = replace(
        graph, tensors={**graph.tensors, "t1": replace(graph.tensors["t1"], dtype=None)}
    )
    assert [len(segment.operators) for segment in choose_segments(stuck, 110)] == [2, 1]
    with pytest.raises(UsageError, match="from 'op0' to 'op1'"):
        choose_segments(stuck, 70)


def test_a_profile_states_what_its_groups_need_and_what_there_is() -> None:
    graph = _chain(40, 50, 60)
    profile = Profile(
        tier="device",
        groups=(
            OperatorGroup(operators=("op0", "op1"), seconds=1.0, extra={"kept": True}),
            OperatorGroup(operators=("op2",), seconds=1.0),
        ),
    )
    stated = state_memory(profile, graph, 100)
    assert stated.groups[0].extra == {"kept": True, "weight_bytes": 90, "activation_bytes": 20}
    assert stated.groups[1].extra == {"weight_bytes": 60, "activation_bytes": 10}
    assert stated.extra == {"memory_limit_bytes": 100, "whole_peak_bytes": 170}
    assert Profile.from_json(stated.to_json()) == stated
