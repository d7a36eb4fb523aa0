"""Preparing a model for differentiation changes its form and not what it computes."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxsplit.autodiff.differentiation import differentiate
from onnxsplit.autodiff.preparation import OLDEST_OPSET, find_opset, prepare_model
from onnxsplit.autodiff.rules import RULES
from onnxsplit.errors import UnknownGradientError, UnsupportedModelError
from onnxsplit.model.loading import load_model
from tests.gradients.checking import build_gradient_model, run_onnxruntime

_OLD = [
    (9, "[2,3,4] x", "y = Softmax <axis = 1> (x)"),
    (12, "[2,3,4] x", "y = LogSoftmax (x)"),
    (10, "[2,3,4] x", "y = Clip <min = -0.5, max = 0.5> (x)"),
    (11, "[2,1,4] x", "y = Squeeze <axes = [1]> (x)"),
    (11, "[2,4] x", "y = Unsqueeze <axes = [1]> (x)"),
    (13, "[2,3,4] x", "y = ReduceMean <axes = [-1], keepdims = 0> (x)"),
    (17, "[2,3,4] x", "y = ReduceL2 <axes = [1]> (x)"),
    (11, "[2,3,4] x", "y = ReduceSum <axes = [0, 2]> (x)"),
    (10, "[2,3,4] x", "y = Pad <pads = [0, 1, 0, 0, 0, 2]> (x)"),
    (9, "[2,3,4] x", "y = Slice <axes = [1], starts = [1], ends = [3]> (x)"),
    (11, "[2,6] x", "a, b = Split <axis = 1> (x) y = Mul (a, b)"),
    (9, "[2,6] x", "y = Dropout <ratio = 0.5> (x)"),
    (9, "[2,3,4,4] x, float[3] w", "y = BatchNormalization (x, w, w, w, w)"),
    (9, "[2,3] x, float[3,4] b, float[4] c", "y = Gemm (x, b, c)"),
    (9, "[3,4] x", "y, i = TopK <k = 2> (x)"),
]


@pytest.mark.parametrize(("opset", "inputs", "nodes"), _OLD, ids=[text for *_, text in _OLD])
def test_an_old_model_computes_the_same_bits_and_has_gradients(
    opset: int, inputs: str, nodes: str
) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]>'
        f" graph (float{inputs}) => (float[] y) {{ {nodes} }}"
    )
    model.graph.output[0].ClearField("type")
    rng = np.random.default_rng(0)
    feeds = {
        value.name: rng.uniform(0.1, 1, [d.dim_value for d in value.type.tensor_type.shape.dim])
        for value in model.graph.input
    }
    narrow = {name: value.astype(np.float32) for name, value in feeds.items()}
    expected = run_onnxruntime(model, narrow)["y"]
    prepared = prepare_model(load_model(model)).proto
    assert find_opset(prepared) == OLDEST_OPSET
    np.testing.assert_array_equal(run_onnxruntime(prepared, narrow)["y"], expected)
    joined = build_gradient_model(model, ["y"], ["x"])
    found = run_onnxruntime(joined, {**narrow, "seed|y": np.ones_like(expected)})
    assert np.isfinite(found["grad|x"]).all()
    assert found["grad|x"].shape == narrow["x"].shape


def test_weights_stay_where_they_are(tmp_path: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]>'
        " graph (float[2,64] x) => (float[2,64] y) { y = MatMul(x, w) }"
    )
    model.graph.initializer.append(weight)
    model.metadata_props.add(key="author", value="someone")
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    prepared = prepare_model(load_model(path))
    (tensor,) = prepared.proto.graph.initializer
    assert tensor.data_location == onnx.TensorProto.EXTERNAL
    assert prepared.base_folder == tmp_path
    assert [value.name for value in prepared.proto.graph.input] == ["x"]
    assert [entry.value for entry in prepared.proto.metadata_props] == ["someone"]


def test_a_model_that_can_not_be_converted_is_refused_in_a_sentence() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 9]>'
        " graph (float[2,3] x) => (float[2,3] y) { y = NoSuchOperator(x) }"
    )
    with pytest.raises(UnsupportedModelError, match="raise its opset to 18, and can't"):
        prepare_model(load_model(model))


def test_an_operator_that_onnx_can_not_write_out_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Type unknown")

    monkeypatch.setattr(onnx.inliner, "inline_selected_functions", refuse)
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 18]>'
        " graph (float[2,3] x) => (float[2,3] y, float[2,3] z) { y = Sin(x) [s] z = Shrink(x) }"
    )
    prepared = prepare_model(load_model(model))
    assert [node.op_type for node in prepared.proto.graph.node] == ["Sin", "Shrink"]
    with pytest.raises(UnknownGradientError, match="'s'"):
        differentiate(prepared, of={"z": "seed"}, with_respect_to=["x"])
    assert differentiate(prepared, of={"y": "seed"}, with_respect_to=["x"]).backward


def test_the_readme_names_every_operator_that_has_a_rule() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    listed = text.split("There are rules for: ")[1].split("; and for what")[0]
    assert listed.replace("\n", " ").split(", ") == [f"`{name}`" for _, name in sorted(RULES)]
