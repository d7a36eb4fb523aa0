"""Sensitivity, explanations and the next best splits against all placements of small graphs."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.objectives import InferenceLatency
from onnxsplit.outlook import ParameterRange
from onnxsplit.placement import Crossing, Placement
from onnxsplit.planned import Plan
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.planning.plans import make_plan
from tests.hand_prices import Asked, Tiers, draw_asked, list_placements, price_by_hand
from tests.property.test_planning_mixes import Mix, draw_mix, pose
from tests.property.test_planning_mixes import price as price_mix

KINDS = ("runs", "places", "energy", "training", "tiers", "wires")
CASES = 40
COSTLY_CASES = {"tiers": 8}
"""Longer chains have many more placements and figures."""


def draw_plans(
    kind: str, detail: Detail, *, split: bool = False, cases: int = CASES
) -> Iterator[tuple[Asked, Plan]]:
    for seed in range(cases):
        asked = draw_asked(random.Random(seed), kind)
        try:
            yield asked, make_plan(asked.question, require_split=split, detail=detail)
        except (InfeasiblePlacementError, UsageError):
            continue  # nothing to split, or nothing to train


def read_tiers(asked: Asked, placement: Placement) -> dict[str, int]:
    return {name: asked.names.index(tier) for name, tier in placement.tier_of.items()}


def price_all(asked: Asked) -> list[tuple[dict[str, int], Fraction]]:
    placements = list_placements(asked.graph, len(asked.names))
    priced = ((tier, price_by_hand(asked, tier)) for tier in placements)
    return [(tier, price) for tier, price in priced if price is not None]


def move(asked: Asked, entry: ParameterRange, figure: float) -> Asked:
    """Return what is asked with one figure changed."""
    if entry.parameter == "speed":
        profile = asked.profiles[entry.where]
        scaled = replace(profile.scale(figure / entry.value), evidence="measured", assumptions=())
        return replace(asked, profiles={**asked.profiles, entry.where: scaled})
    hops = [f"{near}->{far}" for near, far in zip(asked.names, asked.names[1:], strict=False)]
    links = list(asked.links)
    place = hops.index(entry.where)
    links[place] = replace(links[place], **{entry.parameter: figure})  # type: ignore[arg-type]
    return replace(asked, links=tuple(links))


def find_regret(asked: Asked, best: Tiers) -> tuple[float, float]:
    """Return what staying costs more than the best, and what it costs at all."""
    prices = [price for _, price in price_all(asked)]
    mine = price_by_hand(asked, best)
    assert mine is not None
    return float(mine - min(prices)), float(mine)


def check_end(asked: Asked, entry: ParameterRange, best: Tiers, *, is_upper: bool) -> None:
    """Check that the placement is best up to an end, and no longer beyond it."""
    end, successor = (entry.most, entry.above) if is_upper else (entry.least, entry.below)
    if successor is None:
        assert end == (math.inf if is_upper else 0)
        far = 1e6 if is_upper else 1e-6
        figure = entry.value * far if entry.value else 1000.0
        if entry.value or is_upper:
            regret, cost = find_regret(move(asked, entry, figure), best)
            assert regret <= 1e-7 * cost
        return
    step = 1e-4 if is_upper else -1e-4
    regret, cost = find_regret(move(asked, entry, end * (1 - step / 100)), best)
    assert regret <= 2e-6 * cost, "it is not the best within the range"
    regret, _ = find_regret(move(asked, entry, end * (1 + step)), best)
    assert regret > 0, "it is still the best beyond the range"


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_placement_stays_best_within_its_ranges_and_no_further(kind: str) -> None:
    ended = compared = 0
    cases = COSTLY_CASES.get(kind, CASES)
    for asked, plan in draw_plans(kind, Detail(sensitivity=True), cases=cases):
        assert plan.sensitivity is not None
        best = read_tiers(asked, plan.placement)
        assert plan.sensitivity.of.verdict == plan.verdict
        for entry in plan.sensitivity.ranges:
            assert entry.least <= entry.value * (1 + 1e-9)
            assert entry.value <= entry.most * (1 + 1e-9)
            for is_upper in (False, True):
                check_end(asked, entry, best, is_upper=is_upper)
            ended += (entry.below is not None) + (entry.above is not None)
            for share, regret in (
                (0.5, entry.regret_if_halved_seconds),
                (2.0, entry.regret_if_doubled_seconds),
            ):
                if entry.value == 0:
                    assert regret is None
                    continue
                expected, cost = find_regret(move(asked, entry, entry.value * share), best)
                assert regret == pytest.approx(expected, abs=1e-7 * cost)
                compared += expected > 1e-6 * cost
    assert ended >= cases
    assert compared >= cases / 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", [False, True])
def test_an_explanation_is_the_best_placement_with_the_operator_elsewhere(
    kind: str,
    split: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    costed = impossible = 0
    for asked, planned in draw_plans(kind, Detail(alternatives=0), split=split):
        names = tuple(operator.name for operator in asked.graph)[:3]
        plan = make_plan(asked.question, require_split=split, detail=Detail(explain=names))
        assert plan.placement == planned.placement
        chosen = price_placement(asked.question, plan.placement).value
        proper = len(asked.names) if split else 1
        prices = [
            (tier, price) for tier, price in price_all(asked) if len(set(tier.values())) >= proper
        ]
        for entry in plan.explanations:
            for other in entry.others:
                place = asked.names.index(other.tier)
                fitting = [float(p) for tier, p in prices if tier[entry.operator] == place]
                if other.difference_seconds is None:
                    assert not fitting
                    assert other.obstacle
                    impossible += 1
                    continue
                assert other.difference_seconds == pytest.approx(
                    min(fitting) - chosen, abs=1e-7 * chosen
                )
                assert entry.operator in other.moved
                costed += 1
    assert costed >= CASES
    assert split or kind != "tiers" or impossible == 0


def list_ends(crossings: Sequence[Crossing]) -> frozenset[tuple[str, str]]:
    """Return what crosses, and where to."""
    return frozenset((crossing.tensor, crossing.target) for crossing in crossings)


@pytest.mark.parametrize("kind", ["runs", "places", "training", "tiers"])
def test_the_next_best_are_those_of_a_sorted_enumeration(kind: str) -> None:
    listed = 0
    for asked, plan in draw_plans(kind, Detail(alternatives=4), split=True):
        best: dict[frozenset[tuple[str, str]], float] = {}
        for tier, _ in price_all(asked):
            if len(set(tier.values())) < len(asked.names):
                continue
            placement = Placement(
                tiers=asked.names, tier_of={name: asked.names[at] for name, at in tier.items()}
            )
            priced = price_placement(asked.question, placement)
            key = list_ends(priced.crossings)
            best[key] = min(priced.value, best.get(key, math.inf))
        key = list_ends(plan.crossings)
        assert best.pop(key) == pytest.approx(price_placement(asked.question, plan.placement).value)
        balanced = {
            list_ends(entry.crossings)
            for entry in plan.alternatives
            if entry.reason != "next best" and entry.placement.verdict == "split"
        }
        expected = sorted(value for key, value in best.items() if key not in balanced)[:4]
        found = [
            entry.prediction.total_seconds
            for entry in plan.alternatives
            if entry.reason == "next best"
        ]
        assert found == pytest.approx(expected)
        listed += len(found)
    assert listed >= CASES


def _names(make: Callable[[], Plan]) -> str:
    with pytest.raises(UsageError) as caught:
        make()
    return str(caught.value)


def test_an_unknown_operator_can_t_be_explained() -> None:
    asked = draw_asked(random.Random(1), "runs")
    said = _names(lambda: make_plan(asked.question, detail=Detail(explain=("op00",))))
    assert "--explain op00" in said
    assert "op0" in said


def find_mix_regret(
    mix: Mix, entry: ParameterRange, figure: float, best: dict[str, int]
) -> tuple[float, float]:
    moved = [(weight, move(asked, entry, figure)) for weight, asked in mix]
    placements = list_placements(mix[0][1].graph, len(mix[0][1].names))
    prices = [price for tier in placements if (price := price_mix(moved, tier)) is not None]
    mine = price_mix(moved, best)
    assert mine is not None
    return float(mine - min(prices)), float(mine)


def test_a_range_holds_for_all_shapes_of_a_mix_at_once() -> None:
    ended = 0
    for seed in range(20):
        mix = draw_mix(random.Random(seed), "runs")
        plan = make_plan(pose(mix), detail=Detail(sensitivity=True))
        assert plan.sensitivity is not None
        best = read_tiers(mix[0][1], plan.placement)
        for entry in plan.sensitivity.ranges:
            for end, beyond, after in (
                (entry.least, entry.least * (1 - 1e-4), entry.below),
                (entry.most, entry.most * (1 + 1e-4), entry.above),
            ):
                if after is None:
                    continue
                regret, cost = find_mix_regret(mix, entry, end, best)
                assert regret <= 2e-6 * cost, f"seed {seed}: it is not the best within the range"
                regret, _ = find_mix_regret(mix, entry, beyond, best)
                assert regret > 0, f"seed {seed}: it is still the best beyond the range"
                ended += 1
    assert ended >= 20


def test_an_explanation_keeps_the_budgets() -> None:
    costed = impossible = bound = 0
    for seed in range(COSTLY_CASES["tiers"] * 5):
        asked = draw_asked(random.Random(seed), "energy")
        timed = replace(asked, objective=InferenceLatency())
        seconds = sorted(price for _, price in price_all(timed))
        most = float(seconds[len(seconds) // 3]) * (1 + 1e-4)
        constraints = Constraints(max_seconds=most)
        names = tuple(operator.name for operator in asked.graph)[:3]
        plan = make_plan(asked.question, constraints=constraints, detail=Detail(explain=names))
        chosen = price_placement(asked.question, plan.placement).value
        prices = price_all(asked)
        within = []
        for tier, price in prices:
            took = price_by_hand(timed, tier)
            if took is not None and float(took) <= most:
                within.append((tier, float(price)))
        for entry in plan.explanations:
            (other,) = entry.others
            place = asked.names.index(other.tier)
            fitting = [price for tier, price in within if tier[entry.operator] == place]
            if other.difference_seconds is None:
                assert not fitting, f"seed {seed}"
                impossible += 1
                continue
            assert other.difference_seconds == pytest.approx(
                min(fitting) - chosen, abs=1e-5 * min(fitting)
            ), f"seed {seed}"
            free = [float(price) for tier, price in prices if tier[entry.operator] == place]
            bound += min(free) < min(fitting) * (1 - 1e-6)
            costed += 1
    assert costed >= 40
    assert impossible
    assert bound >= 10, "the budget does not bind: nothing is shown"


def test_sensitivity_is_refused_under_budgets() -> None:
    asked = draw_asked(random.Random(1), "runs")
    tight = Constraints(max_seconds=1e9)
    detail = Detail(sensitivity=True)
    said = _names(lambda: make_plan(asked.question, constraints=tight, detail=detail))
    assert "--sensitivity" in said
