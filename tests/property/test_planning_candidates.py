"""The K best candidates against all order ideals, priced in fractions and sorted."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from onnxsplit.placement import Placement
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import pose_question
from onnxsplit.planning.cuts.candidates import find_candidates, identify
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.solvers import open_solver
from onnxsplit.tiers import Topology
from tests.random_graphs import Case, draw_case, list_ideals, price_by_hand, tilt

Key = tuple[bool, bool, frozenset[str]]


def _key(case: Case, device: frozenset[str]) -> Key:
    """Which tiers run anything, and what crosses."""
    maker = {tensor: operator.name for operator in case.graph for tensor in operator.outputs}
    crossing = {
        tensor
        for operator in case.graph
        if operator.name not in device
        for tensor in operator.inputs
        if tensor not in maker or maker[tensor] in device
    }
    return bool(device), len(device) < len(case.graph), frozenset(crossing)


def _list_cheapest(case: Case, *, splits_only: bool) -> dict[Key, Fraction]:
    """The least price for each set of crossings, by brute force."""
    cheapest: dict[Key, Fraction] = {}
    for ideal in list_ideals(case.graph):
        price, key = price_by_hand(case, ideal), _key(case, ideal)
        if price is None or (splits_only and not price.splits):
            continue
        cheapest[key] = min(price.seconds, cheapest.get(key, price.seconds))
    return cheapest


@pytest.mark.parametrize("splits_only", [False, True])
@pytest.mark.parametrize("groups", [False, True])
def test_the_candidates_are_the_cheapest_of_each_set_of_crossings(
    *, groups: bool, splits_only: bool
) -> None:
    full = repeats = several = 0
    for seed in range(250):
        rng = random.Random(seed)
        case = draw_case(rng, groups=groups, stuck=seed % 3 == 0)
        case = tilt(case) if seed % 2 else case
        cheapest = _list_cheapest(case, splits_only=splits_only)
        count = rng.choice([1, 3, 6, 10_000])
        solver = open_solver(case.question, Constraints())
        found = find_candidates(solver, count, splits_only=splits_only, most_solves=100_000)
        assert not found.is_cut_short, f"seed {seed}"
        assert found.solves == solver.solves, f"seed {seed}"
        wanted = sorted(cheapest.values())[:count]
        totals = [priced.total_seconds for priced in found.priced]
        assert totals == pytest.approx([float(price) for price in wanted], abs=1e-9), f"seed {seed}"
        keys = [
            _key(case, frozenset(priced.placement.operators("device"))) for priced in found.priced
        ]
        assert len(set(keys)) == len(keys), f"seed {seed}: crossings twice"
        assert totals == pytest.approx([float(cheapest[key]) for key in keys], abs=1e-9)
        full += len(wanted) == count
        repeats += sum(1 for _ in list_ideals(case.graph)) > len(cheapest)
        several += any(len(priced.crossings) > 1 for priced in found.priced)
    assert full >= 60
    assert repeats >= 40, "too few cases where placements share their crossings"
    assert several >= 40


def test_the_candidates_of_three_tiers_are_the_cheapest_of_all_relay_placements() -> None:
    several = 0
    for seed in range(60):
        rng = random.Random(seed)
        case = draw_case(rng, most=5)
        (link,) = case.topology.links
        topology = Topology(tiers=("device", "edge", "server"), links=(link, link))
        middle = replace(case.profiles["server"].scale(rng.choice([0.3, 0.7])), tier="edge")
        question = pose_question(case.graph, {**case.profiles, "edge": middle}, topology)
        solver = open_solver(question, Constraints())
        cheapest: dict[object, float] = {}
        for near in list_ideals(case.graph):
            for far in list_ideals(case.graph):
                if near <= far:
                    priced = price_placement(question, _place(case, topology, near, far))
                    key = identify(priced)
                    cheapest[key] = min(priced.value, cheapest.get(key, priced.value))
        found = find_candidates(solver, 8, most_solves=100_000)
        totals = [priced.value for priced in found.priced]
        assert totals == pytest.approx(sorted(cheapest.values())[:8], abs=1e-9), f"seed {seed}"
        used = [set(priced.placement.tier_of.values()) for priced in found.priced]
        several += any(len(tiers) == 3 for tiers in used)
    assert several >= 5


def _place(case: Case, topology: Topology, near: frozenset[str], far: frozenset[str]) -> Placement:
    """Put one ideal on the first tier and what another adds to it on the second."""
    return Placement(
        tiers=topology.tiers,
        tier_of={
            op.name: "device" if op.name in near else "edge" if op.name in far else "server"
            for op in case.graph
        },
    )


def test_the_search_says_when_the_guard_stopped_it() -> None:
    case = draw_case(random.Random(7), most=8)
    solver = open_solver(case.question, Constraints())
    everything = find_candidates(solver, 10_000, most_solves=100_000)
    assert len(everything.priced) > 3
    short = find_candidates(solver, 10_000, most_solves=3)
    assert short.is_cut_short
    assert short.solves == 3
    kept = [identify(priced) for priced in short.priced]
    assert kept == [identify(priced) for priced in everything.priced][: len(kept)]
    enough = find_candidates(solver, 1, most_solves=1)
    assert not enough.is_cut_short
