"""Random models over three and four tiers: hop by hop the stages give what the whole gives."""

import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from onnxsplit.engines.ort import open_session
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.stages import Carving
from onnxsplit.placement import Placement
from tests.conformance.harness import (
    PLAIN,
    Subject,
    check_cut,
    check_merged,
    copy_values,
    is_equal,
    prepare_subject,
)
from tests.property.test_carving_random_models import SHAPE, ModelDrawer

if TYPE_CHECKING:
    from onnxsplit.engines.port import Value

NAMES = ("phone", "edge", "hub", "cloud")


def draw_chain(graph: OperatorGraph, tiers: tuple[str, ...], rng: random.Random) -> Placement:
    """Place every operator on the tier of its latest maker or on a later one."""
    place_of: dict[str, int] = {}
    for operator in graph:
        least = max((place_of[name] for name in graph.predecessors(operator.name)), default=0)
        place_of[operator.name] = min(len(tiers) - 1, least + rng.choices(range(3), (5, 2, 1))[0])
    return Placement(tiers=tiers, tier_of={name: tiers[at] for name, at in place_of.items()})


def run_hop_by_hop(carving: Carving, feeds: Mapping[str, "Value"]) -> dict[str, "Value"]:
    """Run the stages; each sees the model's inputs, and else only what the one before gives."""
    outputs: dict[str, Value] = {}
    given: dict[str, Value] = {}
    for stage in carving.stages:
        content = stage.proto.SerializeToString()
        with open_session(content, PLAIN, base_folder=stage.base_folder) as session:
            wanted = {
                spec.name: feeds[spec.name] if spec.name in feeds else given[spec.name]
                for spec in stage.inputs
            }
            given = session.run(copy_values(wanted), [spec.name for spec in stage.outputs])
        outputs |= {name: given[name] for name, at in carving.yields.items() if at == stage.tier}
    return outputs


def make_subject(seed: int) -> Subject:
    rng = np.random.default_rng(seed)
    feeds: dict[str, Value] = {
        "x0": rng.standard_normal(SHAPE).astype(np.float32),
        "x1": rng.standard_normal(SHAPE).astype(np.float32),
        "flag": np.array(rng.random() < 0.5),
    }
    return prepare_subject(f"seed {seed}", ModelDrawer(seed).draw(), feeds)


def count_passing(graph: OperatorGraph, carving: Carving) -> tuple[int, int]:
    """Count values, and model inputs among them, that a stage takes and gives as they are."""
    passing = [
        spec.name
        for stage in carving.stages
        for spec in stage.outputs
        if spec.name in {entry.name for entry in stage.inputs}
    ]
    return len(passing), sum(name in graph.inputs for name in passing)


def test_stages_of_a_chain_hand_on_what_passes_them() -> None:
    covered: Counter[str] = Counter()
    for seed in range(3000, 3080):
        subject, rng = make_subject(seed), random.Random(seed)
        for tiers in (NAMES[1:], NAMES):
            placement = draw_chain(subject.graph, tiers, rng)
            carving = check_cut(subject, placement)
            assert carving is not None
            results = run_hop_by_hop(carving, subject.feeds)
            for name, expected in subject.expected.items():
                assert is_equal(results[name], expected), f"seed {seed}: {name!r} differs"
            values, inputs = count_passing(subject.graph, carving)
            covered.update(
                cuts=1, proper=placement.is_proper, passing=values > inputs, inputs=inputs > 0
            )
    assert covered["proper"] >= covered["cuts"] // 5, covered
    assert covered["passing"] >= covered["cuts"] // 5, covered
    assert covered["inputs"] >= covered["cuts"] // 5, covered


def test_outputs_wanted_at_the_end_are_given_there() -> None:
    covered: Counter[str] = Counter()
    for seed in range(3100, 3160):
        subject, rng = make_subject(seed), random.Random(seed)
        graph = subject.graph
        placement = draw_chain(graph, NAMES[:3], rng)
        last = placement.tiers[-1]
        if not placement.operators(last):
            continue
        wanted = frozenset(name for name in graph.outputs if rng.random() < 0.6)
        resting = frozenset(name for name in graph.inputs if rng.random() < 0.3)
        carving = carve_stages(
            subject.model,
            graph,
            placement,
            subject.boundary,
            resting=resting,
            gives=dict.fromkeys(wanted, last),
        )
        check_merged(subject, carving)
        assert all(carving.yields[name] == last for name in wanted)
        results = run_hop_by_hop(carving, subject.feeds)
        for name, expected in subject.expected.items():
            assert is_equal(results[name], expected), f"seed {seed}: {name!r} differs"
        passed = {spec.name for stage in carving.stages[:-1] for spec in stage.outputs} & resting
        assert not passed, f"seed {seed}: {passed} live at the end and need no handing on"
        covered["cuts"] += 1
        covered["from afar"] += any(
            placement.tier_of[graph.producer(name) or ""] != last for name in wanted
        )
    assert covered["cuts"] >= 20, covered
    assert covered["from afar"] >= covered["cuts"] // 5, covered
