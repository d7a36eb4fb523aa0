"""Plans against brute force where cuts lie inside, floats need rounding, and values are stuck."""

import random
from dataclasses import dataclass
from fractions import Fraction

import pytest

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.planned import Plan
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.plans import make_plan
from tests.random_graphs import (
    Case,
    Price,
    draw_case,
    list_ideals,
    price_by_hand,
    roughen,
    tilt,
)

BLOCKS = [(0, 100), pytest.param((0, 500), marks=pytest.mark.slow)]


@dataclass
class Coverage:
    """What a run of random cases met."""

    cases: int = 0
    interior: int = 0
    several: int = 0
    exact: int = 0
    ties: int = 0

    def count(self, case: Case, plan: Plan, prices: list[Price]) -> None:
        self.cases += 1
        interior = 0 < len(plan.placement.operators("device")) < len(case.graph)
        self.interior += interior
        self.several += interior and len(plan.crossings) > 1
        self.exact += plan.certificate.rounding_bound_seconds == 0
        least = min(prices).seconds
        self.ties += sum(price.seconds == least for price in prices) > 1


def _draw(seed: int, *, rough: bool, stuck: bool) -> Case:
    rng = random.Random(seed)
    case = tilt(draw_case(rng, groups=seed % 2 == 0, most=9, stuck=stuck))
    return roughen(rng, case) if rough else case


def _price_ideals(case: Case, *, proper: bool = False) -> list[Price]:
    prices = [
        price_by_hand(case, ideal)
        for ideal in list_ideals(case.graph)
        if not proper or 0 < len(ideal) < len(case.graph)
    ]
    return [price for price in prices if price is not None]


def _check(case: Case, plan: Plan, best: Price, seed: int) -> None:
    """Hold total, placement and certificate against the best price."""
    price = price_by_hand(case, frozenset(plan.placement.operators("device")))
    assert price is not None, f"seed {seed}: a kernel is divided or a stuck value crosses"
    bound = Fraction(plan.certificate.rounding_bound_seconds)
    assert price.seconds - best.seconds <= bound, f"seed {seed}: not the best"
    assert bound <= best.seconds / 10**5, f"seed {seed}: the bound says little"
    total = plan.predicted.total_seconds
    assert total == pytest.approx(float(price.seconds), rel=1e-12), f"seed {seed}: a wrong total"
    if bound == 0:
        assert price == best, f"seed {seed}: a tie is broken otherwise"


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("stuck", [False, True])
@pytest.mark.parametrize("seeds", BLOCKS)
def test_plans_are_the_best_ideals_and_their_certificates_hold(
    seeds: tuple[int, int], *, rough: bool, stuck: bool
) -> None:
    met = Coverage()
    for seed in range(*seeds):
        case = _draw(seed, rough=rough, stuck=stuck)
        prices = _price_ideals(case)
        plan = make_plan(case.question)
        _check(case, plan, min(prices), seed)
        assert "constant" not in {value.tensor for value in (*plan.downloads, *plan.crossings)}
        met.count(case, plan, prices)
    assert met.interior >= met.cases / 5, met
    assert met.several >= met.cases / (20 if stuck else 10), met
    if rough:
        assert met.exact <= met.cases / 5, met
    else:
        assert met.exact >= met.cases * 4 / 5, met
        assert met.ties >= (met.cases - 100) / 80, met  # ties are rare


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("stuck", [False, True])
@pytest.mark.parametrize("seeds", BLOCKS)
def test_the_best_proper_split_is_exact_or_refused_for_good_reason(
    seeds: tuple[int, int], *, rough: bool, stuck: bool
) -> None:
    met, none = Coverage(), 0
    for seed in range(*seeds):
        case = _draw(seed, rough=rough, stuck=stuck)
        prices = _price_ideals(case, proper=True)
        if not prices:
            none += 1
            with pytest.raises(InfeasiblePlacementError, match="no proper split"):
                make_plan(case.question, require_split=True)
            continue
        plan = make_plan(case.question, require_split=True)
        _check(case, plan, min(prices), seed)
        assert plan.placement.is_proper, f"seed {seed}"
        met.count(case, plan, prices)
    assert none >= len(range(*seeds)) / 50
    assert met.several >= met.cases / 10, met


@pytest.mark.parametrize("seeds", [(0, 120), pytest.param((0, 600), marks=pytest.mark.slow)])
def test_the_best_split_under_pins_and_bans_is_exact_or_refused(seeds: tuple[int, int]) -> None:
    cases = range(*seeds)
    met, refused = Coverage(), 0
    for seed in cases:
        case = _draw(seed, rough=False, stuck=seed % 3 == 0)
        rng = random.Random(seed)
        names = [operator.name for operator in case.graph]
        device = set(rng.sample(names, min(len(names), rng.randint(0, 1))))
        server = set(rng.sample(names, min(len(names), rng.randint(0, 1))))
        tensors = [name for name in case.graph.tensors if name != "constant"]
        banned = set(rng.sample(tensors, min(len(tensors), 2)))
        constraints = Constraints(
            pin_device=tuple(device), pin_server=tuple(server), banned_tensors=tuple(banned)
        )
        prices = []
        for ideal in list_ideals(case.graph):
            crosses = any(
                (case.graph.producer(tensor) or next(iter(ideal), "")) in ideal
                and not ideal.issuperset(case.graph.consumers(tensor))
                for tensor in banned
            )
            comes_back = {
                tensor
                for tensor in banned & {*case.graph.outputs}
                if (case.graph.producer(tensor) or next(iter(ideal), "")) not in ideal
            }
            price = price_by_hand(case, ideal)
            if comes_back:
                continue
            if 0 < len(ideal) < len(names) and device <= ideal and not server & ideal:
                prices += [price] if price is not None and not crosses else []
        if not prices:
            refused += 1
            with pytest.raises(InfeasiblePlacementError):
                make_plan(
                    case.question,
                    constraints=constraints,
                    require_split=True,
                )
            continue
        plan = make_plan(
            case.question,
            constraints=constraints,
            require_split=True,
        )
        _check(case, plan, min(prices), seed)
        met.count(case, plan, prices)
    assert refused >= len(cases) / 10
    assert met.cases >= len(cases) / 3
    assert met.several >= met.cases / 10, met
