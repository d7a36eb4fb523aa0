"""Every model that the onnx package ships and onnxruntime runs, cut in many places."""

import sys
import warnings
from collections.abc import Iterable

import onnx
import pytest

from onnxsplit.errors import OnnxSplitError
from tests.conformance.harness import Tally, check_all, choose_cuts, prepare_subject
from tests.conformance.shipped import (
    ShippedModel,
    fill_weights,
    make_node_cases,
    read_networks,
    read_recorded,
)

SEED = 7
SMALL_NETWORKS = ("densenet121", "inception_v1", "inception_v2", "shufflenet", "squeezenet")


def check_models(models: Iterable[ShippedModel], *, most: int) -> Tally:
    """Cut each model in several places, and say what was tried."""
    tally = Tally()
    for model in models:
        try:
            subject = prepare_subject(model.name, model.proto, model.feeds)
        except OnnxSplitError as error:
            tally.unloadable[model.name] = str(error)
            continue
        check_all(subject, tally, list(choose_cuts(subject.graph, seed=SEED, most=most)))
    sys.stdout.write(f"seed {SEED}: {tally}\n")
    sys.stdout.writelines(f"  {name}: {why}\n" for name, why in tally.unloadable.items())
    return tally


def generate_cases() -> list[ShippedModel]:
    """Generate onnx's cases; its own reference code warns of overflows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(make_node_cases())


def fill_network(model: ShippedModel) -> ShippedModel:
    """Give a network random weights."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    fill_weights(proto, seed=SEED)
    return ShippedModel(name=f"{model.name} with weights", proto=proto, feeds=model.feeds)


def test_recorded_models_equal_their_stages_at_every_cut() -> None:
    tally = check_models(read_recorded(), most=64)
    assert tally.models >= 95
    assert tally.cuts["bits"] >= 300
    assert tally.models + len(tally.unloadable) >= 140


def test_single_operators_between_copies_equal_their_stages() -> None:
    tally = check_models(generate_cases()[::9], most=4)
    assert tally.models >= 190
    assert tally.cuts["bits"] >= 850
    assert tally.cuts["rounding"] >= 40
    assert tally.refused >= 1


def test_networks_with_constant_cones_for_weights_equal_their_stages() -> None:
    tally = check_models(read_networks(), most=4)
    assert tally.models >= 9
    assert tally.cuts["bits"] >= 40


def test_networks_with_random_weights_equal_their_stages() -> None:
    small = (model for model in read_networks() if model.name.endswith(SMALL_NETWORKS))
    tally = check_models((fill_network(model) for model in small), most=4)
    assert tally.models >= 5
    assert tally.cuts["bits"] >= 24


@pytest.mark.slow
def test_single_operators_equal_their_stages_at_many_cuts() -> None:
    tally = check_models(generate_cases(), most=24)
    assert tally.models >= 1750
    assert tally.cuts["bits"] >= 15_000
    assert tally.cuts["rounding"] >= 450
    assert tally.refused >= 20


@pytest.mark.slow
def test_networks_of_any_size_equal_their_stages_at_many_cuts() -> None:
    for model in read_networks():
        # The largest have over half a gigabyte of weights, which every cut copies.
        most = 24 if model.name.endswith(SMALL_NETWORKS) else 6
        tally = check_models([fill_network(model)], most=most)
        assert tally.cuts["bits"] > most // 2
