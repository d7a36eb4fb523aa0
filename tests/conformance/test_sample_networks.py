"""The sample networks, reduced in width, cut in many places."""

import sys

import pytest

from onnxsplit.model.inputs import draw_inputs
from onnxsplit.model.loading import load_model
from onnxsplit.model.sizes import SizeOptions, fix_input_specs
from samples.networks import NAMES, build_reduced
from tests.conformance.harness import Tally, check_all, choose_cuts, prepare_subject

SEED = 11


def check_network(name: str, *, batch: int | str, most: int) -> Tally:
    """Cut one network in several places, and say what was tried."""
    model = load_model(build_reduced(name, batch=batch))
    sizes = SizeOptions(dims={batch: 2} if isinstance(batch, str) else {})
    feeds = draw_inputs(model, fix_input_specs(model, sizes), seed=SEED)
    subject = prepare_subject(name, model.proto, feeds)
    tally = Tally()
    check_all(subject, tally, list(choose_cuts(subject.graph, seed=SEED, most=most)))
    sys.stdout.write(f"{name}, seed {SEED}: {tally}\n")
    return tally


@pytest.mark.parametrize("name", NAMES)
def test_a_network_equals_its_stages(name: str) -> None:
    tally = check_network(name, batch=1, most=6)
    assert tally.cuts["bits"] >= 4


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_any_batch_equals_its_stages(name: str) -> None:
    tally = check_network(name, batch="batch", most=4)
    assert tally.cuts["bits"] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_network_equals_its_stages_at_many_cuts(name: str) -> None:
    tally = check_network(name, batch=1, most=40)
    assert tally.cuts["bits"] >= 10
