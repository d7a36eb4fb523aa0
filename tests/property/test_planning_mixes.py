"""Mixes of shapes against all placements of small graphs, each priced at every shape by hand."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.placement import Placement
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.costs.mixes import pose_mix
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.plans import make_plan
from onnxsplit.profiles import OperatorGroup, Profile
from tests.hand_prices import Asked, draw_asked, list_placements, price_by_hand

KINDS = ("tiers", "places", "states", "energy", "runs")
WEIGHTS = (0.5, 1.0, 3.0, 16.0)
CASES = 80

Mix = list[tuple[float, Asked]]


def draw_mix(rng: random.Random, kind: str) -> Mix:
    """Draw a case, and the same model at one or two other sizes with other times."""
    first = draw_asked(rng, kind)
    mix = [(rng.choice(WEIGHTS), first)]
    for _ in range(rng.randint(1, 2)):
        factor = rng.choice([2, 5, 40])
        tensors = {
            name: replace(spec, shape=(factor, *spec.shape)) if spec.shape is not None else spec
            for name, spec in first.graph.tensors.items()
        }
        case = replace(first.case, graph=replace(first.graph, tensors=tensors))
        profiles = {name: change(profile, rng) for name, profile in first.profiles.items()}
        mix.append((rng.choice(WEIGHTS), replace(first, case=case, profiles=profiles)))
    return mix


def change(profile: Profile, rng: random.Random) -> Profile:
    """Change the times of a profile, and divide some of its kernels."""
    groups: list[OperatorGroup] = []
    for group in profile.groups:
        seconds = round(group.seconds * rng.choice([0.1, 1.0, 7.0]), 9)
        if len(group.operators) > 1 and rng.random() < 0.5:
            groups += [OperatorGroup(operators=(n,), seconds=seconds) for n in group.operators]
        else:
            groups.append(OperatorGroup(operators=group.operators, seconds=seconds))
    return replace(profile, groups=tuple(groups))


def pose(mix: Mix) -> Question:
    return pose_mix(
        [({"n": place}, weight, asked.question) for place, (weight, asked) in enumerate(mix)]
    )


def price(mix: Mix, tier: dict[str, int]) -> Fraction | None:
    total = Fraction(0)
    for weight, asked in mix:
        one = price_by_hand(asked, tier)
        if one is None:
            return None
        total += Fraction(str(weight)) * one
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_one_placement_is_the_best_for_the_whole_mix(kind: str) -> None:
    planned = inside = differs = 0
    for seed in range(CASES):
        mix = draw_mix(random.Random(seed), kind)
        names, graph = mix[0][1].names, mix[0][1].graph
        allowed = [(price(mix, tier), tier) for tier in list_placements(graph, len(names))]
        prices = [cost for cost, _ in allowed if cost is not None]
        if not prices:
            with pytest.raises(InfeasiblePlacementError):
                make_plan(pose(mix))
            continue
        question = pose(mix)
        plan = make_plan(question)
        check_plan(plan, question)
        tier = {name: names.index(at) for name, at in plan.placement.tier_of.items()}
        chosen = price(mix, tier)
        assert chosen is not None, f"seed {seed}"
        slack = plan.certificate.rounding_bound_seconds + 1e-9 * float(chosen)
        assert float(chosen - min(prices)) <= slack, f"seed {seed}: it is not the best"
        assert price_placement(question, plan.placement).value == pytest.approx(float(chosen))
        seconds = sum(share.weight * share.prediction.total_seconds for share in plan.mix)
        assert plan.predicted.total_seconds == pytest.approx(seconds)
        planned += 1
        inside += plan.verdict == "split"
        alone = make_plan(mix[0][1].question).placement
        alone_tier = {name: names.index(at) for name, at in alone.tier_of.items()}
        other = price(mix, alone_tier)
        differs += other is None or float(other - chosen) > slack
    assert planned >= CASES * 0.6
    assert inside >= planned / 10
    assert differs >= planned / 10, "the best for one shape is the best for all: nothing is shown"


def test_a_given_placement_is_priced_and_certified_for_the_whole_mix() -> None:
    priced = 0
    for seed in range(40):
        mix = draw_mix(random.Random(seed), "tiers")
        names, rng = mix[0][1].names, random.Random(seed)
        tier = rng.choice(list(list_placements(mix[0][1].graph, len(names))))
        cost = price(mix, tier)
        if cost is None:
            continue
        placement = Placement(
            tiers=names, tier_of={name: names[place] for name, place in tier.items()}
        )
        plan = make_plan_for(pose(mix), placement)
        assert plan.predicted.total_seconds == pytest.approx(float(cost)), f"seed {seed}"
        priced += 1
    assert priced >= 10
