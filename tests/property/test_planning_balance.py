"""The next cut with enough work on both tiers, against every order ideal of small graphs."""

import random
from fractions import Fraction

import pytest

from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.outlook.balance import find_balanced_cut
from onnxsplit.planning.outlook.shares import tabulate_cuts
from onnxsplit.planning.solvers import open_solver
from tests.random_graphs import Case, Price, draw_case, list_ideals, price_by_hand


def _weigh(case: Case) -> dict[str, Fraction]:
    """Return each operator's share of the server's seconds."""
    seconds = {
        name: Fraction(str(group.seconds)) / len(group.operators)
        for group in case.profiles["server"].groups
        for name in group.operators
    }
    total = sum(seconds.values()) or Fraction(1)
    return {name: amount / total for name, amount in seconds.items()}


def _find_best(case: Case, least: Fraction) -> Price | None:
    """Find the cheapest balanced proper ideal."""
    weights = _weigh(case)
    prices = [
        price_by_hand(case, ideal)
        for ideal in list_ideals(case.graph)
        if 0 < len(ideal) < len(case.graph)
        and least <= sum(w for name, w in weights.items() if name not in ideal) <= 1 - least
    ]
    return min((price for price in prices if price is not None), default=None)


@pytest.mark.parametrize("block", range(4))
def test_a_balanced_cut_is_balanced_never_too_cheap_and_mostly_the_best(block: int) -> None:
    exists = found = best_found = 0
    for seed in range(block * 250, (block + 1) * 250):
        rng = random.Random(seed)
        case = draw_case(rng, groups=seed % 3 == 0)
        if not case.profiles["server"].total_seconds:
            continue
        least = Fraction(rng.choice([5, 10, 20, 30]), 100)
        best = _find_best(case, least)
        solver = open_solver(case.question, Constraints())
        cut = find_balanced_cut(solver, tabulate_cuts(solver), float(least))
        assert solver.solves <= 18, f"seed {seed}"
        if best is None:
            assert cut is None, f"seed {seed}"
            continue
        exists += 1
        if cut is None:
            continue
        found += 1
        device = frozenset(cut.placement.operators("device"))
        share = sum(w for name, w in _weigh(case).items() if name not in device)
        assert least <= share <= 1 - least, f"seed {seed}"
        price = price_by_hand(case, device)
        assert price is not None, f"seed {seed}: a kernel is divided"
        assert cut.total_seconds == pytest.approx(float(price.seconds)), f"seed {seed}"
        best_found += price.seconds == best.seconds
    assert exists >= 100
    assert found >= 0.98 * exists
    assert best_found >= 0.7 * exists


def test_every_prefix_is_tabulated_at_its_price() -> None:
    admitted = divided = 0
    for seed in range(300):
        case = draw_case(random.Random(seed), groups=True)
        table = tabulate_cuts(open_solver(case.question, Constraints()))
        names = [operator.name for operator in case.graph]
        for count in range(len(names) + 1):
            price = price_by_hand(case, frozenset(names[:count]))
            if price is None:
                divided += 1
                assert table.seconds[count] == float("inf"), f"seed {seed}, prefix {count}"
            else:
                admitted += 1
                expected = pytest.approx(float(price.seconds), abs=1e-12)
                assert table.seconds[count] == expected, f"seed {seed}, prefix {count}"
    assert admitted >= 500
    assert divided >= 100
