"""Blocks and exchanges: never another value than the whole graph's, and no condition is idle."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.mincut import SINK, SOURCE, Contraction, LinearProblem, PreparedProblem, dominance
from onnxsplit.planning.costs.charges import read_parameters
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts import contraction
from onnxsplit.planning.cuts.blocks import Block, explain_loose_ends
from onnxsplit.planning.cuts.bottleneck import BottleneckTests
from onnxsplit.planning.cuts.contraction import BlockJudge, contract_formulation
from onnxsplit.planning.cuts.formulation import Bar, Formulation
from onnxsplit.planning.cuts.reduction import Solving
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.plans import make_plan
from onnxsplit.planning.solvers import open_solver, prepare
from onnxsplit.tiers import Link
from tests.block_graphs import draw_blocks, draw_outside, draw_ties
from tests.hand_prices import Asked, draw_asked, list_placements, price_by_hand

KINDS = ("runs", "places", "states", "wires", "energy", "training")
CASES = 60

Floats = npt.NDArray[np.float64]
Draw = Callable[[random.Random, str], Asked]


def _open(asked: Asked) -> tuple[Question, Formulation] | None:
    """Formulate a case; None for a draw without anything to train."""
    try:
        question = asked.question
        return question, open_solver(question, Constraints()).formulation
    except UsageError:
        return None


def _list_parameters(rng: random.Random, question: Question) -> Iterator[Floats]:
    """Yield the parameters of the question's link, and of two others."""
    (link,) = question.topology.links
    yield read_parameters(question.topology)
    for _ in range(2):
        other = Link(
            up_bytes_per_second=link.up_bytes_per_second * 10 ** rng.uniform(-2, 2),
            down_bytes_per_second=link.down_bytes_per_second * 10 ** rng.uniform(-2, 2),
            round_trip_seconds=rng.choice([0.0, 0.01]),
        )
        yield read_parameters(replace(question.topology, links=(other,)))


def _list_bars(formulation: Formulation) -> Iterator[tuple[Bar, ...]]:
    """Yield no bars, and those that the search for the best proper split sets."""
    yield ()
    for root in formulation.coarse.roots[:2]:
        for leaf in formulation.coarse.leaves[:2]:
            if root != leaf:
                yield (root, 1), (leaf, 0)


def _find_least(
    problem: LinearProblem, parameters: Floats, barred: list[int]
) -> tuple[float, tuple[float, ...] | None] | None:
    """Return the least cost with its tie-break costs; None if there is no cut.

    Rounded ticks may hide a tie: then there are no tie-break costs to compare.
    """
    prepared = PreparedProblem.of(problem)
    structure = prepared.structure
    try:
        cut = prepared.solve(parameters, barred=structure.merged_of[barred].tolist())
    except InfeasiblePlacementError:
        return None
    side = cut.source_side
    severed = side[structure.tails] & ~side[structure.heads]
    ties = tuple(float(costs[severed].sum()) for costs in prepared.tie_breaks)
    is_exact = cut.certificate.rounding_bound == 0
    return float(prepared.measure(side) @ parameters), ties if is_exact else None


def _is_same(
    formulation: Formulation, smaller: Contraction, parameters: Floats, bars: tuple[Bar, ...]
) -> bool:
    """Tell whether a contraction has the least cost, and the ties, of the original."""
    arcs = [int(formulation.tier_arcs[bar]) for bar in bars]
    whole = _find_least(formulation.problem, parameters, arcs)
    small = _find_least(smaller.problem, parameters, [int(smaller.arc_of[arc]) for arc in arcs])
    if whole is None or small is None:
        return whole is small
    if not np.isclose(whole[0], small[0], rtol=1e-6, atol=1e-12):
        return False
    return None in (whole[1], small[1]) or whole[1] == small[1]


