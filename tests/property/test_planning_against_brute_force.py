"""Plans against every order ideal of thousands of small graphs, priced in fractions."""

import random

import pytest

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.planned import Plan
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.plans import make_plan
from tests.random_graphs import Case, Price, draw_case, list_ideals, price_by_hand

BLOCKS = [0, *(pytest.param(block, marks=pytest.mark.slow) for block in range(1, 8))]


def _check(case: Case, plan: Plan, best: Price, seed: int) -> None:
    """Hold a plan against the best price that brute force found."""
    total = plan.predicted.total_seconds
    proof = plan.certificate
    slack = proof.rounding_bound_seconds + 1e-12 * (total + float(best.seconds))
    assert abs(total - float(best.seconds)) <= slack, f"seed {seed}"
    assert proof.cut_ticks == proof.flow_ticks, f"seed {seed}"
    chosen = price_by_hand(case, frozenset(plan.placement.operators("device")))
    assert chosen is not None, f"seed {seed}: a group is divided"
    if proof.rounding_bound_seconds == 0:
        assert chosen == best, f"seed {seed}: a tie is broken otherwise"
    check_plan(plan, case.question)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("groups", [False, True])
def test_the_optimum_is_the_best_order_ideal(block: int, *, groups: bool) -> None:
    interior = several = 0
    for seed in range(block * 250, (block + 1) * 250):
        rng = random.Random(seed)
        case = draw_case(rng, groups=groups, most=10 if groups else 8)
        prices = [price_by_hand(case, ideal) for ideal in list_ideals(case.graph)]
        best = min(price for price in prices if price is not None)
        plan = make_plan(case.question)
        _check(case, plan, best, seed)
        assert plan.verdict == plan.placement.verdict
        interior += plan.placement.is_proper
        several += len(plan.crossings) > 1
    assert interior >= 50, "too few cases with a strictly interior optimum"
    assert several >= 25, "too few cases with several crossings"


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("groups", [False, True])
def test_the_best_proper_split_is_the_best_proper_ideal(block: int, *, groups: bool) -> None:
    none = forced = 0
    for seed in range(block * 250, (block + 1) * 250):
        rng = random.Random(seed)
        case = draw_case(rng, groups=groups, most=10 if groups else 8)
        whole = len(case.graph)
        prices = [
            price_by_hand(case, ideal)
            for ideal in list_ideals(case.graph)
            if 0 < len(ideal) < whole
        ]
        proper = [price for price in prices if price is not None]
        if not proper:
            none += 1
            with pytest.raises(InfeasiblePlacementError, match="proper split"):
                make_plan(case.question, require_split=True)
            continue
        plan = make_plan(case.question, require_split=True)
        _check(case, plan, min(proper), seed)
        assert plan.placement.is_proper
        forced += plan.verdict != "split"
    assert none >= 5
    assert forced >= 50


@pytest.mark.parametrize("seeds", [(0, 250), pytest.param((0, 1200), marks=pytest.mark.slow)])
def test_pins_restrict_the_ideals_and_contradictions_are_named(seeds: tuple[int, int]) -> None:
    cases = range(*seeds)
    binding = infeasible = 0
    for seed in cases:
        rng = random.Random(seed)
        case = draw_case(rng)
        names = [operator.name for operator in case.graph]
        device = set(rng.sample(names, min(len(names), rng.randint(0, 2))))
        server = set(rng.sample(names, min(len(names), rng.randint(0, 2))))
        constraints = Constraints(pin_device=tuple(device), pin_server=tuple(server))
        allowed = [
            price_by_hand(case, ideal)
            for ideal in list_ideals(case.graph)
            if device <= ideal and not server & ideal
        ]
        if not allowed:
            infeasible += 1
            with pytest.raises(InfeasiblePlacementError, match="pinned"):
                make_plan(case.question, constraints=constraints)
            continue
        plan = make_plan(case.question, constraints=constraints)
        _check(case, plan, min(price for price in allowed if price is not None), seed)
        free = make_plan(case.question)
        binding += free.placement != plan.placement
    assert binding >= len(cases) / 12
    assert infeasible >= len(cases) / 24


@pytest.mark.parametrize("seeds", [(0, 200), pytest.param((0, 600), marks=pytest.mark.slow)])
def test_banned_tensors_never_cross(seeds: tuple[int, int]) -> None:
    cases = range(*seeds)
    binding = 0
    for seed in cases:
        rng = random.Random(seed)
        case = draw_case(rng)
        values = list(case.graph.tensors)
        banned = set(rng.sample(values, min(len(values), 3)))
        maker = {t: operator.name for operator in case.graph for t in operator.outputs}
        best: Price | None = None
        for ideal in list_ideals(case.graph):
            crosses = any(
                operator.name not in ideal
                and tensor in banned
                and maker.get(tensor, "") in {*ideal, ""}
                for operator in case.graph
                for tensor in operator.inputs
            )
            crosses |= any(
                maker[tensor] not in ideal
                for tensor in banned & set(case.graph.outputs) & maker.keys()
            )
            price = price_by_hand(case, ideal)
            if not crosses and price is not None:
                best = price if best is None else min(best, price)
        assert best is not None
        constraints = Constraints(banned_tensors=tuple(banned))
        plan = make_plan(case.question, constraints=constraints)
        _check(case, plan, best, seed)
        assert not banned & {crossing.tensor for crossing in plan.crossings}
        binding += make_plan(case.question).placement != plan.placement
    assert binding >= len(cases) / 10


def test_any_given_placement_is_priced_as_by_hand() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        case = draw_case(rng)
        ideal = rng.choice(list(list_ideals(case.graph)))
        placement = make_plan(case.question).placement
        tier_of = {name: "device" if name in ideal else "server" for name in placement.tier_of}
        given = type(placement)(tiers=placement.tiers, tier_of=tier_of)
        plan = make_plan_for(case.question, given)
        price = price_by_hand(case, ideal)
        assert price is not None
        assert plan.predicted.total_seconds == pytest.approx(float(price.seconds)), f"seed {seed}"
        assert plan.placement == given
