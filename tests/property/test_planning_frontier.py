"""The frontier against solving at single rates, in one dimension and in two."""

import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.frontiers import Frontier
from onnxsplit.planning.cuts.bandwidths import find_frontier
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.plans import make_plan
from onnxsplit.planning.solvers import prepare
from onnxsplit.tiers import Link
from tests.block_graphs import draw_blocks
from tests.hand_prices import Asked, draw_asked, list_placements, price_by_hand

KINDS = ("runs", "places", "states", "wires", "energy", "training")


def _draw(seed: int, kind: str) -> Asked:
    return (draw_blocks if seed % 2 else draw_asked)(random.Random(seed), kind)


def _find(asked: Asked, *, split: bool = False, plane: bool = False) -> Frontier | None:
    """Find a frontier; None where there is nothing to plan."""
    try:
        return find_frontier(asked.question, require_split=split, two_dimensional=plane)
    except (UsageError, InfeasiblePlacementError):
        return None


def _draw_links(rng: random.Random, frontier: Frontier, *, plane: bool, count: int) -> list[Link]:
    """Draw links over eight decades, those at the breakpoints among them."""
    breakpoints = [segment.from_bytes_per_second for segment in frontier.segments[1:]]
    rates = [*breakpoints, *(10 ** rng.uniform(0, 8) for _ in range(count))]
    return [
        Link(
            up_bytes_per_second=rate,
            down_bytes_per_second=(
                10 ** rng.uniform(0, 8) if plane else rate * frontier.down_per_up
            ),
            round_trip_seconds=frontier.round_trip_seconds,
        )
        for rate in rates
    ]


@pytest.mark.parametrize("plane", [False, True], ids=["line", "plane"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_frontier_costs_what_solving_at_each_rate_costs(kind: str, *, plane: bool) -> None:
    compared = changing = 0
    for seed in range(30):
        asked = _draw(seed, kind)
        frontier = _find(asked, plane=plane)
        if frontier is None:
            continue
        changing += len(frontier.segments) > 1
        general = prepare(asked.question, method="general")
        for link in _draw_links(random.Random(seed), frontier, plane=plane, count=12):
            topology = replace(asked.question.topology, links=(link,))
            found, cost = general.solve(topology), frontier.at(link).cost(link)
            slack = found.certificate.rounding_bound_seconds + 1e-9 * max(cost, found.value)
            slack += frontier.relative_rounding * cost
            assert abs(cost - found.value) <= slack, f"seed {seed}, {link}"
            compared += 1
    assert compared >= 200
    assert changing >= 10


@pytest.mark.parametrize("kind", ["runs", "training", "energy"])
def test_the_frontier_of_proper_splits_is_the_best_proper_split_at_each_rate(kind: str) -> None:
    compared = 0
    for seed in range(16):
        asked = _draw(seed, kind)
        frontier = _find(asked, split=True)
        if frontier is None:
            continue
        for link in _draw_links(random.Random(seed), frontier, plane=False, count=6):
            topology = replace(asked.question.topology, links=(link,))
            plan = make_plan(replace(asked.question, topology=topology), require_split=True)
            cut = frontier.at(link)
            value = plan.predicted.total_joules or plan.predicted.total_seconds
            if kind != "energy":  # a plan tells joules without what waiting counts
                assert cut.cost(link) == pytest.approx(value, rel=1e-6), f"seed {seed}, {link}"
            assert cut.placement.is_proper
            compared += 1
    assert compared >= 40


@pytest.mark.parametrize("kind", ["runs", "training"])
def test_no_placement_undercuts_the_frontier_by_hand(kind: str) -> None:
    compared = 0
    for seed in range(30):
        asked = draw_asked(random.Random(seed), kind)
        frontier = _find(asked)
        if frontier is None or len(asked.graph) > 7:
            continue
        for link in _draw_links(random.Random(seed), frontier, plane=False, count=4):
            priced = replace(asked, links=(link,))
            prices = [price_by_hand(priced, tier) for tier in list_placements(asked.graph, 2)]
            least = min((price for price in prices if price is not None), default=Fraction(0))
            cost = frontier.at(link).cost(link)
            assert cost == pytest.approx(float(least), rel=1e-6, abs=1e-12), f"seed {seed}"
            compared += 1
    assert compared >= 40


def test_segments_leave_no_gap_and_neighbours_cost_the_same_where_they_meet() -> None:
    met = 0
    for seed in range(60):
        frontier = _find(_draw(seed, KINDS[seed % len(KINDS)]))
        if frontier is None:
            continue
        assert frontier.segments[0].from_bytes_per_second == 0
        for low, high in pairwise(frontier.segments):
            rate = low.to_bytes_per_second
            assert rate == high.from_bytes_per_second
            link = Link(up_bytes_per_second=rate, down_bytes_per_second=rate * frontier.down_per_up)
            assert low.cut.cost(link) == pytest.approx(high.cut.cost(link), rel=1e-9)
            assert low.cut.constant > high.cut.constant
            met += 1
    assert met >= 30


def test_pins_hold_all_along_the_frontier() -> None:
    held = 0
    for seed in range(40):
        asked = draw_blocks(random.Random(seed), "runs")
        pinned = asked.graph.operators[len(asked.graph) // 2].name
        pins = Constraints(pin_device=(pinned,))
        frontier = find_frontier(asked.question, constraints=pins)
        general = prepare(asked.question, constraints=pins, method="general")
        for link in _draw_links(random.Random(seed), frontier, plane=False, count=3):
            cut = frontier.at(link)
            topology = replace(asked.question.topology, links=(link,))
            assert cut.placement.tier_of[pinned] == "device"
            assert cut.cost(link) == pytest.approx(general.solve(topology).value, rel=1e-6)
            held += 1
    assert held >= 100