def _count_wrong(draw: Draw, kinds: tuple[str, ...], seeds: range) -> tuple[int, int, int]:
    """Compare contracted problems with whole ones: how many differ, were joined, were compared."""
    wrong = joined = compared = 0
    for kind in kinds:
        for seed in seeds:
            rng = random.Random(seed)
            opened = _open(draw(rng, kind))
            if opened is None:
                continue
            question, formulation = opened
            smaller = contract_formulation(question, formulation)
            joined += smaller.problem.vertex_count < formulation.problem.vertex_count
            for parameters in _list_parameters(rng, question):
                for bars in _list_bars(formulation):
                    compared += 1
                    wrong += not _is_same(formulation, smaller, parameters, bars)
    return wrong, joined, compared


@pytest.mark.parametrize("draw", [draw_asked, draw_blocks])
@pytest.mark.parametrize("kind", KINDS)
def test_contraction_never_changes_the_cut_value_nor_its_ties(draw: Draw, kind: str) -> None:
    wrong, joined, compared = _count_wrong(draw, (kind,), range(CASES))
    assert wrong == 0
    assert joined >= CASES / 5
    assert compared >= CASES * 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_prepared_question_finds_the_best_placement_by_hand(kind: str) -> None:
    inside = several = checked = 0
    for seed in range(CASES):
        asked = (draw_blocks if seed % 2 else draw_asked)(random.Random(seed), kind)
        if len(asked.graph) > 11 or _open(asked) is None:
            continue
        prices = [price_by_hand(asked, tier) for tier in list_placements(asked.graph, 2)]
        least = min((price for price in prices if price is not None), default=None)
        prepared = prepare(asked.question)
        if least is None:
            with pytest.raises(InfeasiblePlacementError):
                prepared.solve(asked.question.topology)
            continue
        found = prepared.solve(asked.question.topology)
        checked += 1
        slack = found.certificate.rounding_bound_seconds + 1e-9 * float(least)
        assert abs(found.value - float(least)) <= slack, f"seed {seed}"
        assert found.price().value == pytest.approx(found.value), f"seed {seed}"
        inside += found.placement.verdict == "split"
        several += len(found.price().crossings) > 1
    assert checked >= CASES / 2
    assert inside >= checked / 5
    assert several >= checked / 10


@pytest.mark.parametrize("kind", ["runs", "training"])
@pytest.mark.parametrize("require_split", [False, True])
def test_plans_by_blocks_cost_what_plans_on_the_whole_graph_cost(
    kind: str, *, require_split: bool
) -> None:
    compared = 0
    for seed in range(30):
        asked = draw_blocks(random.Random(seed), kind)
        try:
            whole = make_plan(asked.question, require_split=require_split)
        except (UsageError, InfeasiblePlacementError):
            continue
        for certify in ("solved", "original"):
            plan = make_plan(
                asked.question,
                require_split=require_split,
                solving=Solving(method="blockwise", certify=certify),
            )
            compared += 1
            assert plan.predicted.total_seconds == pytest.approx(whole.predicted.total_seconds)
            assert plan.certificate.scope in (
                {"original"} if certify == "original" else {"original", "contracted"}
            )
    assert compared >= 30


def test_networkx_finds_the_value_of_the_contracted_problem_on_the_whole_one() -> None:
    compared = 0
    for seed in range(80):
        kind = KINDS[seed % len(KINDS)]
        opened = _open(draw_blocks(random.Random(seed), kind))
        if opened is None:
            continue
        question, formulation = opened
        parameters = read_parameters(question.topology)
        found = _find_least(contract_formulation(question, formulation).problem, parameters, [])
        network: nx.DiGraph[int] = nx.DiGraph()
        problem = formulation.problem
        network.add_nodes_from((SOURCE, SINK))
        for tail, head, row in zip(
            problem.tails.tolist(), problem.heads.tolist(), problem.coefficients, strict=True
        ):
            if np.isinf(row[0]):
                network.add_edge(tail, head)
                network[tail][head].pop("capacity", None)
            elif not network.has_edge(tail, head) or "capacity" in network[tail][head]:
                before = network.get_edge_data(tail, head, {"capacity": 0.0})["capacity"]
                network.add_edge(tail, head, capacity=before + float(row @ parameters))
        if found is None:
            with pytest.raises(nx.NetworkXUnbounded):
                nx.minimum_cut_value(network, SOURCE, SINK)
            continue
        compared += 1
        assert nx.minimum_cut_value(network, SOURCE, SINK) == pytest.approx(found[0], rel=1e-6)
    assert compared >= 50


