"""Drift: relative to the largest value, without bound for what can't drift a little."""

import math
from pathlib import Path

import numpy as np
import pytest

from onnxsplit.engines.port import EngineOptions
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import resolve_tensors
from onnxsplit.model.wires import WIRE_TYPES
from onnxsplit.parity.comparison import allow_drift, compare_values
from onnxsplit.parity.drift import find_drifting_outputs
from onnxsplit.placement import Placement
from onnxsplit.profiling.cache import ProfileCache
from onnxsplit.profiling.wire_timing import time_wire
from tests.tiny_models import parse


def _drift(ours: object, theirs: object) -> float:
    return compare_values(np.asarray(ours), np.asarray(theirs)).drift


def test_drift_is_the_largest_difference_over_the_largest_magnitude() -> None:
    assert _drift([1.0, -4.1], [1.0, -4.0]) == pytest.approx(0.1 / 4)
    assert _drift([1.0, 2.0], [1.0, 2.0]) == 0
    assert _drift([0.0], [-0.0]) == 0, "the bits differ, the values do not"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([1, 2], [1, 3]),
        ([True], [False]),
        (["a"], ["b"]),
        ([1.0], [np.nan]),
        ([np.inf], [1.0]),
        ([1.0], [0.0]),
        ([1.0, 2.0], [1.0]),
    ],
)
def test_what_cant_drift_a_little_drifts_without_bound(ours: object, theirs: object) -> None:
    assert math.isinf(_drift(ours, theirs))


def test_the_worst_batch_counts_whatever_the_magnitude_of_the_others() -> None:
    small = compare_values(np.array([0.2]), np.array([0.1]))
    large = compare_values(np.array([100.0]), np.array([100.0]))
    assert small.merge(large).drift == pytest.approx(1.0)
    assert not allow_drift(small.merge(large), 0.5).within_tolerance


def test_a_budget_never_claims_equality_and_never_loosens_discrete_values() -> None:
    same = compare_values(np.array([1.0]), np.array([1.0]))
    assert not allow_drift(same, 0.1).bit_equal
    assert allow_drift(same, 0.1).within_tolerance
    counts = compare_values(np.array([1]), np.array([2]))
    assert not allow_drift(counts, 10.0).within_tolerance


def test_only_outputs_behind_a_narrow_crossing_drift() -> None:
    text = """
    g (float[2,3] x) => (float[2,3] y, float[2,3] z, float[2,3] w) {
        a = Relu(x) y = Neg(a) b = Exp(a) z = Abs(b) c = Sin(x) w = Neg(c)
    }
    """
    loaded = load_model(parse(text))
    feeds = {"x": np.ones((2, 3), np.float32)}
    graph = read_graph(loaded, resolve_tensors(loaded, feeds, EngineOptions(threads=1)))
    there = {"b", "z", "w"}
    placement = Placement(
        tiers=("device", "server"),
        tier_of={op.name: "server" if op.outputs[0] in there else "device" for op in graph},
    )
    assert find_drifting_outputs(graph, placement, {"a"}) == {"z"}
    assert find_drifting_outputs(graph, placement, {"c"}) == {"w"}
    assert find_drifting_outputs(graph, placement, set()) == set()


def test_coding_is_timed_once_and_kept(tmp_path: Path) -> None:
    cache = ProfileCache(folder=tmp_path)
    options = EngineOptions(threads=1)
    for wire in WIRE_TYPES.values():
        source = "float64" if wire.short == "fp32" else "float32"
        first = time_wire(wire, source, 17, options, cache=cache)
        assert first.encode_seconds >= 0
        assert time_wire(wire, source, 17, options, cache=cache) == first
    for kept in tmp_path.iterdir():
        kept.write_text("{}")
    assert len(list(tmp_path.iterdir())) == len(WIRE_TYPES)
    assert time_wire(wire, source, 17, options, cache=cache).decode_seconds >= 0
