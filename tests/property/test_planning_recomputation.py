"""Operators that may run twice, against every way of running them once or twice."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.planning.cuts.recomputation import find_recomputation
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.plans import make_plan
from onnxsplit.profiles import OperatorGroup
from tests.hand_prices import Asked, draw_asked

CASES = 120
Sides = tuple[frozenset[str], frozenset[str]]
"""What the device runs, and what the server runs."""


def _exact(number: float) -> Fraction:
    return Fraction(str(number))


def _list_sides(asked: Asked, doubles: frozenset[str]) -> Iterator[Sides]:
    """Yield every way: each operator on the device, on the server or, if it may, on both."""
    names = [operator.name for operator in asked.graph]
    ways = [("d", "s", "b") if name in doubles else ("d", "s") for name in names]
    for choice in itertools.product(*ways):
        device = frozenset(n for n, way in zip(names, choice, strict=True) if way != "s")
        if all(maker in device for name in device for maker in asked.graph.predecessors(name)):
            yield device, frozenset(n for n, w in zip(names, choice, strict=True) if w != "d")


def _price(asked: Asked, sides: Sides) -> Fraction | None:
    """Price a way straight from the words: what runs, what is sent, what comes back."""
    device, server = sides
    graph, (link,) = asked.graph, asked.links
    total = Fraction(0)
    for tier, there in zip(asked.names, sides, strict=True):
        profile = asked.profiles[tier]
        total += sum(_exact(g.seconds) for g in profile.groups if g.operators[0] in there)
        total += _exact(profile.run_seconds) if there else 0
    total += _exact(link.round_trip_seconds) if server else 0
    made_there = {tensor for op in graph if op.name in server for tensor in op.outputs}
    read_there = {tensor for op in graph if op.name in server for tensor in op.inputs}
    for tensor in read_there - made_there:
        wire, size = asked.wires.get(tensor), graph.tensors[tensor].size_bytes
        if size is None:
            return None
        total += (wire.size_bytes if wire else size) / _exact(link.up_bytes_per_second)
        for tier, way in zip(asked.names, ("send_seconds", "receive_seconds"), strict=True):
            boundary = asked.profiles[tier].boundaries.get(tensor)
            total += _exact(getattr(boundary, way)) if boundary else 0
            total += _exact(getattr(wire, way)) if wire else 0
    made_here = {tensor for op in graph if op.name in device for tensor in op.outputs}
    for tensor in {*graph.outputs} & made_there - made_here:
        size = graph.tensors[tensor].size_bytes
        if size is None:
            return None
        total += size / _exact(link.down_bytes_per_second)
    return total


def _ungroup(asked: Asked) -> Asked:
    """Let every operator be a kernel of its own."""
    profiles = {
        tier: replace(
            profile,
            groups=tuple(
                OperatorGroup(operators=(name,), seconds=group.seconds)
                for group in profile.groups
                for name in group.operators
            ),
        )
        for tier, profile in asked.profiles.items()
    }
    return replace(asked, profiles=profiles)


@pytest.mark.parametrize("kind", ["runs", "wires"])
@pytest.mark.parametrize("proper", [False, True])
def test_no_way_of_running_operators_once_or_twice_undercuts_what_is_found(
    kind: str, *, proper: bool
) -> None:
    better = twice = found = 0
    for seed in range(CASES):
        rng = random.Random(seed)
        asked = _ungroup(draw_asked(rng, kind))
        names = [operator.name for operator in asked.graph]
        doubles = frozenset(rng.sample(names, min(len(names), 4)))
        prices = [
            price
            for sides in _list_sides(asked, doubles)
            if (price := _price(asked, sides)) is not None
            and (not proper or (sides[0] - sides[1] and sides[1] - sides[0]))
        ]
        question = asked.question
        if not prices:
            with pytest.raises(InfeasiblePlacementError):
                find_recomputation(
                    question, doubles, constraints=Constraints(), require_split=proper
                )
            continue
        made = find_recomputation(
            question, doubles, constraints=Constraints(), require_split=proper
        )
        found += 1
        device = frozenset(made.priced.placement.operators("device"))
        server = frozenset(made.priced.placement.operators("server")) | made.copies
        chosen = _price(asked, (device, server))
        assert chosen is not None, f"seed {seed}"
        slack = made.certificate.rounding_bound_seconds + 1e-9 * float(chosen)
        assert float(chosen - min(prices)) <= slack, f"seed {seed}: it is not the best"
        assert made.priced.value == pytest.approx(float(chosen)), f"seed {seed}: a wrong price"
        assert made.copies <= doubles & device
        twice += bool(made.copies)
        if made.copies:
            plain = make_plan(question, require_split=proper)
            better += plain.predicted.total_seconds > made.priced.value * (1 + 1e-6)
    assert found >= CASES / 2
    assert twice == better, "operators run twice only where that is strictly better"
    assert better >= CASES / 60


def test_without_operators_that_may_run_twice_the_plan_is_the_plain_one() -> None:
    for seed in range(60):
        question = draw_asked(random.Random(seed), "runs").question
        try:
            plain = make_plan(question)
        except InfeasiblePlacementError:
            continue
        made = find_recomputation(question, frozenset(), constraints=Constraints())
        assert made.copies == frozenset()
        assert made.priced.value == pytest.approx(plain.predicted.total_seconds), f"seed {seed}"
