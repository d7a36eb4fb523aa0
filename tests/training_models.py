"""Small models to train, and data for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxsplit.engines.port import Array
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.inference import infer_specs
from onnxsplit.model.loading import LoadedModel, load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.placement import Placement


def draw(name: str, *shape: int, seed: int = 0) -> onnx.TensorProto:
    """Draw a weight; the same name and seed give the same values."""
    random = np.random.default_rng([seed, *name.encode()])
    return numpy_helper.from_array(random.normal(0, 0.4, shape).astype(np.float32), name)


def build(
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
    *,
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
) -> onnx.ModelProto:
    """Put a model together."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        weights,
    )
    opset = helper.make_opsetid("", 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="tests")


def make_perceptron() -> onnx.ModelProto:
    """Dense layers, a batch norm and a skip connection: its cuts have one or two crossings."""
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["a"], "fc1", transB=1),
        helper.make_node("BatchNormalization", ["a", "g", "be", "m", "v"], ["n"], "bn"),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["c"], "fc2", transB=1),
        helper.make_node("Tanh", ["c"], ["t"], "tanh"),
        helper.make_node("Add", ["t", "r"], ["s"], "add"),
        helper.make_node("Gemm", ["s", "w3", "b3"], ["y"], "fc3", transB=1),
    ]
    weights = [
        *(draw("w1", 16, 8), draw("b1", 16), draw("g", 16), draw("be", 16), draw("m", 16)),
        numpy_helper.from_array(np.ones(16, np.float32), "v"),
        *(draw("w2", 16, 16), draw("b2", 16), draw("w3", 4, 16), draw("b3", 4)),
    ]
    return build(nodes, weights, inputs={"x": ["N", 8]}, outputs={"y": ["N", 4]})


