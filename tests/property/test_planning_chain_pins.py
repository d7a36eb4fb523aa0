"""Pins to any tier of a chain, against all placements that respect them."""

import random

import pytest

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.plans import make_plan
from tests.hand_prices import Asked, draw_asked, list_placements, price_by_hand

CASES = 240


def draw_pins(asked: Asked, rng: random.Random) -> tuple[tuple[str, str], ...]:
    """Pin one to three operators to tiers of their own, contradictions included."""
    names = [operator.name for operator in asked.graph]
    chosen = rng.sample(names, min(len(names), rng.randint(1, 3)))
    return tuple((rng.choice(asked.names), name) for name in chosen)


@pytest.mark.parametrize("proper", [False, True])
def test_the_best_placement_under_pins_is_found_or_their_clash_is_named(proper: bool) -> None:  # noqa: FBT001 - pytest calls it so
    found = refused = binding = 0
    for seed in range(CASES):
        rng = random.Random(seed)
        asked = draw_asked(rng, "tiers")
        pins = draw_pins(asked, rng)
        prices = []
        free = []
        for tier in list_placements(asked.graph, len(asked.names)):
            price = price_by_hand(asked, tier)
            if price is None or (proper and len(set(tier.values())) < len(asked.names)):
                continue
            free.append(price)
            if all(asked.names[tier[name]] == at for at, name in pins):
                prices.append(price)
        constraints = Constraints(pins=pins)
        if not prices:
            with pytest.raises(InfeasiblePlacementError, match=r"pin|proper split"):
                make_plan(asked.question, constraints=constraints, require_split=proper)
            refused += 1
            continue
        plan = make_plan(asked.question, constraints=constraints, require_split=proper)
        tier_of = plan.placement.tier_of
        assert all(tier_of[name] == at for at, name in pins), f"seed {seed}"
        chosen = price_by_hand(
            asked, {name: asked.names.index(tier) for name, tier in tier_of.items()}
        )
        assert chosen is not None
        slack = plan.certificate.rounding_bound_seconds + 1e-9 * float(chosen)
        assert float(chosen - min(prices)) <= slack, f"seed {seed}"
        found += 1
        binding += min(prices) > min(free)
    assert found >= CASES / 5, (found, refused, binding)
    assert refused >= CASES / 10, (found, refused, binding)
    assert binding >= found / 5, (found, refused, binding)
