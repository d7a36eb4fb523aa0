"""The least period, the trade-offs with latency, and the stated gap, against all placements."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.objectives import InferenceLatency, Throughput
from onnxsplit.placement import Placement
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.costs.mixes import pose_mix
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import pose_question
from onnxsplit.planning.cuts.bandwidths import find_frontier
from onnxsplit.planning.cuts.boundary import choose_wires
from onnxsplit.planning.cuts.pipelines import find_pipeline
from onnxsplit.planning.cuts.recomputation import find_recomputation
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.planning.plans import make_plan
from onnxsplit.planning.solvers import open_solver
from onnxsplit.tiers import Link, Topology
from tests.contract.workshop import fit
from tests.hand_periods import measure_period
from tests.hand_prices import Asked, draw_asked, list_placements, price_by_hand
from tests.sample_graphs import draw_costs, read_sample

KINDS = ("runs", "places", "wires", "tiers")
CASES = {"tiers": 30}
MOST = 100


def draw(kind: str) -> Iterator[tuple[int, Asked]]:
    for seed in range(CASES.get(kind, MOST)):
        yield seed, replace(draw_asked(random.Random(seed), kind), objective=Throughput())


def list_points(asked: Asked, *, proper: bool = False) -> list[tuple[float, float, dict[str, int]]]:
    """List period, latency and tiers of all placements that are allowed."""
    plain = replace(asked, objective=InferenceLatency())
    tiers = len(asked.names)
    points = []
    for tier in list_placements(asked.graph, tiers):
        latency = price_by_hand(plain, tier)
        period = measure_period(asked, tier)
        fits = not proper or len(set(tier.values())) == tiers
        if fits and latency is not None and period is not None:
            points.append((float(period), float(latency), tier))
    return sorted(points, key=lambda point: point[:2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", [False, True])
def test_no_placement_has_a_shorter_period_than_the_plan(kind: str, *, split: bool) -> None:
    inside = 0
    for seed, asked in draw(kind):
        points = list_points(asked, proper=split)
        if not points:
            with pytest.raises(InfeasiblePlacementError):
                make_plan(asked.question, require_split=split)
            continue
        plan = make_plan(asked.question, require_split=split)
        least = points[0][0]
        assert plan.predicted.period_seconds == pytest.approx(least, rel=1e-6), f"seed {seed}"
        tier = {name: asked.names.index(place) for name, place in plan.placement.tier_of.items()}
        period = measure_period(asked, tier)
        assert period is not None
        assert plan.predicted.period_seconds == pytest.approx(float(period))
        check_plan(plan, asked.question)
        inside += plan.placement.verdict == "split"
    assert inside >= CASES.get(kind, MOST) / 5


@pytest.mark.parametrize("kind", ["runs", "places", "wires"])
def test_the_trade_offs_are_those_of_all_placements(kind: str) -> None:
    several = 0
    for seed, asked in draw(kind):
        points = sorted((period, latency) for period, latency, _ in list_points(asked))
        if not points:
            continue
        expected = [points[0]]
        for period, latency in points[1:]:
            if latency < expected[-1][1] * (1 - 1e-9):
                expected.append((period, latency))
        merged: list[tuple[float, float]] = []
        for period, latency in expected:  # equal periods up to float noise count once
            if merged and period <= merged[-1][0] * (1 + 1e-9):
                merged.pop()
            merged.append((period, latency))
        front = make_plan(asked.question).front
        assert front is not None
        assert front.is_complete
        found = [(point.period_seconds, point.latency_seconds) for point in front.points]
        assert found == [pytest.approx(point) for point in merged], f"seed {seed}"
        several += len(found) > 1
    assert several >= 10


@pytest.mark.parametrize("kind", ["runs", "places", "wires"])
@pytest.mark.parametrize("split", [False, True])
def test_the_integer_program_agrees_with_pricing_every_placement(kind: str, *, split: bool) -> None:
    compared = 0
    for seed, asked in draw(kind):
        if seed % 3:
            continue
        question = asked.question
        solver = open_solver(question, Constraints())
        try:
            exact = find_pipeline(question, solver, splits_only=split)
        except InfeasiblePlacementError:
            with pytest.raises(InfeasiblePlacementError):
                find_pipeline(question, solver, splits_only=split, most_ideals=0)
            continue
        program = find_pipeline(question, solver, splits_only=split, most_ideals=0)
        value, least = program.solution.priced.value, exact.solution.priced.value
        assert value == pytest.approx(least, rel=1e-5, abs=1e-12), f"seed {seed}"
        proof = program.solution.certificate
        assert proof.method == "integer program"
        assert proof.flow_ticks * proof.tick_seconds <= least * (1 + 1e-6)
        assert not split or program.solution.priced.placement.is_proper
        compared += 1
    assert compared >= 20


def test_pins_hold_for_throughput() -> None:
    for seed, asked in draw("runs"):
        name = asked.graph.operators[-1].name
        for constraints, place in (
            (Constraints(pin_device=(name,)), "device"),
            (Constraints(pin_server=(name,)), "server"),
        ):
            try:
                plan = make_plan(asked.question, constraints=constraints)
            except InfeasiblePlacementError:
                continue
            assert plan.placement.tier_of[name] == place, f"seed {seed}"
            at = asked.names.index(place)
            fitting = [point for point in list_points(asked) if point[2][name] == at]
            assert plan.predicted.period_seconds == pytest.approx(fitting[0][0])


@pytest.mark.parametrize("name", ["squeezenet", "googlenet", "resnet18", "bert"])
def test_sample_networks_have_a_period_no_longer_than_the_fastest_placement_s(name: str) -> None:
    graph = read_sample(name)
    link = Link(up_bytes_per_second=2e6, down_bytes_per_second=2e6, round_trip_seconds=1e-3)
    costs = draw_costs(graph, ratio=5.0)
    question = pose_question(graph, costs, Topology.pair(link), objective=Throughput())
    plan = make_plan(question)
    fit(plan.to_json())
    latency = make_plan(pose_question(graph, costs, Topology.pair(link)))
    assert plan.predicted.period_seconds is not None
    fastest = price_placement(question, latency.placement)
    assert plan.predicted.period_seconds <= fastest.value * (1 + 1e-6)
    assert min(plan.baselines.values()) >= plan.predicted.period_seconds * (1 - 1e-6)
    if plan.front is not None and plan.front.is_complete:
        assert plan.front.points[-1].latency_seconds == pytest.approx(
            latency.predicted.total_seconds
        )


def test_a_given_placement_is_held_against_the_least_period() -> None:
    _, asked = next(draw("runs"))
    whole = Placement(
        tiers=asked.names, tier_of={operator.name: "device" for operator in asked.graph}
    )
    plan = make_plan_for(asked.question, whole)
    assert plan.certificate.restriction == "the given placement"
    assert any("optimum" in note for note in plan.notes)
    check_plan(plan, asked.question)


def test_what_only_sums_can_tell_is_refused_for_throughput() -> None:
    _, asked = next(draw("runs"))
    with pytest.raises(UsageError, match="--sensitivity needs an objective that adds up"):
        make_plan(asked.question, detail=Detail(sensitivity=True))
    with pytest.raises(UsageError, match="--explain needs"):
        make_plan(asked.question, detail=Detail(explain=("op0",)))


def test_what_does_not_go_with_throughput_is_refused_by_name() -> None:
    _, asked = next(draw("runs"))
    question = asked.question
    with pytest.raises(UsageError, match="does not go with budgets"):
        make_plan(question, constraints=Constraints(max_seconds=1e9))
    with pytest.raises(UsageError, match="no frontier tells it"):
        find_frontier(question)
    with pytest.raises(UsageError, match="leave it out for --objective throughput"):
        choose_wires(question, {})
    with pytest.raises(UsageError, match="and for throughput"):
        find_recomputation(question, frozenset(), constraints=Constraints())
    with pytest.raises(UsageError, match="A mix of shapes has no one period"):
        pose_mix([({"n": place}, 1.0, question) for place in range(2)])
