"""Limits by hand: what is private, what memory is, whose limit holds, and what is refused."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.mincut import CutProblem, SideRows, solve_within_budgets
from onnxsplit.objectives import Power, TrainingDelay
from onnxsplit.planning.costs.question import DataPlaces, Question, pose_question
from onnxsplit.planning.cuts.optimum import find_optimum
from onnxsplit.planning.cuts.recomputation import find_recomputation
from onnxsplit.planning.cuts.separators import place_prefix
from onnxsplit.planning.demands.budgets import find_within_budgets
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.demands.privacy import find_shallow, find_sources, measure_depths
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.plans import make_plan
from onnxsplit.planning.solvers import open_solver
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link, Topology
from onnxsplit.workflows.limit_requests import LimitRequest, read_types

TOPOLOGY = Topology.pair(Link(up_bytes_per_second=1e3, down_bytes_per_second=1e3))


def _graph() -> OperatorGraph:
    """``x -> a -> t -> b -> u -> c -> y``, and ``x`` is read by ``c`` as well."""
    reads = {"a": ("x",), "b": ("t",), "c": ("u", "x")}
    makes = {"a": "t", "b": "u", "c": "y"}
    sizes = {"x": 100, "t": 50, "u": 20, "y": 4}
    return OperatorGraph(
        identity=ModelIdentity(),
        operators=tuple(
            Operator(
                name=name,
                op_type=name.upper(),
                domain="",
                index=place,
                inputs=inputs,
                outputs=(makes[name],),
                weights=("w",) if name != "b" else (),
            )
            for place, (name, inputs) in enumerate(reads.items())
        ),
        tensors={
            name: TensorSpec(name=name, dtype="uint8", shape=(size,))
            for name, size in sizes.items()
        },
        inputs=("x",),
        outputs=("y",),
        weight_bytes={"w": 1000},
    )


def _profile(tier: str, seconds: float) -> Profile:
    groups = tuple(OperatorGroup(operators=(name,), seconds=seconds) for name in "abc")
    return Profile(tier=tier, groups=groups)


PROFILES = {"device": _profile("device", 1.0), "server": _profile("server", 0.01)}
NOWHERE = DataPlaces()


def _question(**changes: object) -> Question:
    return replace(pose_question(_graph(), PROFILES, TOPOLOGY), **changes)  # type: ignore[arg-type]  # any field


def test_depth_is_the_longest_way_from_an_input() -> None:
    assert measure_depths(_graph(), NOWHERE) == {"x": 0, "t": 1, "u": 2, "y": 3}
    assert find_shallow(_graph(), NOWHERE, 2) == {"x", "t"}


def test_an_input_that_lives_at_the_server_is_not_private() -> None:
    places = DataPlaces(inputs_at_last=frozenset({"x"}))
    assert measure_depths(_graph(), places) == {}


def test_a_private_value_hides_all_that_it_is_made_from() -> None:
    assert find_sources(_graph(), NOWHERE, ["u"]) == {"u", "t", "x"}
    plan = make_plan(_question(), constraints=Constraints(private_tensors=("t",)))
    assert set(plan.placement.operators("device")) == {"a", "b", "c"}


def test_a_private_depth_also_holds_back_an_input_that_is_read_late() -> None:
    plan = make_plan(_question(), constraints=Constraints(private_depth=1))
    assert plan.verdict == "all-device", "c reads x itself"


def test_a_shared_weight_counts_once_on_each_tier() -> None:
    fits = Constraints(memory_bytes={"server": 1000 + 170})
    assert make_plan(_question(), constraints=fits).verdict == "all-server"
    tight = Constraints(memory_bytes={"server": 999})
    assert make_plan(_question(), constraints=tight).verdict == "all-device"


def test_the_memory_that_a_profile_states_holds_without_being_asked_for() -> None:
    small = {**PROFILES, "server": replace(PROFILES["server"], extra={"memory_limit_bytes": 10})}
    question = pose_question(_graph(), small, TOPOLOGY)
    assert make_plan(question).verdict == "all-device"
    with pytest.raises(InfeasiblePlacementError, match="memory_limit_bytes of its profile"):
        make_plan(question, constraints=Constraints(pin_server=("c",)))


def test_a_whole_that_breaks_a_limit_is_no_baseline() -> None:
    plan = make_plan(_question(), constraints=Constraints(memory_bytes={"device": 10}))
    assert "all-server" in plan.baselines
    assert "all-device" not in plan.baselines


def test_a_limit_that_does_not_bind_leaves_the_proof_a_minimum_cut() -> None:
    free = make_plan(_question())
    loose = make_plan(_question(), constraints=Constraints(memory_bytes={"device": 10**9}))
    assert loose.certificate == free.certificate
    assert loose.certificate.method == "minimum cut"


def test_memory_of_unknown_sizes_is_refused_by_name() -> None:
    graph = _graph()
    vague = {**graph.tensors, "t": replace(graph.tensors["t"], shape=("n",))}
    question = pose_question(replace(graph, tensors=vague), PROFILES, TOPOLOGY)
    with pytest.raises(UsageError, match="size of 't' is not known"):
        make_plan(question, constraints=Constraints(memory_bytes={"device": 10}))


def test_a_share_that_not_all_tiers_can_have_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 50%"):
        make_plan(_question(), constraints=Constraints(least_share=0.6))


def test_an_energy_cap_on_training_is_refused() -> None:
    question = _question(objective=TrainingDelay(), powers={"device": Power(compute_watts=1)})
    with pytest.raises(UsageError, match="for inference"):
        make_plan(question, constraints=Constraints(max_joules=1.0))


def test_recomputing_refuses_budgets_that_it_does_not_know() -> None:
    with pytest.raises(UsageError, match="--recompute does not know budgets"):
        find_recomputation(
            _question(), frozenset(), constraints=Constraints(memory_bytes={"device": 1})
        )


def test_a_given_placement_that_breaks_a_budget_is_refused_with_what_it_needs() -> None:
    graph = _graph()
    constraints = Constraints(memory_bytes={"device": 1100})
    with pytest.raises(
        InfeasiblePlacementError,
        match=r"breaks --device-memory 1\.1kB: the device would need 1\.17 kB",
    ):
        make_plan_for(_question(), place_prefix(graph, 3), constraints=constraints)


def test_without_time_the_best_prefix_is_taken_and_the_gap_told() -> None:
    constraints = Constraints(memory_bytes={"server": 999})
    solver = open_solver(_question(), constraints)
    found = find_within_budgets(solver, find_optimum, seconds=0.0)
    assert found.priced.placement.verdict == "all-device"
    proof = found.certificate
    claimed = (proof.cut_ticks - proof.flow_ticks) * proof.tick_seconds
    assert claimed == pytest.approx(proof.gap_seconds, abs=2 * proof.tick_seconds)


def test_branch_and_bound_solves_a_knapsack() -> None:
    # Two vertices: 3 and 5 on the server, nothing on the device, whose row takes only one of them.
    problem = CutProblem(
        vertex_count=4,
        tails=np.array([0, 0]),
        heads=np.array([2, 3]),
        capacities=np.array([3.0, 5.0]),
    )
    rows = SideRows(vertex_count=4)
    rows.add([(2, 1.0), (3, 1.0)], 1.0)
    found = solve_within_budgets(problem, 4, rows, scale=5.0)
    assert found.value == pytest.approx(3.0)
    assert found.bound == pytest.approx(3.0)
    rows.add([(2, -1.0), (3, -1.0)], -2.0)
    with pytest.raises(InfeasiblePlacementError):
        solve_within_budgets(problem, 4, rows)


@pytest.mark.parametrize(
    "text", ["Conv\n\n# of no use\nRelu # fast\n", '["Conv", "Relu"]', "\ufeffConv\r\nRelu"]
)
def test_operator_types_are_read_from_lines_and_json(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ops"
    file.write_text(text, encoding="utf-8")
    assert read_types(file) == ("Conv", "Relu")


@pytest.mark.parametrize("text", ["", "# nothing\n", "[", "[1]", '{"Conv": 1}'])
def test_a_list_of_types_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ops"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="--device-ops"):
        read_types(file)


def test_limits_take_texts_with_units_and_plain_numbers() -> None:
    asked = LimitRequest(
        device_memory="512 MB", server_memory=7, max_energy="20 mJ", max_latency=0.5
    )
    made = asked.limit(Constraints(pin_device=("a",)))
    assert made.memory_bytes == {"device": 512_000_000, "server": 7}
    assert math.isclose(made.max_joules or 0, 0.02)
    assert made.max_seconds == 0.5
    assert made.pin_device == ("a",)
