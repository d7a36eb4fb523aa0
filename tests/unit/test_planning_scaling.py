import random

import pytest

from onnxsplit.errors import UsageError
from onnxsplit.planning.costs.question import pose_question
from onnxsplit.planning.costs.scaling import (
    CostRow,
    FactorTable,
    profiles_from_costs,
    scale_by_type,
)
from onnxsplit.planning.plans import make_plan
from onnxsplit.profiles import BoundaryCost, OperatorGroup, Profile
from tests.random_graphs import Case, draw_case


def _make_case() -> Case:
    """A graph that holds all three types of the random graphs."""
    for seed in range(100):
        case = draw_case(random.Random(seed), most=8)
        if {operator.op_type for operator in case.graph} == {"Conv", "Relu", "Add"}:
            return case
    raise AssertionError


CASE = _make_case()
GRAPH = CASE.graph


def _table(**factors: float) -> FactorTable:
    named = {name.replace("rest", "*"): factor for name, factor in factors.items()}
    return FactorTable(factors=named, source="--device-scale t.csv")


def test_every_operator_takes_the_factor_of_its_type() -> None:
    profile = CASE.profiles["device"]
    scaled = scale_by_type(profile, GRAPH, _table(Conv=3.0, rest=0.5))
    for before, after in zip(profile.groups, scaled.groups, strict=True):
        factor = 3.0 if GRAPH.operator(before.operators[0]).op_type == "Conv" else 0.5
        assert after.seconds == pytest.approx(factor * before.seconds)
    assert scaled.evidence == "scaled"
    assert "Conv 3x, * 0.5x" in scaled.assumptions[-1]
    assert "not measured" in scaled.assumptions[-1]


def test_types_that_the_table_leaves_out_stay_as_they_are() -> None:
    profile = CASE.profiles["device"]
    scaled = scale_by_type(profile, GRAPH, _table(Relu=2.0))
    for before, after in zip(profile.groups, scaled.groups, strict=True):
        factor = 2.0 if GRAPH.operator(before.operators[0]).op_type == "Relu" else 1.0
        assert after.seconds == pytest.approx(factor * before.seconds)


def test_a_kernel_of_several_operators_takes_the_largest_named_factor() -> None:
    names = tuple(operator.name for operator in GRAPH)
    profile = Profile(
        tier="device",
        groups=(OperatorGroup(operators=names, seconds=1.0, backward_seconds=2.0),),
        run_seconds=0.5,
        boundaries={"t": BoundaryCost(send_seconds=0.25)},
        evidence="assumed",
    )
    scaled = scale_by_type(profile, GRAPH, _table(Conv=3.0, Relu=0.1, rest=7.0))
    assert scaled.groups[0].seconds == pytest.approx(3.0)
    assert scaled.groups[0].backward_seconds == pytest.approx(6.0)
    assert scaled.run_seconds == pytest.approx(3.5)
    assert scaled.boundaries["t"].send_seconds == pytest.approx(1.75)
    assert scaled.evidence == "assumed", "scaling an assumption does not make it surer"


def test_a_table_without_any_type_of_the_model_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--device-scale t\.csv.*'Conf'.*'Conv'"):
        scale_by_type(CASE.profiles["device"], GRAPH, _table(Conf=2.0))


def test_costs_become_two_profiles_that_are_as_sure_as_the_least_sure_row() -> None:
    rows = [
        CostRow(
            operator=operator.name,
            seconds={"device": 0.02, "server": 0.001},
            evidence="measured" if place else "scaled",
        )
        for place, operator in enumerate(GRAPH)
    ]
    profiles = profiles_from_costs(rows, ("device", "server"), source="costs.csv")
    assert profiles["device"].total_seconds == pytest.approx(0.02 * len(GRAPH))
    assert {profile.evidence for profile in profiles.values()} == {"scaled"}
    plan = make_plan(pose_question(GRAPH, profiles, CASE.topology))
    assert any("costs.csv" in sentence for sentence in plan.assumptions)
    sure = profiles_from_costs(rows[1:], ("device",), source="costs.csv")["device"]
    assert (sure.evidence, sure.assumptions) == ("measured", ())
