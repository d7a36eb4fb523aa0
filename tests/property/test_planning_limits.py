"""Every kind of constraint against all placements of small graphs."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.placement import Placement
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.plans import make_plan
from tests.hand_prices import list_placements, price_by_hand
from tests.limit_cases import KINDS, Limited, draw_limited, meets

BLOCKS = [(0, 60), pytest.param((60, 400), marks=pytest.mark.slow)]


def _list_prices(limited: Limited, *, proper: bool) -> tuple[list[Fraction], list[Fraction]]:
    """Price all placements, and those that meet the constraints."""
    everything, fitting = [], []
    tiers = len(limited.asked.names)
    for tier in list_placements(limited.asked.graph, tiers):
        price = price_by_hand(limited.asked, tier)
        if price is None or (proper and len(set(tier.values())) < tiers):
            continue
        everything.append(price)
        if meets(limited, tier):
            fitting.append(price)
    return everything, fitting


@pytest.mark.parametrize("seeds", BLOCKS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_is_the_best_placement_that_meets_the_constraint(
    kind: str, seeds: tuple[int, int]
) -> None:
    binding = loose = infeasible = 0
    for seed in range(*seeds):
        rng = random.Random(f"{kind} {seed}")
        limited = draw_limited(rng, kind)
        question = replace(limited.asked.question, powers=limited.powers)
        proper = rng.random() < 0.3
        try:
            everything, fitting = _list_prices(limited, proper=proper)
            if not fitting:
                infeasible += bool(everything)
                with pytest.raises(InfeasiblePlacementError):
                    make_plan(question, constraints=limited.constraints, require_split=proper)
                continue
            plan = make_plan(question, constraints=limited.constraints, require_split=proper)
        except UsageError:
            assert kind == "training memory", f"seed {seed}"  # nothing to train
            continue
        tier = {n: limited.asked.names.index(t) for n, t in plan.placement.tier_of.items()}
        chosen = price_by_hand(limited.asked, tier)
        assert chosen is not None, f"seed {seed}"
        assert meets(limited, tier), f"seed {seed}"
        proof = plan.certificate
        slack = proof.rounding_bound_seconds + 1e-9 * float(chosen)
        assert float(chosen - min(fitting)) <= slack, f"seed {seed}: it is not the best"
        assert proof.gap_seconds == 0, f"seed {seed}"
        assert plan.placement.is_proper or not proper
        binding += min(fitting) > min(everything)
        loose += min(fitting) == min(everything)
    cases = seeds[1] - seeds[0]
    assert binding >= cases / 20, "too few cases in which the constraint binds"
    assert loose >= cases / 10, "too few cases in which it does not"
    # Groups can be kept together on one tier always, and in nearly every proper split.
    assert infeasible or kind == "keep together", "no case in which nothing meets it"


@pytest.mark.parametrize("kind", KINDS)
def test_a_given_placement_is_refused_exactly_if_it_breaks_the_constraint(kind: str) -> None:
    refused = taken = 0
    for seed in range(60):
        rng = random.Random(f"given {kind} {seed}")
        limited = draw_limited(rng, kind)
        question = replace(limited.asked.question, powers=limited.powers)
        names = limited.asked.names
        placements = [
            tier
            for tier in list_placements(limited.asked.graph, len(names))
            if price_by_hand(limited.asked, tier) is not None
        ]
        if not any(meets(limited, tier) for tier in placements):
            continue
        tier = rng.choice(placements)
        given = Placement(tiers=names, tier_of={name: names[at] for name, at in tier.items()})
        try:
            make_plan(replace(question, powers={}))
        except UsageError:
            assert kind == "training memory", f"seed {seed}"  # nothing to train
            continue
        if meets(limited, tier):
            make_plan_for(question, given, constraints=limited.constraints)
            taken += 1
            continue
        with pytest.raises(InfeasiblePlacementError, match=r"This placement breaks --"):
            make_plan_for(question, given, constraints=limited.constraints)
        refused += 1
    assert refused >= 5
    assert taken >= 5