def make_attention() -> onnx.ModelProto:
    """One attention block whose two norms share their merged scale, and a softmax at the end."""
    half = numpy_helper.from_array(np.array([0.35], np.float32), "half")
    nodes = [
        helper.make_node("LayerNormalization", ["x", "one", "zero"], ["n1"], "norm1", axis=-1),
        helper.make_node("MatMul", ["n1", "wq"], ["q"], "query"),
        helper.make_node("MatMul", ["n1", "wk"], ["k"], "key"),
        helper.make_node("MatMul", ["n1", "wv"], ["v"], "value"),
        helper.make_node("Transpose", ["k"], ["kt"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"], "scores"),
        helper.make_node("Mul", ["scores", "half"], ["scaled"], "scale"),
        helper.make_node("Softmax", ["scaled"], ["weights"], "attend", axis=-1),
        helper.make_node("MatMul", ["weights", "v"], ["mixed"], "mix"),
        helper.make_node("Add", ["mixed", "x"], ["h"], "residual"),
        helper.make_node("LayerNormalization", ["h", "one", "zero"], ["n2"], "norm2", axis=-1),
        helper.make_node("ReduceMean", ["n2", "places"], ["pooled"], "pool", keepdims=0),
        helper.make_node("Gemm", ["pooled", "wo", "bo"], ["logits"], "head"),
        helper.make_node("Softmax", ["logits"], ["y"], "classes", axis=-1),
    ]
    weights = [
        numpy_helper.from_array(np.ones(8, np.float32), "one"),
        numpy_helper.from_array(np.zeros(8, np.float32), "zero"),
        numpy_helper.from_array(np.array([1], np.int64), "places"),
        *(draw("wq", 8, 8), draw("wk", 8, 8), draw("wv", 8, 8), half),
        *(draw("wo", 8, 3), draw("bo", 3)),
    ]
    return build(nodes, weights, inputs={"x": ["N", 5, 8]}, outputs={"y": ["N", 3]})


def make_tied() -> onnx.ModelProto:
    """Two layers with one weight, used as it is and transposed by a constant operator."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "encode"),
        helper.make_node("Tanh", ["a"], ["t"], "tanh"),
        helper.make_node("MatMul", ["t", "w"], ["b"], "again"),
        helper.make_node("Transpose", ["u"], ["ut"], "turned", perm=[1, 0]),
        helper.make_node("MatMul", ["b", "ut"], ["y"], "decode"),
    ]
    weights = [draw("w", 6, 6), draw("u", 3, 6)]
    return build(nodes, weights, inputs={"x": ["N", 6]}, outputs={"y": ["N", 3]})


def make_embedding() -> onnx.ModelProto:
    """A table that embeds tokens, and transposed by a constant operator scores them."""
    nodes = [
        helper.make_node("MatMul", ["x", "table"], ["e"], "embed"),
        helper.make_node("MatMul", ["e", "w"], ["h"], "layer"),
        helper.make_node("Tanh", ["h"], ["t"], "tanh"),
        helper.make_node("Transpose", ["table"], ["turned"], "turn", perm=[1, 0]),
        helper.make_node("MatMul", ["t", "turned"], ["y"], "score"),
    ]
    weights = [draw("table", 3, 6), draw("w", 6, 6)]
    return build(nodes, weights, inputs={"x": ["N", 3]}, outputs={"y": ["N", 3]})


def make_patches() -> onnx.ModelProto:
    """Patches of images with a token before them, as vision transformers have; six images."""
    nodes = [
        helper.make_node("Conv", ["x", "wp", "bp"], ["p"], "patch", strides=[2, 2]),
        helper.make_node("Reshape", ["p", "sizes"], ["r"], "rows"),
        helper.make_node("Transpose", ["r"], ["t"], "turn", perm=[0, 2, 1]),
        helper.make_node("Where", ["is_row", "whole", "single"], ["many"], "count"),
        helper.make_node("Expand", ["token", "many"], ["e"], "repeat"),
        helper.make_node("Concat", ["e", "t"], ["c"], "begin", axis=1),
        helper.make_node("Add", ["c", "places"], ["a"], "place"),
        helper.make_node("LayerNormalization", ["a", "g", "b"], ["n"], "norm", axis=-1),
        helper.make_node("MatMul", ["n", "w"], ["m"], "mix"),
        helper.make_node("Tanh", ["m"], ["h"], "tanh"),
        helper.make_node("ReduceMean", ["h", "middle"], ["z"], "mean", keepdims=0),
        helper.make_node("MatMul", ["z", "wo"], ["y"], "score"),
    ]
    weights = [
        numpy_helper.from_array(np.array([6, 8, 16], np.int64), "sizes"),
        numpy_helper.from_array(np.array([1], np.int64), "middle"),
        numpy_helper.from_array(np.array([True, False, False]), "is_row"),
        numpy_helper.from_array(np.array([6, 6, 6], np.int64), "whole"),
        numpy_helper.from_array(np.array([1, 1, 8], np.int64), "single"),
        *(draw("wp", 8, 3, 2, 2), draw("bp", 8), draw("token", 1, 1, 8), draw("places", 1, 17, 8)),
        *(draw("g", 8), draw("b", 8), draw("w", 8, 8), draw("wo", 8, 3)),
    ]
    return build(nodes, weights, inputs={"x": [6, 3, 8, 8]}, outputs={"y": [6, 3]})


def read(model: onnx.ModelProto) -> tuple[LoadedModel, OperatorGraph]:
    """Load a model and read its operators."""
    loaded = load_model(model)
    return loaded, read_graph(loaded, infer_specs(loaded))


def place_first(graph: OperatorGraph, count: int) -> Placement:
    """Place the first operators on the device."""
    return Placement(
        tiers=("device", "server"),
        tier_of={
            operator.name: "device" if place < count else "server"
            for place, operator in enumerate(graph)
        },
    )


def save_data(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays into one ``.npz`` file."""
    named: dict[str, Any] = dict(arrays)
    np.savez(path, **named)


def draw_batch(shape: tuple[int, ...], classes: int, rows: int, seed: int) -> tuple[Array, Array]:
    """Draw inputs and classes that depend on them."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, *shape)).astype(np.float32)
    return values, values.reshape(rows, -1)[:, :classes].argmax(axis=1)
