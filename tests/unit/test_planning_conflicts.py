"""Demands that nothing meets are explained in names, and the explanation is the true cause."""

from collections.abc import Iterable

import pytest

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.planning.costs.question import pose_question
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.plans import make_plan
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link, Topology

TOPOLOGY = Topology.pair(Link(up_bytes_per_second=100.0, down_bytes_per_second=50.0))


def _chain(*, stuck: Iterable[str] = ()) -> OperatorGraph:
    """Build ``x -> a -> t -> b -> u -> c -> y``, with some values of unknown type."""
    steps = [("a", "x", "t"), ("b", "t", "u"), ("c", "u", "y")]
    return OperatorGraph(
        identity=ModelIdentity(),
        operators=tuple(
            Operator(
                name=name, op_type="Op", domain="", index=index, inputs=(reads,), outputs=(makes,)
            )
            for index, (name, reads, makes) in enumerate(steps)
        ),
        tensors={
            name: TensorSpec(name=name, dtype=None if name in stuck else "uint8", shape=(10,))
            for name in "xtuy"
        },
        inputs=("x",),
        outputs=("y",),
    )


def _profiles(*, server_groups: tuple[str, ...] = ("a", "b", "c")) -> dict[str, Profile]:
    return {
        tier: Profile(
            tier=tier,
            groups=tuple(
                OperatorGroup(operators=tuple(group), seconds=seconds * len(group))
                for group in groups
            ),
        )
        for tier, seconds, groups in (
            ("device", 1.0, ("a", "b", "c")),
            ("server", 0.1, server_groups),
        )
    }


def _refusal(
    *,
    device: str = "",
    server: str = "",
    stuck: str = "",
    banned: str = "",
    server_groups: tuple[str, ...] = ("a", "b", "c"),
    require_split: bool = False,
) -> str:
    constraints = Constraints(
        pin_device=tuple(device), pin_server=tuple(server), banned_tensors=tuple(banned)
    )
    with pytest.raises(InfeasiblePlacementError) as caught:
        make_plan(
            pose_question(_chain(stuck=stuck), _profiles(server_groups=server_groups), TOPOLOGY),
            constraints=constraints,
            require_split=require_split,
        )
    return str(caught.value)


def test_a_server_pin_on_a_reader_of_a_stuck_input_names_both() -> None:
    message = _refusal(server="a", stuck="x")
    assert message.startswith("No placement meets --pin-server a: 'a' is pinned to the server but")
    assert "'a' reads 'x', which can't travel" in message


def test_a_server_pin_on_the_maker_of_a_stuck_output_names_both() -> None:
    assert "'c' makes 'y', which can't travel" in _refusal(server="c", stuck="y")


def test_a_stuck_value_between_two_pins_names_it_and_the_other_pin() -> None:
    message = _refusal(device="a", server="b", stuck="t")
    assert "'b' reads 't', which can't travel" in message
    assert "'a' is pinned to the device" in message


def test_a_stuck_value_far_from_the_pin_is_found() -> None:
    message = _refusal(server="a", stuck="y")
    assert "'a' feeds 'b'" in message
    assert "'c' makes 'y', which can't travel" in message


def test_pins_that_divide_a_kernel_name_both_operators() -> None:
    message = _refusal(device="a", server="b", server_groups=("ab", "c"))
    assert "it has to share a tier with 'a', and 'a' is pinned to the device" in message


def test_a_banned_value_is_told_from_one_that_cannot_travel() -> None:
    message = _refusal(banned="tu", require_split=True)
    assert "every boundary holds a value such as 't', which may not travel" in message


def test_pins_are_not_blamed_on_a_stuck_value_that_plays_no_part() -> None:
    message = _refusal(device="c", stuck="u", require_split=True)
    assert message == (
        "No proper split meets --pin-device c: There is no proper split under these pins: they"
        " leave one tier empty."
    )


def test_pins_and_stuck_values_that_only_together_leave_no_split_are_both_named() -> None:
    message = _refusal(server="b", stuck="t", require_split=True)
    assert "under these pins: with the values that can't travel" in message


def test_a_model_without_operators_has_nothing_to_split() -> None:
    graph = OperatorGraph(
        identity=ModelIdentity(),
        operators=(),
        tensors={"x": TensorSpec(name="x", dtype="uint8", shape=(1,))},
        inputs=("x",),
        outputs=("x",),
    )
    profiles = {tier: Profile(tier=tier, groups=()) for tier in ("device", "server")}
    with pytest.raises(InfeasiblePlacementError, match="no operators to run"):
        make_plan(pose_question(graph, profiles, TOPOLOGY), require_split=True)