# Each condition left out must be found wrong by the comparison above.


def _never_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = dominance.Exchange.of
    monkeypatch.setattr(dominance.Exchange, "of", lambda p, g: keep(p, np.zeros_like(g)))


def _carriers_never_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = dominance.Exchange.of

    def of(problem: LinearProblem, guarded: npt.NDArray[np.bool_]) -> dominance.Exchange:
        found = keep(problem, np.zeros_like(guarded))
        return replace(found, partner=np.where(guarded, -1, found.partner))

    monkeypatch.setattr(dominance.Exchange, "of", of)


def _free_of_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dominance, "_is_no_dearer", lambda p, s: p[:, 0] <= s[:, 0])


def _constant_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dominance, "_is_no_dearer", lambda p, s: (p[:, 1:] <= s[:, 1:]).all(axis=1))


def _ties_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dominance, "_keeps_ties", lambda p, *_: np.ones(len(p), dtype=np.bool_))


def _carriers_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def pay(self: dominance.Exchange) -> Floats:
        return dominance.gather_rows(self.costs, self.problem.heads, self.problem.vertex_count)

    monkeypatch.setattr(dominance.Exchange, "_pay", pay)


def _any_reader_is_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = dominance.Exchange.of

    def of(problem: LinearProblem, guarded: npt.NDArray[np.bool_]) -> dominance.Exchange:
        found = keep(problem, guarded)
        partner = found.partner.copy()
        tails, heads = problem.tails[found.never], problem.heads[found.never]
        solid = ~found.carries[tails] & (tails != SOURCE) & (heads > SINK)
        solid &= ~guarded[heads]
        partner[heads[solid]] = tails[solid]
        return replace(found, partner=partner)

    monkeypatch.setattr(dominance.Exchange, "of", of)


def _blocks_at_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = explain_loose_ends
    monkeypatch.setattr(
        contraction,
        "explain_loose_ends",
        lambda b, c: "" if b.interior and b.exit is not None and b.entry is None else keep(b, c),
    )


def _loose_ends_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def explain(block: Block, _: object) -> str:
        whole = block.interior and block.entry is not None and block.exit is not None
        return "" if whole else "no"

    monkeypatch.setattr(contraction, "explain_loose_ends", explain)


def _dear_cells_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BlockJudge, "_find_dear_cell", lambda *_: "")


def _constant_alone_for_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(self: BlockJudge, block: Block) -> str:
        costs = self.formulation.charges.vertices[list(block.interior), :, 0]
        return "dear" if (costs[:, 1] > costs[:, 0]).any() else ""

    monkeypatch.setattr(BlockJudge, "_find_dear_cell", find)


def _flow_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BlockJudge, "_find_bottleneck", lambda *_: "")


def _block_ties_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BlockJudge, "_is_cheaper_for_certain", lambda *_: True)


def _always_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BottleneckTests, "is_narrowest_before", lambda *_: True)


MUTATIONS = (
    _never_guarded,
    _carriers_never_guarded,
    _free_of_charge,
    _constant_left_out,
    _ties_left_out,
    _carriers_left_out,
    _any_reader_is_partner,
    _blocks_at_inputs,
    _loose_ends_left_out,
    _dear_cells_left_out,
    _constant_alone_for_cells,
    _flow_left_out,
    _block_ties_left_out,
    _always_narrow,
)


@pytest.mark.parametrize("leave_out", MUTATIONS, ids=lambda mutation: mutation.__name__.strip("_"))
def test_no_condition_can_be_left_out(
    leave_out: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (draw_ties, draw_outside)
    assert not any(_count_wrong(draw, ("runs",), range(3))[0] for draw in made)
    leave_out(monkeypatch)
    if any(_count_wrong(draw, ("runs",), range(3))[0] for draw in made):
        return
    for draw in (draw_blocks, draw_asked):
        for kind in ("places", "runs", "training", "energy"):
            for start in range(0, 240, 40):
                if _count_wrong(draw, (kind,), range(start, start + 40))[0]:
                    return
    pytest.fail("nothing went wrong without it")
