"""Moving from an earlier placement: weights that a tier lacks, against all placements."""

import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest

from onnxsplit.errors import UsageError
from onnxsplit.objectives import Energy, InferenceLatency, Objective, Power, Throughput
from onnxsplit.placement import Placement
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.costs.question import Origin, Question
from onnxsplit.planning.cuts.bandwidths import find_frontier
from onnxsplit.planning.cuts.optimum import find_optimum
from onnxsplit.planning.cuts.prefixes import place_cells, price_prefixes
from onnxsplit.planning.cuts.reduction import Method, Solving
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.outlook.baselines import find_chain
from onnxsplit.planning.plans import make_plan
from onnxsplit.planning.solvers import open_solver
from tests.contract.workshop import fit
from tests.hand_prices import Asked, draw_asked, list_placements, price_by_hand

CASES = 150
POWER = Power(compute_watts=2.0, transmit_watts=1.5, receive_watts=0.5, idle_watts=0.25)
OBJECTIVES: dict[str, Objective] = {
    "latency": InferenceLatency(),
    "energy": Energy(powers={"device": POWER}, joules_per_second=0.5),
}


def draw(objective: Objective) -> Iterator[tuple[int, Asked, dict[str, int], int]]:
    """Draw what is asked, the earlier placement and the runs that moving is spread over."""
    for seed in range(CASES):
        rng = random.Random(seed)
        asked = replace(draw_asked(rng, "training"), objective=objective)
        earlier = rng.choice(list(list_placements(asked.graph, 2)))
        yield seed, asked, earlier, rng.choice([1, 1, 10])


def place(asked: Asked, tier: dict[str, int]) -> Placement:
    return Placement(
        tiers=asked.names, tier_of={name: asked.names[at] for name, at in tier.items()}
    )


def pose(asked: Asked, earlier: dict[str, int], runs: int) -> Question:
    return replace(asked.question, origin=Origin(placement=place(asked, earlier), runs=runs))


def price_move(asked: Asked, earlier: dict[str, int], later: dict[str, int], runs: int) -> Fraction:
    """Price what a tier lacks, weight by weight."""
    (link,) = asked.links
    down = 1 / Fraction(str(link.down_bytes_per_second))
    up = 1 / Fraction(str(link.up_bytes_per_second))
    if isinstance(asked.objective, Energy):
        waiting = Fraction(str(asked.objective.joules_per_second))
        down *= waiting + Fraction(str(POWER.receive_watts))
        up *= waiting + Fraction(str(POWER.transmit_watts))
    total = Fraction(0)
    for weight, size in asked.graph.weight_bytes.items():
        users = [operator.name for operator in asked.graph if weight in operator.weights]
        before, after = {earlier[name] for name in users}, {later[name] for name in users}
        if 0 in after - before:
            total += size * down
        if 1 in after - before:
            total += size * up
    return total / runs


def price_all(
    asked: Asked, earlier: dict[str, int], runs: int
) -> list[tuple[dict[str, int], Fraction]]:
    return [
        (tier, price + price_move(asked, earlier, tier, runs))
        for tier in list_placements(asked.graph, 2)
        if (price := price_by_hand(asked, tier)) is not None
    ]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_placement_is_better_once_moving_is_counted(name: str) -> None:
    moved = stayed = differs = shared = 0
    for seed, asked, earlier, runs in draw(OBJECTIVES[name]):
        question = pose(asked, earlier, runs)
        plan = make_plan(question)
        check_plan(plan, question)
        fit(plan.to_json())
        tier = {n: asked.names.index(at) for n, at in plan.placement.tier_of.items()}
        mine = price_by_hand(asked, tier)
        assert mine is not None
        mine += price_move(asked, earlier, tier, runs)
        least = min(price for _, price in price_all(asked, earlier, runs))
        assert float(mine) == pytest.approx(float(least), rel=1e-7), f"seed {seed}"
        sizes = plan.moving["download_bytes"] + plan.moving["upload_bytes"]
        kinds = {part.kind for part in plan.predicted.parts}
        assert bool(sizes) == bool(kinds & {"model_download", "model_upload"})
        assert plan.moving["moved"] == [n for n, at in tier.items() if earlier[n] != at]
        moved += bool(sizes)
        stayed += tier == earlier
        differs += make_plan(asked.question).placement != plan.placement
        users = [weight for operator in asked.graph for weight in operator.weights]
        shared += len(users) > len(set(users))
    assert moved >= CASES / 10
    assert stayed >= CASES / 10
    assert differs >= CASES / 20, "moving never changes the answer: nothing is shown"
    assert shared >= CASES / 10


def test_a_given_placement_is_priced_with_the_move_to_it() -> None:
    for seed, asked, earlier, runs in draw(InferenceLatency()):
        question = pose(asked, earlier, runs)
        tier, price = random.Random(seed).choice(price_all(asked, earlier, runs))
        plan = make_plan_for(question, place(asked, tier))
        assert plan.predicted.total_seconds == pytest.approx(float(price)), f"seed {seed}"


def test_prefixes_count_the_move_too() -> None:
    compared = 0
    for seed, asked, earlier, runs in draw(InferenceLatency()):
        solver = open_solver(pose(asked, earlier, runs), Constraints())
        table = price_prefixes(solver)
        for count, value in enumerate(table.values):
            priced = solver.price(place_cells(solver, count))
            assert value == pytest.approx(priced.value), f"seed {seed}"
            compared += 1
        chain = find_chain(solver, table)
        assert chain is not None
        assert chain.priced.value >= find_optimum(solver).priced.value * (1 - 1e-9)
    assert compared >= CASES


def test_blockwise_leaves_blocks_alone_where_moves_count() -> None:
    for seed, asked, earlier, runs in draw(InferenceLatency()):
        if seed % 10:
            continue
        question = pose(asked, earlier, runs)
        methods: tuple[Method, ...] = ("general", "blockwise")
        general, blockwise = (
            make_plan(question, solving=Solving(method=method)) for method in methods
        )
        assert blockwise.placement == general.placement, f"seed {seed}"
        assert blockwise.certificate == general.certificate


def test_what_moving_has_no_meaning_for_is_refused() -> None:
    _, asked, earlier, _ = next(draw(InferenceLatency()))
    posed = pose(asked, earlier, 1)
    with pytest.raises(UsageError, match="not for throughput"):
        make_plan(replace(posed, objective=Throughput()))
    trained = replace(draw_asked(random.Random(0), "training").question, origin=posed.origin)
    with pytest.raises(UsageError, match="moving costs nothing more"):
        make_plan(trained)
    with pytest.raises(UsageError, match="--amortise 0"):
        Origin(placement=place(asked, earlier), runs=0)


def test_a_frontier_counts_the_move_at_every_rate() -> None:
    compared = 0
    for seed, asked, earlier, runs in draw(InferenceLatency()):
        if seed % 5:
            continue
        frontier = find_frontier(pose(asked, earlier, runs))
        for rate in (1e2, 1e3, 1e4, 1e5, 1e6):
            link = replace(
                asked.links[0],
                up_bytes_per_second=rate,
                down_bytes_per_second=rate * frontier.down_per_up,
            )
            moved = replace(asked, links=(link,))
            least = min(price for _, price in price_all(moved, earlier, runs))
            cost = frontier.at(link).cost(link)
            assert cost == pytest.approx(float(least), rel=1e-6), f"seed {seed}"
            compared += 1
    assert compared >= 100
