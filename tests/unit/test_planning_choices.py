"""What plans refuse, what they list beside themselves, and what their notes promise."""

import random
from dataclasses import replace

import pytest

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.question import pose_question
from onnxsplit.planning.cuts.separators import name_cut, place_cut
from onnxsplit.planning.demands.constraints import Constraints, resolve_pins
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.plans import make_plan
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link, Topology
from tests.random_graphs import draw_case, list_ideals

LINK = Link(up_bytes_per_second=100.0, down_bytes_per_second=50.0, round_trip_seconds=0.25)
TOPOLOGY = Topology.pair(LINK)
STEPS = [("a", "x", "t"), ("b", "t", "u"), ("c", "u", "y")]
SIZES = {"x": 200, "t": 50, "u": 1, "y": 10}

GRAPH = OperatorGraph(
    identity=ModelIdentity(),
    operators=tuple(
        Operator(
            name=name,
            op_type="Op",
            domain="com.example",
            index=index,
            inputs=(reads,),
            outputs=(makes,),
            weights=("w",),
        )
        for index, (name, reads, makes) in enumerate(STEPS)
    ),
    tensors={
        name: TensorSpec(name=name, dtype="uint8", shape=(size,)) for name, size in SIZES.items()
    },
    inputs=("x",),
    outputs=("y",),
    constant_operators=("shape_of_weights",),
    dead_operators=("unused",),
    weight_bytes={"w": 4},
)


def _profiles(device_seconds: float, server_seconds: float) -> dict[str, Profile]:
    return {
        tier: Profile(
            tier=tier,
            groups=tuple(OperatorGroup(operators=(name,), seconds=seconds) for name in "abc"),
        )
        for tier, seconds in (("device", device_seconds), ("server", server_seconds))
    }


PROFILES = _profiles(1.0, 0.1)


def _place(**tier_of: str) -> Placement:
    return Placement(tiers=("device", "server"), tier_of=tier_of)


def test_a_placement_that_leaves_out_an_operator_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="leaves out the operator 'c'"):
        make_plan_for(pose_question(GRAPH, PROFILES, TOPOLOGY), _place(a="device", b="server"))


def test_a_placement_of_an_unknown_operator_is_refused_by_name() -> None:
    placement = _place(a="device", b="server", c="server", d="server")
    with pytest.raises(UsageError, match="names 'd', which is no operator"):
        make_plan_for(pose_question(GRAPH, PROFILES, TOPOLOGY), placement)


def test_a_placement_for_other_tiers_is_refused() -> None:
    placement = Placement(tiers=("phone", "server"), tier_of=dict.fromkeys("abc", "phone"))
    with pytest.raises(UsageError, match="for the tiers phone, server"):
        make_plan_for(pose_question(GRAPH, PROFILES, TOPOLOGY), placement)


def test_a_placement_may_not_let_a_banned_value_cross() -> None:
    placement = _place(a="device", b="server", c="server")
    constraints = Constraints(banned_tensors=("t",))
    with pytest.raises(InfeasiblePlacementError, match="'t' crosses from device to server"):
        make_plan_for(pose_question(GRAPH, PROFILES, TOPOLOGY), placement, constraints=constraints)


def test_a_tier_without_a_profile_is_named() -> None:
    with pytest.raises(UsageError, match="server has no profile"):
        pose_question(GRAPH, {"device": PROFILES["device"]}, TOPOLOGY)


@pytest.mark.parametrize("pattern", ["op:Op", "op:com.example.Op", "op:com.example.*"])
def test_types_match_with_and_without_their_domain(pattern: str) -> None:
    assert list(resolve_pins(GRAPH, Constraints(pin_device=(pattern,)))) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("shape_*", "constants alone"), ("unused", "No model output"), ("aa", "Did you mean 'a'")],
)
def test_a_pin_on_what_is_never_placed_says_why(pattern: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        resolve_pins(GRAPH, Constraints(pin_device=(pattern,)))


def test_a_cut_at_an_initializer_is_refused_as_a_constant() -> None:
    with pytest.raises(UsageError, match="constant"):
        place_cut(GRAPH, ("w",))


@pytest.mark.parametrize(("device", "server"), [(0.001, 0.001), (100.0, 0.001)])
def test_a_plan_that_does_not_split_lists_the_best_split(device: float, server: float) -> None:
    profiles = _profiles(device, server)
    plan = make_plan(pose_question(GRAPH, profiles, TOPOLOGY))
    assert plan.verdict != "split"
    split = make_plan(pose_question(GRAPH, profiles, TOPOLOGY), require_split=True)
    listed = next(other for other in plan.alternatives if other.reason == "the best proper split")
    assert listed.placement == split.placement
    assert listed.prediction == split.predicted


def test_a_plan_without_any_split_to_list_is_made_all_the_same() -> None:
    constraints = Constraints(pin_server=("a",))
    plan = make_plan(pose_question(GRAPH, PROFILES, TOPOLOGY), constraints=constraints)
    assert plan.verdict == "all-server"
    assert not plan.alternatives


def test_a_forced_split_lists_the_true_optimum_first() -> None:
    plan = make_plan(pose_question(GRAPH, _profiles(0.001, 0.001), TOPOLOGY), require_split=True)
    assert plan.alternatives[0].reason == "the optimum over all placements"
    assert plan.alternatives[0].placement.verdict == plan.verdict == "all-device"


def test_a_placement_a_hair_slower_than_the_optimum_is_not_called_as_good() -> None:
    profiles = _profiles(1.0, 0.1)
    groups = profiles["device"].groups
    slower = replace(groups[1], seconds=0.5895)
    profiles["device"] = replace(profiles["device"], groups=(groups[0], slower, groups[2]))
    placements = [
        _place(a="device", b="server", c="server"),
        _place(a="device", b="device", c="server"),
    ]
    notes = [
        make_plan_for(pose_question(GRAPH, profiles, TOPOLOGY), p).notes[0] for p in placements
    ]
    assert sorted("as good as" in note for note in notes) == [False, True]
    assert any("(under 0.1 %) longer" in note for note in notes)


def test_the_tensors_that_name_a_cut_make_that_cut() -> None:
    several = 0
    for seed in range(200):
        case = draw_case(random.Random(seed))
        for ideal in list_ideals(case.graph):
            if not ideal:
                continue
            tier_of = {op.name: "device" if op.name in ideal else "server" for op in case.graph}
            placement = Placement(tiers=("device", "server"), tier_of=tier_of)
            tensors = name_cut(case.graph, placement)
            several += len(tensors) > 1
            assert place_cut(case.graph, tensors) == placement, f"seed {seed}"
    assert several >= 500
