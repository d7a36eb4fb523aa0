"""Every objective, chain and place of data against all placements of small graphs."""

import random
from fractions import Fraction

import pytest

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.placement import Placement
from onnxsplit.planned import Plan
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.plans import make_plan
from tests.hand_prices import KINDS, Asked, draw_asked, list_placements, price_by_hand

BLOCKS = [(0, 100), pytest.param((0, 300), marks=pytest.mark.slow)]


def _read_tiers(asked: Asked, plan: Plan) -> dict[str, int]:
    return {name: asked.names.index(tier) for name, tier in plan.placement.tier_of.items()}


def _value(asked: Asked, plan: Plan) -> float:
    return price_placement(asked.question, plan.placement).value


def _list_prices(asked: Asked, *, proper: bool) -> list[Fraction]:
    tiers = len(asked.names)
    prices = [
        price_by_hand(asked, tier)
        for tier in list_placements(asked.graph, tiers)
        if not proper or len(set(tier.values())) == tiers
    ]
    return [price for price in prices if price is not None]


@pytest.mark.parametrize("seeds", BLOCKS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_is_the_best_placement_of_all(kind: str, seeds: tuple[int, int]) -> None:
    cases = range(*seeds)
    inside = several = planned = 0
    for seed in cases:
        asked = draw_asked(random.Random(seed), kind)
        try:
            prices = _list_prices(asked, proper=False)
            if not prices:
                with pytest.raises(InfeasiblePlacementError):
                    make_plan(asked.question)
                continue
            plan = make_plan(asked.question)
        except UsageError:
            assert kind == "training", f"seed {seed}"  # a draw without anything to train
            continue
        planned += 1
        chosen = price_by_hand(asked, _read_tiers(asked, plan))
        assert chosen is not None, f"seed {seed}: it is not allowed"
        slack = plan.certificate.rounding_bound_seconds + 1e-9 * float(chosen)
        assert float(chosen - min(prices)) <= slack, f"seed {seed}: it is not the best"
        assert _value(asked, plan) == pytest.approx(float(chosen)), f"seed {seed}: a wrong price"
        check_plan(plan, asked.question)
        inside += plan.verdict == "split"
        several += len(plan.crossings) > 1
    assert planned >= len(cases) * (0.6 if len(cases) > 100 else 0.5)  # few draws stray more
    assert inside >= planned / 5
    assert several >= planned / 10


@pytest.mark.parametrize("seeds", BLOCKS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_proper_split_leaves_no_tier_empty_and_nothing_undercuts_it(
    kind: str, seeds: tuple[int, int]
) -> None:
    cases = range(*seeds)
    found = 0
    for seed in cases:
        asked = draw_asked(random.Random(seed), kind)
        try:
            prices = _list_prices(asked, proper=True)
            if not prices:
                with pytest.raises((InfeasiblePlacementError, UsageError)):
                    make_plan(asked.question, require_split=True)
                continue
            plan = make_plan(asked.question, require_split=True)
        except UsageError:
            assert kind == "training", f"seed {seed}"  # a draw without anything to train
            continue
        found += 1
        assert plan.placement.is_proper, f"seed {seed}"
        chosen = price_by_hand(asked, _read_tiers(asked, plan))
        assert chosen is not None, f"seed {seed}"
        slack = plan.certificate.rounding_bound_seconds + 1e-9 * float(chosen)
        assert float(chosen - min(prices)) <= slack, f"seed {seed}"
    assert found >= len(cases) / 4


@pytest.mark.parametrize("kind", KINDS)
def test_any_placement_is_priced_as_by_hand_or_refused(kind: str) -> None:
    priced = 0
    for seed in range(60):
        asked = draw_asked(random.Random(seed), kind)
        for tier in list_placements(asked.graph, len(asked.names)):
            expected = price_by_hand(asked, tier)
            placement = Placement(
                tiers=asked.names, tier_of={name: asked.names[at] for name, at in tier.items()}
            )
            try:
                found = price_placement(asked.question, placement)
            except InfeasiblePlacementError:
                assert expected is None, f"seed {seed}"
                continue
            if expected is not None:
                priced += 1
                assert found.value == pytest.approx(float(expected)), f"seed {seed}"
    assert priced >= 300
