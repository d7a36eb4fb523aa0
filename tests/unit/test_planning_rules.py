"""Latency worked out by hand, rule by rule; matching, pins, notes, and tampered plans."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest

from onnxsplit.cli.arguments import parse_tensor_names
from onnxsplit.errors import (
    InfeasiblePlacementError,
    InternalError,
    ProfileMismatchError,
    UsageError,
)
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.placement import Placement
from onnxsplit.planned import Plan
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.costs.matching import match_profile
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import pose_question
from onnxsplit.planning.cuts.separators import find_single_tensor_cuts, place_cut
from onnxsplit.planning.demands.constraints import Constraints, resolve_pins
from onnxsplit.planning.demands.rules import find_banned
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.inspection import inspect_graph
from onnxsplit.planning.outlook.wording import explain_small_share
from onnxsplit.planning.plans import make_plan
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link, Topology

LINK = Link(up_bytes_per_second=100.0, down_bytes_per_second=50.0, round_trip_seconds=0.25)


def _graph(
    *operators: tuple[str, str, str],
    outputs: str,
    identity: ModelIdentity | None = None,
    **sizes: int,
) -> OperatorGraph:
    """Build a graph from ``(name, "inputs", "outputs")``; sizes in bytes, 10 if not given."""
    made = [
        Operator(
            name=name,
            op_type=name.rstrip("0123456789").capitalize(),
            domain="",
            index=index,
            inputs=tuple(reads.split()),
            outputs=tuple(makes.split()),
        )
        for index, (name, reads, makes) in enumerate(operators)
    ]
    values = ["x", *(tensor for operator in made for tensor in operator.outputs)]
    return OperatorGraph(
        identity=identity or ModelIdentity(),
        operators=tuple(made),
        tensors={
            name: TensorSpec(name=name, dtype="uint8", shape=(sizes.get(name, 10),))
            for name in values
        },
        inputs=("x",),
        outputs=tuple(outputs.split()),
    )


def _profile(tier: str, *groups: tuple[str, float], model: ModelIdentity | None = None) -> Profile:
    return Profile(
        tier=tier,
        groups=tuple(OperatorGroup(operators=tuple(g.split()), seconds=s) for g, s in groups),
        model=model or ModelIdentity(),
    )


CHAIN = _graph(
    ("conv1", "x", "a"),
    ("relu1", "a", "b"),
    ("conv2", "a b", "c"),
    ("gemm1", "c", "y"),
    outputs="y b",
    x=100,
    a=40,
    b=20,
    c=6,
    y=5,
)
PROFILES = {
    "device": _profile("device", ("conv1", 1.0), ("relu1", 0.5), ("conv2", 4.0), ("gemm1", 2.0)),
    "server": _profile("server", ("conv1", 0.1), ("relu1", 0.05), ("conv2", 0.4), ("gemm1", 0.2)),
}
LOPSIDED = {
    "device": _profile("device", ("conv1", 0.1), ("relu1", 0.1), ("conv2", 9.0), ("gemm1", 9.0)),
    "server": _profile(
        "server", ("conv1", 0.001), ("relu1", 0.001), ("conv2", 0.4), ("gemm1", 0.6)
    ),
}
TOPOLOGY = Topology.pair(LINK)


def _place(*device: str) -> Placement:
    names = [operator.name for operator in CHAIN]
    return Placement(
        tiers=("device", "server"),
        tier_of={name: "device" if name in device else "server" for name in names},
    )


def _parts(placement: Placement) -> dict[str, float]:
    priced = price_placement(pose_question(CHAIN, PROFILES, TOPOLOGY), placement)
    return {f"{part.kind} {part.where}": part.seconds for part in priced.prediction.parts}


def test_all_device_uses_no_link() -> None:
    assert _parts(_place("conv1", "relu1", "conv2", "gemm1")) == {"compute device": 7.5}


def test_all_server_sends_the_input_and_gets_every_output_back() -> None:
    assert _parts(_place()) == pytest.approx(
        {
            "compute server": 0.75,
            "upload device->server": 1.0,
            "download device->server": (5 + 20) / 50,
            "round_trip device->server": 0.25,
        }
    )


def test_a_crossing_with_two_consumers_pays_once_and_outputs_on_the_device_stay() -> None:
    # a and b cross; b is an output too, but the device makes it, so it does not come back.
    assert _parts(_place("conv1", "relu1")) == pytest.approx(
        {
            "compute device": 1.5,
            "compute server": 0.6,
            "upload device->server": (40 + 20) / 100,
            "download device->server": 5 / 50,
            "round_trip device->server": 0.25,
        }
    )


def test_the_plan_is_the_cheapest_and_its_parts_add_up() -> None:
    plan = make_plan(pose_question(CHAIN, PROFILES, TOPOLOGY))
    assert plan.verdict == "all-server"
    assert plan.predicted.total_seconds == pytest.approx(2.5)
    assert plan.baselines == pytest.approx(
        {"all-device": 7.5, "all-server": 2.5, "chain": 2.5, "qdmp": 2.5, "dads": 2.5}
    )
    split = make_plan(pose_question(CHAIN, PROFILES, TOPOLOGY), require_split=True)
    assert split.placement.operators("device") == ("conv1",)
    # 1.0 + 0.65 + 40/100 + 25/50 + 0.25
    assert split.predicted.total_seconds == pytest.approx(2.8)
    assert split.verdict == "all-server"
    assert split.certificate.restriction == "proper splits"
    assert [crossing.tensor for crossing in split.crossings] == ["a"]
    assert [crossing.tensor for crossing in split.downloads] == ["y", "b"]
    assert "Not splitting is faster by 300 ms" in " ".join(split.notes)
    assert "everything on the server takes 2.5 s" in " ".join(split.notes)


def test_a_split_that_wins_says_why() -> None:
    fast = Topology.pair(replace(LINK, up_bytes_per_second=50.0, down_bytes_per_second=1000.0))
    plan = make_plan(pose_question(CHAIN, PROFILES, fast))
    assert plan.verdict == "split"
    assert plan.reason.startswith("The cut lies here because computing takes")
    assert "instead of 7.5 s on the device alone" in plan.reason
    assert make_plan(pose_question(CHAIN, PROFILES, TOPOLOGY)).reason == ""


def test_a_placement_that_sends_results_back_is_refused_by_name() -> None:
    with pytest.raises(InfeasiblePlacementError, match=r"'relu1'.*'conv1'"):
        make_plan_for(pose_question(CHAIN, PROFILES, TOPOLOGY), _place("relu1"))


def test_a_given_placement_says_what_it_costs_against_the_optimum() -> None:
    plan = make_plan_for(
        pose_question(CHAIN, PROFILES, TOPOLOGY), _place("conv1", "relu1", "conv2")
    )
    assert plan.predicted.total_seconds == pytest.approx(5.5 + 0.2 + 0.06 + 0.1 + 0.25)
    assert "longer than the optimum, which is all-server in 2.5 s" in plan.notes[0]
    assert plan.certificate.restriction == "the given placement"


def test_a_small_share_is_said_first_and_the_next_cut_is_named() -> None:
    plan = make_plan(pose_question(CHAIN, LOPSIDED, TOPOLOGY), require_split=True)
    assert plan.notes[0].startswith("This split moves only 0.")
    assert "at least 5.0 %" in plan.notes[1]
    assert "crosses at c" in plan.notes[1]
    assert any("enough work" in other.reason for other in plan.alternatives)


def test_a_share_that_rounds_to_nothing_is_not_written_as_nothing() -> None:
    assert explain_small_share(0.99998, 0.05, "server") == (
        "This split moves under 0.1 % of the work off the server."
    )
    assert explain_small_share(0.012, 0.05, "server") == (
        "This split moves only 1.2 % of the work to the server."
    )


def test_a_cut_that_sends_more_than_the_input_is_not_said_to_save_on_the_link() -> None:
    graph = _graph(("widen", "x", "a"), ("narrow", "a", "y"), outputs="y", x=5, a=50, y=1)
    profiles = {
        tier: _profile(tier, ("widen", seconds), ("narrow", seconds))
        for tier, seconds in (("device", 3.0), ("server", 0.1))
    }
    plan = make_plan(pose_question(graph, profiles, TOPOLOGY), require_split=True)
    assert plan.verdict == "all-server"
    text = " ".join(plan.notes)
    assert re.search(r"because the link takes \S+ m?s longer, and computing \S+ s longer\.", text)


def test_the_advised_cut_can_be_pasted_whatever_the_tensor_is_called() -> None:
    name = "c, 'd'"
    operators = [
        ("conv1", ("x",), ("a",)),
        ("relu1", ("a",), ("b",)),
        ("conv2", ("b",), (name,)),
        ("gemm1", (name,), ("y",)),
    ]
    graph = replace(
        _graph(("conv1", "x", "a"), outputs="a"),
        operators=tuple(
            Operator(name=op, op_type="Op", domain="", index=place, inputs=reads, outputs=makes)
            for place, (op, reads, makes) in enumerate(operators)
        ),
        tensors={
            tensor: TensorSpec(name=tensor, dtype="uint8", shape=(size,))
            for tensor, size in {"x": 100, "a": 40, "b": 20, name: 6, "y": 5}.items()
        },
        outputs=("y",),
    )
    plan = make_plan(pose_question(graph, LOPSIDED, TOPOLOGY), require_split=True)
    words = shlex.split(plan.notes[1].partition("; ")[2].removesuffix("."))
    assert words[0] == "--cut-at"
    assert parse_tensor_names([words[1]]) == (name,)


def test_groups_of_either_machine_are_never_divided() -> None:
    profiles = {
        "device": _profile("device", ("conv1 relu1", 1.5), ("conv2", 4.0), ("gemm1", 2.0)),
        "server": _profile("server", ("conv1", 0.1), ("relu1 conv2", 0.45), ("gemm1", 0.2)),
    }
    plan = make_plan(pose_question(CHAIN, profiles, TOPOLOGY), require_split=True)
    assert plan.placement.operators("server") == ("gemm1",)
    divided = make_plan_for(pose_question(CHAIN, profiles, TOPOLOGY), _place("conv1"))
    assert any("shared equally" in note for note in divided.notes)
    assert divided.predicted.total_seconds == pytest.approx(
        0.75 + 0.45 + 0.2 + 0.4 + 25 / 50 + 0.25
    )


def test_a_single_operator_has_no_proper_split() -> None:
    graph = _graph(("conv1", "x", "y"), outputs="y")
    profiles = {tier: _profile(tier, ("conv1", 1.0)) for tier in ("device", "server")}
    assert make_plan(pose_question(graph, profiles, TOPOLOGY)).verdict in {
        "all-device",
        "all-server",
    }
    with pytest.raises(InfeasiblePlacementError, match="single operator"):
        make_plan(pose_question(graph, profiles, TOPOLOGY), require_split=True)


def test_one_kernel_has_no_proper_split() -> None:
    profiles = {
        **PROFILES,
        "device": _profile("device", ("conv1 gemm1", 1.0), ("relu1", 1.0), ("conv2", 1.0)),
    }
    with pytest.raises(InfeasiblePlacementError, match="one kernel"):
        make_plan(pose_question(CHAIN, profiles, TOPOLOGY), require_split=True)


def test_values_that_cannot_travel_are_never_crossed_and_named() -> None:
    tensors = dict(CHAIN.tensors)
    for name in ("a", "c"):
        tensors[name] = TensorSpec(name=name, dtype="float32", shape=None, kind="sequence")
    graph = replace(CHAIN, tensors=tensors)
    with pytest.raises(InfeasiblePlacementError, match=r"'a'.*sequence"):
        make_plan(pose_question(graph, PROFILES, TOPOLOGY), require_split=True)
    with pytest.raises(InfeasiblePlacementError, match="sequence"):
        make_plan_for(pose_question(graph, PROFILES, TOPOLOGY), _place("conv1"))


class TestMatching:
    """Profiles are matched by hash, by structure, or by names."""

    def test_equal_hashes_fit(self) -> None:
        graph = replace(CHAIN, identity=ModelIdentity(sha256="1", structure="2"))
        profile = replace(PROFILES["device"], model=ModelIdentity(sha256="1"))
        assert match_profile(profile, graph) is profile

    def test_equal_structures_are_mapped_by_place_with_a_note(self) -> None:
        graph = replace(CHAIN, identity=ModelIdentity(sha256="1", structure="2"))
        theirs = _profile(
            "device",
            ("p", 1.0),
            ("q r", 0.5),
            ("s", 4.0),
            model=ModelIdentity(sha256="9", structure="2"),
        )
        fitted = match_profile(theirs, graph)
        assert [group.operators for group in fitted.groups] == [
            ("conv1",),
            ("relu1", "conv2"),
            ("gemm1",),
        ]
        assert "mapped by place" in fitted.assumptions[-1]

    def test_another_model_is_refused(self) -> None:
        graph = replace(CHAIN, identity=ModelIdentity(sha256="1", structure="2"))
        profile = replace(PROFILES["device"], model=ModelIdentity(sha256="9", structure="8"))
        with pytest.raises(ProfileMismatchError, match="another model"):
            match_profile(profile, graph)

    def test_names_that_differ_are_listed(self) -> None:
        profile = _profile("device", ("conv1", 1.0), ("relu1", 1.0), ("conv3", 1.0))
        with pytest.raises(ProfileMismatchError, match=r"lacks 'conv2', 'gemm1'.*'conv3'"):
            match_profile(profile, CHAIN)


class TestPins:
    """Pins are globs over names or types; contradictions are named."""

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [("conv*", ["conv1", "conv2"]), ("op:Conv", ["conv1", "conv2"]), ("relu1", ["relu1"])],
    )
    def test_patterns_match_names_and_types(self, pattern: str, names: list[str]) -> None:
        assert list(resolve_pins(CHAIN, Constraints(pin_server=(pattern,)))) == names

    @pytest.mark.parametrize("pattern", ["convv1", "op:Con", "nothing*"])
    def test_a_pattern_without_match_suggests(self, pattern: str) -> None:
        with pytest.raises(UsageError, match="no operator matches"):
            resolve_pins(CHAIN, Constraints(pin_device=(pattern,)))

    def test_an_operator_pinned_to_both_is_named(self) -> None:
        with pytest.raises(InfeasiblePlacementError, match="'conv1' is pinned to the device"):
            resolve_pins(CHAIN, Constraints(pin_device=("conv1",), pin_server=("conv*",)))

    def test_a_device_pin_downstream_of_a_server_pin_is_named(self) -> None:
        with pytest.raises(InfeasiblePlacementError, match=r"'gemm1'.*'relu1'"):
            resolve_pins(CHAIN, Constraints(pin_device=("gemm1",), pin_server=("relu1",)))

    def test_an_unknown_banned_tensor_is_refused(self) -> None:
        with pytest.raises(UsageError, match="'q'"):
            find_banned(CHAIN, Constraints(banned_tensors=("q",)))

    def test_pins_that_leave_no_split_say_so(self) -> None:
        with pytest.raises(InfeasiblePlacementError, match="proper split"):
            make_plan(
                pose_question(CHAIN, PROFILES, TOPOLOGY),
                constraints=Constraints(pin_server=("conv1",)),
                require_split=True,
            )

    def test_a_given_placement_may_not_contradict_a_pin(self) -> None:
        with pytest.raises(InfeasiblePlacementError, match="'conv1'"):
            make_plan_for(
                pose_question(CHAIN, PROFILES, TOPOLOGY),
                _place("conv1"),
                constraints=Constraints(pin_server=("conv1",)),
            )


def test_cutting_at_tensors_puts_everything_upstream_on_the_device() -> None:
    assert place_cut(CHAIN, ("b",)).operators("device") == ("conv1", "relu1")
    assert place_cut(CHAIN, ("b", "c")).operators("device") == ("conv1", "relu1", "conv2")


@pytest.mark.parametrize(
    ("tensor", "message"), [("x", "model input"), ("cc", "never cross. Did you mean 'c'")]
)
def test_a_cut_at_no_operators_output_is_refused(tensor: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        place_cut(CHAIN, (tensor,))


def test_single_tensor_cuts_and_blocks_are_found() -> None:
    cuts = find_single_tensor_cuts(CHAIN)
    assert [(cut.after, cut.tensor) for cut in cuts] == [("conv1", "a"), ("conv2", "c")]
    document = inspect_graph(CHAIN).to_json()
    assert [point["bytes"] for point in document["cut_points"]] == [40, 6]
    assert [block["operators"] for block in document["blocks"]] == [1, 2, 1]
    assert document["obstacles"] == []


def _double_total(plan: Plan) -> Plan:
    predicted = replace(plan.predicted, total_seconds=2 * plan.predicted.total_seconds)
    return replace(plan, predicted=predicted)


def _drop_part(plan: Plan) -> Plan:
    return replace(plan, predicted=replace(plan.predicted, parts=plan.predicted.parts[1:]))


def _drop_crossing(plan: Plan) -> Plan:
    return replace(plan, crossings=plan.crossings[1:])


def _move_operator(plan: Plan) -> Plan:
    tier_of = {**plan.placement.tier_of, "relu1": "device"}
    return replace(plan, placement=replace(plan.placement, tier_of=tier_of))


def _weaken_flow(plan: Plan) -> Plan:
    proof = replace(plan.certificate, flow_ticks=plan.certificate.flow_ticks - 1)
    return replace(plan, certificate=proof)


def _borrow_certificate(plan: Plan) -> Plan:
    ticks = 2 * plan.certificate.cut_ticks
    return replace(plan, certificate=replace(plan.certificate, cut_ticks=ticks, flow_ticks=ticks))


@pytest.mark.parametrize(
    "tamper",
    [_double_total, _drop_part, _drop_crossing, _move_operator, _weaken_flow, _borrow_certificate],
)
def test_a_tampered_plan_is_found(tamper: Callable[[Plan], Plan]) -> None:
    plan = make_plan(pose_question(CHAIN, PROFILES, TOPOLOGY), require_split=True)
    check_plan(plan, pose_question(CHAIN, PROFILES, plan.topology))
    with pytest.raises(InternalError):
        check_plan(tamper(plan), pose_question(CHAIN, PROFILES, TOPOLOGY))


def test_the_same_inputs_give_the_same_plan() -> None:
    first = make_plan(pose_question(CHAIN, PROFILES, TOPOLOGY), require_split=True).to_json()
    assert (
        make_plan(pose_question(CHAIN, PROFILES, TOPOLOGY), require_split=True).to_json() == first
    )
