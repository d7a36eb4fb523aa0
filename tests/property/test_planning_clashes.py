"""The smallest clash against trying every subset of the constraints."""

import itertools
import random
import re
from dataclasses import replace

import pytest

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.planning.demands.clashes import find_clash
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.plans import make_plan
from tests.hand_prices import list_placements, price_by_hand
from tests.limit_cases import Limited, draw_limited, meets

FLAG = re.compile(r"--[a-z-]+")


def _smallest(parts: tuple[int, ...], clashes: list[set[int]]) -> int:
    return min(
        size
        for size in range(len(parts) + 1)
        for some in itertools.combinations(parts, size)
        if any(clash <= set(some) for clash in clashes)
    )


def test_the_clash_is_the_smallest_of_all_subsets() -> None:
    smaller = 0
    for seed in range(400):
        rng = random.Random(seed)
        parts = tuple(range(rng.randint(2, 8)))
        clashes = [set(rng.sample(parts, rng.randint(1, len(parts)))) for _ in range(3)]

        def is_feasible(some: tuple[int, ...], clashes: list[set[int]] = clashes) -> bool:
            return not any(clash <= set(some) for clash in clashes)

        found = find_clash(parts, is_feasible)
        assert found.is_smallest, f"seed {seed}"
        assert not is_feasible(found.parts), f"seed {seed}"
        assert len(found.parts) == _smallest(parts, clashes), f"seed {seed}"
        filtered = find_clash(parts, is_feasible, most_tried=0)
        for part in filtered.parts:
            rest = tuple(other for other in filtered.parts if other != part)
            assert is_feasible(rest), f"seed {seed}: it is reducible"
        smaller += len(found.parts) < len(filtered.parts)
    assert smaller >= 20, "the search never beat the filter"


def _draw(rng: random.Random) -> Limited:
    """Draw several budgets and other constraints on one small case."""
    limited = draw_limited(rng, "memory")
    while len(limited.asked.names) > 2 or len(limited.asked.graph) > 6:
        limited = draw_limited(rng, "memory")
    seconds = min(
        price
        for tier in list_placements(limited.asked.graph, 2)
        if (price := price_by_hand(limited.asked, tier)) is not None
    )
    wanted = replace(
        limited.constraints,
        memory_bytes={
            "device": rng.choice([40, 120, 180, 240, 300]),
            "server": rng.choice([40, 120, 180, 240, 300]),
        },
        max_seconds=float(seconds) * rng.choice([1.2, 1.5, 2.0]),
        least_share=rng.choice([0.05, 0.2]),
        private_depth=1,
    )
    return replace(limited, constraints=wanted)


def _take_apart(wanted: Constraints) -> dict[str, Constraints]:
    return {
        "--device-memory": Constraints(memory_bytes={"device": wanted.memory_bytes["device"]}),
        "--server-memory": Constraints(memory_bytes={"server": wanted.memory_bytes["server"]}),
        "--max-latency": Constraints(max_seconds=wanted.max_seconds),
        "--least-share": Constraints(least_share=wanted.least_share),
        "--private-depth": Constraints(private_depth=wanted.private_depth),
    }


def test_the_named_flags_are_a_smallest_set_that_no_placement_meets() -> None:
    sizes: dict[int, int] = {}
    for seed in range(200):
        limited = _draw(random.Random(seed))
        pieces = _take_apart(limited.constraints)
        met = [
            {
                flag
                for flag, alone in pieces.items()
                if meets(replace(limited, constraints=alone), tier)
            }
            for tier in list_placements(limited.asked.graph, 2)
            if price_by_hand(limited.asked, tier) is not None
        ]
        least = next(
            (
                size
                for size in range(1, len(pieces) + 1)
                for some in itertools.combinations(pieces, size)
                if not any(set(some) <= each for each in met)
            ),
            None,
        )
        if least is None:
            make_plan(limited.asked.question, constraints=limited.constraints)
            continue
        with pytest.raises(InfeasiblePlacementError) as caught:
            make_plan(limited.asked.question, constraints=limited.constraints)
        flags = set(FLAG.findall(str(caught.value)))
        assert flags <= pieces.keys(), f"seed {seed}: {caught.value}"
        assert len(flags) == least, f"seed {seed}: {caught.value}"
        assert not any(flags <= each for each in met), f"seed {seed}: {caught.value}"
        sizes[least] = sizes.get(least, 0) + 1
    assert sizes[1] >= 10
    assert sizes[2] >= 15
    assert sizes[3] >= 2
