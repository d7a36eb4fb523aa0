"""The sample networks, reduced in width, cut in many places."""

import random
import sys
from collections.abc import Iterable

import onnx
import pytest

from onnxsplit.model.inputs import draw_inputs
from onnxsplit.model.loading import load_model
from onnxsplit.model.sizes import SizeOptions, fix_input_specs, read_input_specs
from onnxsplit.placement import Placement
from samples.networks import NAMES, build, build_reduced
from tests.conformance.harness import (
    Subject,
    Tally,
    check_all,
    choose_cuts,
    draw_ideal,
    find_narrow_cuts,
    plan_cuts,
    prepare_subject,
    split_at,
)

SEED = 11


def make_subject(name: str, proto: onnx.ModelProto) -> Subject:
    """Draw inputs for a network and run it unsplit; symbolic dims are two."""
    model = load_model(proto)
    symbols = {dim for spec in read_input_specs(model).values() for dim in spec.shape or ()}
    sizes = SizeOptions(dims={dim: 2 for dim in symbols if isinstance(dim, str)})
    feeds = draw_inputs(model, fix_input_specs(model, sizes), seed=SEED)
    return prepare_subject(name, model.proto, feeds)


def check_network(subject: Subject, placements: Iterable[Placement]) -> Tally:
    """Cut one network in several places, and say what was tried."""
    tally = Tally()
    check_all(subject, tally, list(placements))
    sys.stdout.write(f"{subject.name}, seed {SEED}: {tally}\n")
    return tally


@pytest.mark.parametrize("name", NAMES)
def test_a_network_equals_its_stages(name: str) -> None:
    subject = make_subject(name, build_reduced(name))
    tally = check_network(subject, choose_cuts(subject.graph, seed=SEED, most=6))
    assert tally.cuts["bits"] >= 4


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_any_batch_equals_its_stages(name: str) -> None:
    subject = make_subject(name, build_reduced(name, batch="batch"))
    tally = check_network(subject, choose_cuts(subject.graph, seed=SEED, most=4))
    assert tally.cuts["bits"] >= 2


@pytest.mark.parametrize("name", ["densenet121", "googlenet", "gpt2", "shufflenet", "unet"])
def test_a_network_equals_its_stages_on_three_tiers(name: str) -> None:
    subject = make_subject(name, build_reduced(name))
    rng = random.Random(SEED)
    chains = []
    for _ in range(3):
        one, two = (draw_ideal(subject.graph, rng) for _ in range(2))
        chains.append(split_at(subject.graph, one, one | two))
    tally = check_network(subject, chains)
    assert tally.cuts["bits"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_network_equals_its_stages_at_every_cut_vertex_and_many_others(name: str) -> None:
    subject = make_subject(name, build_reduced(name))
    narrow = [split_at(subject.graph, ideal) for ideal in find_narrow_cuts(subject.graph)]
    others = choose_cuts(subject.graph, seed=SEED, most=40)
    tally = check_network(subject, [*narrow, *others])
    assert tally.cuts["bits"] >= len(narrow) + 10


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_full_size_equals_its_stages_where_the_planner_cuts(name: str) -> None:
    subject = make_subject(name, build(name))
    tally = check_network(subject, plan_cuts(subject.graph, random.Random(SEED))[:2])
    assert tally.cuts["bits"] >= 1
