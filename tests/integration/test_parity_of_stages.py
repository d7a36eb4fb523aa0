"""Stages that were tampered with are found; random, NaN and float16 models are judged fairly."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import BundleError
from onnxsplit.evidence import ParityResult
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import find_symbolic_specs, resolve_tensors
from onnxsplit.parity.verification import (
    RunnableModel,
    find_random_outputs,
    holds_float16,
    verify_stages,
)
from onnxsplit.planning.cuts.separators import place_cut
from tests.tiny_models import W, X, parse

ENGINE = EngineOptions(threads=1)
Feeds = Mapping[str, Any]

TWO_CROSSINGS = """
g (float[2,3] x) => (float[2,3] y)
<float[2,3] w = {1.5, 0.5, -2.0, 0.25, 4.0, 1.0}>
{
    a = Mul(x, w)
    b = Exp(x)
    c = Sub(a, b)
    d = Sigmoid(c)
    y = Neg(d)
}
"""


def _carve(model: onnx.ModelProto, feeds: Feeds, *tensors: str) -> list[onnx.ModelProto]:
    loaded = load_model(model)
    met = resolve_tensors(loaded, feeds, ENGINE)
    graph = read_graph(loaded, met)
    boundary = find_symbolic_specs(loaded, met, list(graph.tensors), ENGINE)
    carving = carve_stages(loaded, graph, place_cut(graph, tensors), boundary)
    return [stage.proto for stage in carving.stages]


def _read(model: onnx.ModelProto, feeds: Feeds) -> OperatorGraph:
    loaded = load_model(model)
    return read_graph(loaded, resolve_tensors(loaded, feeds, ENGINE))


def _verify(whole: onnx.ModelProto, stages: list[onnx.ModelProto], feeds: Feeds) -> ParityResult:
    graph = _read(whole, feeds)
    return verify_stages(
        RunnableModel(content=whole.SerializeToString()),
        [RunnableModel(content=stage.SerializeToString()) for stage in stages],
        [feeds],
        options=ENGINE,
        source="given",
        random_outputs=find_random_outputs(graph),
        rounds_inside=holds_float16(graph),
    )


def test_honest_stages_are_bit_equal() -> None:
    model = parse(TWO_CROSSINGS)
    result = _verify(model, _carve(model, {"x": X}, "a", "b"), {"x": X})
    assert result.passed
    assert result.bit_equal
    assert result.outputs[0].comparison == "values"


def _swap_boundary(stages: list[onnx.ModelProto]) -> None:
    for node in stages[1].graph.node:
        if node.op_type == "Sub":
            node.input[:] = [node.input[1], node.input[0]]


def _perturb_weight(stages: list[onnx.ModelProto]) -> None:
    (tensor,) = stages[0].graph.initializer
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[0, 0] *= np.float32(1.000005)  # far below the tolerance: only the bits tell
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _drop_operator(stages: list[onnx.ModelProto]) -> None:
    for node in stages[1].graph.node:
        if node.op_type == "Sigmoid":
            node.op_type = "Identity"


def _change_attribute(stages: list[onnx.ModelProto]) -> None:
    for node in stages[1].graph.node:
        if node.op_type == "Neg":
            node.op_type = "Abs"


@pytest.mark.parametrize(
    "tamper", [_swap_boundary, _perturb_weight, _drop_operator, _change_attribute]
)
def test_tampered_stages_are_found(tamper: Callable[[list[onnx.ModelProto]], None]) -> None:
    model = parse(TWO_CROSSINGS)
    stages = _carve(model, {"x": X}, "a", "b")
    tamper(stages)
    result = _verify(model, stages, {"x": X})
    assert not result.passed
    assert not result.bit_equal
    assert "bit-equal" in result.outputs[0].problem


def test_a_stage_that_lacks_an_output_is_told() -> None:
    model = parse(TWO_CROSSINGS)
    stages = _carve(model, {"x": X}, "a", "b")
    del stages[0].graph.output[0]
    with pytest.raises(BundleError, match="Nothing gives"):
        _verify(model, stages, {"x": X})


def test_nans_of_the_whole_model_are_reported_and_no_failure() -> None:
    model = parse("g (float[2,3] x) => (float[2,3] y) { a = Log(x) y = Exp(a) }")
    result = _verify(model, _carve(model, {"x": X}, "a"), {"x": X})
    assert result.passed
    assert result.outputs[0].matching_nans == int((X < 0).sum())
    assert "NaN" in result.notes[0]


def test_random_models_are_compared_by_shape_and_their_other_outputs_by_value() -> None:
    model = parse("""
    g (float[2,3] x) => (float[2,3] y, float[2,3] z) {
        a = Relu(x)
        noise = RandomNormalLike(a)
        y = Add(a, noise)
        z = Exp(a)
    }
    """)
    result = _verify(model, _carve(model, {"x": X}, "a"), {"x": X})
    assert result.passed
    assert [output.comparison for output in result.outputs] == ["shapes", "values"]
    assert [output.bit_equal for output in result.outputs] == [False, True]
    assert not result.bit_equal, "nobody compared the bits of random numbers"
    assert "random" in result.notes[0]


def test_float16_models_are_held_to_their_rounding() -> None:
    model = parse("""
    g (float16[2,3] x) => (float16[2,3] y) {
        a = Exp(x)
        b = Sigmoid(a)
        c = Mul(b, a)
        y = Log(c)
    }
    """)
    feeds = {"x": X.astype(np.float16)}
    assert holds_float16(_read(model, feeds))
    for tensor in "abc":
        result = _verify(model, _carve(model, feeds, tensor), feeds)
        assert result.passed
        assert result.bit_equal or any("float16" in note for note in result.notes)
    stages = _carve(model, feeds, "b")
    for node in stages[1].graph.node:
        node.op_type = {"Log": "Exp"}.get(node.op_type, node.op_type)
    assert not _verify(model, stages, feeds).passed, "a real difference is still found"


def test_inputs_that_an_operator_writes_into_are_copied() -> None:
    model = parse(
        """
        g (float[2,3] x, float[3] mean, float[3] var) => (float[2,3] y, float[3] m, float[3] v) {
            s, m, v = BatchNormalization<training_mode = 1>(x, one, zero, mean, var)
            y = Relu(s)
        }
        """.replace(
            "(float[2,3] y, float[3] m, float[3] v) {",
            "(float[2,3] y, float[3] m, float[3] v)"
            " <float[3] one = {1, 1, 1}, float[3] zero = {0, 0, 0}> {",
        )
    )
    feeds = {"x": W, "mean": np.zeros(3, np.float32), "var": np.ones(3, np.float32)}
    result = _verify(model, _carve(model, feeds, "s"), feeds)
    assert result.passed
    assert not feeds["mean"].any()
