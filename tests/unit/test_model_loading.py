"""Loading: what is refused and how, names, identity, external data."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxsplit.errors import ModelError, UnsupportedModelError
from onnxsplit.model.loading import check_external_data, load_model
from onnxsplit.model.naming import choose_operator_names


def _model(*nodes: onnx.NodeProto, weight: onnx.TensorProto | None = None) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [] if weight is None else [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _save(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_path_bytes_and_a_protobuf_give_the_same_model(tmp_path: Path) -> None:
    model = _model()
    path = _save(model, tmp_path)
    loaded = [load_model(path), load_model(str(path)), load_model(path.read_bytes())]
    assert len({entry.identity for entry in loaded}) == 1
    assert load_model(model).identity.structure == loaded[0].identity.structure
    assert loaded[0].base_folder == tmp_path
    assert loaded[2].base_folder is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not a model", "no ONNX model"),
        (b"\x08\x08", "no ONNX model"),
        (bytes(range(256)), "no ONNX model"),
        (b'{"schema": "onnxsplit.profile/1"}', "no ONNX model"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    nodes = (
        helper.make_node("MatMul", ["x", "w"], ["m"], name="m"),
        helper.make_node("Relu", ["m"], ["y"], name="r"),
    )
    content = _model(*nodes, weight=weight).SerializeToString()
    for length in range(0, len(content) - 8, 5):
        path = tmp_path / "model.onnx"
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            load_model(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no file"):
        load_model(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="folder"):
        load_model(tmp_path)


def test_a_model_without_operators_is_refused() -> None:
    model = _model()
    del model.graph.node[:]
    with pytest.raises(UnsupportedModelError, match="no operators"):
        load_model(model)


def test_a_model_without_outputs_is_refused() -> None:
    model = _model()
    del model.graph.output[:]
    with pytest.raises(UnsupportedModelError, match="no outputs"):
        load_model(model)


class TestExternalData:
    """Weights outside the file are looked at only when they are needed."""

    def _model(self, **entries: str | int) -> onnx.ModelProto:
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4])
        weight.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            weight.external_data.add(key=key, value=str(value))
        node = helper.make_node("MatMul", ["x", "w"], ["y"], name="m")
        return _model(node, weight=weight)

    def test_loading_needs_no_weights_and_running_names_what_is_missing(
        self, tmp_path: Path
    ) -> None:
        loaded = load_model(_save(self._model(location="w.bin", length=64), tmp_path))
        with pytest.raises(ModelError, match=r"'w\.bin', which is not there"):
            check_external_data(loaded)
        (tmp_path / "w.bin").write_bytes(bytes(64))
        check_external_data(loaded)

    def test_a_file_that_is_too_short_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "w.bin").write_bytes(bytes(40))
        loaded = load_model(_save(self._model(location="w.bin", length=64), tmp_path))
        with pytest.raises(ModelError, match="40 bytes"):
            check_external_data(loaded)

    @pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin"])
    def test_a_path_that_leaves_the_folder_is_refused(self, tmp_path: Path, location: str) -> None:
        (tmp_path / "w.bin").write_bytes(bytes(64))
        folder = tmp_path / "inner"
        folder.mkdir()
        loaded = load_model(_save(self._model(location=location, length=64), folder))
        with pytest.raises(ModelError, match="outside"):
            check_external_data(loaded)

    @pytest.mark.parametrize(("location", "message"), [(".", "is no file"), ("", "does not name")])
    def test_a_path_to_no_file_is_refused(
        self, tmp_path: Path, location: str, message: str
    ) -> None:
        loaded = load_model(_save(self._model(location=location, length=64), tmp_path))
        with pytest.raises(ModelError, match=message):
            check_external_data(loaded)

    def test_a_link_that_leaves_the_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "w.bin").write_bytes(bytes(64))
        folder = tmp_path / "inner"
        folder.mkdir()
        (folder / "w.bin").symlink_to(tmp_path / "w.bin")
        loaded = load_model(_save(self._model(location="w.bin", length=64), folder))
        with pytest.raises(ModelError, match="outside"):
            check_external_data(loaded)

    def test_bytes_have_no_folder(self) -> None:
        loaded = load_model(self._model(location="w.bin", length=64).SerializeToString())
        with pytest.raises(ModelError, match="without a folder"):
            check_external_data(loaded)

    @pytest.mark.parametrize("offset", ["minus", "-4"])
    def test_an_impossible_offset_is_refused(self, tmp_path: Path, offset: str) -> None:
        loaded = load_model(_save(self._model(location="w.bin", offset=offset), tmp_path))
        with pytest.raises(ModelError, match="offset"):
            check_external_data(loaded)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["", ""], ["Relu_0", "Relu_1"]),
        (["a", "a", "b"], ["Relu_0", "Relu_1", "b"]),
        (["", "Relu_0"], ["Relu_0_2", "Relu_0"]),
        (["Relu_2_2", "Relu_2", ""], ["Relu_2_2", "Relu_2", "Relu_2_3"]),
    ],
)
def test_operator_names_are_unique_and_keep_what_is_unique(
    names: list[str], expected: list[str]
) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], name=name) for name in names]
    assert list(choose_operator_names(nodes)) == expected


def test_repeated_names_within_a_body_are_made_unique_and_listed() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["b1"], name="same"),
            helper.make_node("Neg", ["b1"], ["b2"], name="same"),
        ],
        "body",
        [],
        [helper.make_tensor_value_info("b2", TensorProto.FLOAT, None)],
    )
    condition = helper.make_node(
        "Constant",
        [],
        ["c"],
        value=helper.make_tensor("t", TensorProto.BOOL, [], [1]),
        name="c",
    )
    branch = helper.make_node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body)
    loaded = load_model(_model(condition, branch))
    assert loaded.renamed == {"if/same_2": "same"}


class TestStructure:
    """The structural hash ignores names and weights, and nothing else."""

    def _chain(self, prefix: str = "", *, fill: float = 1.0, axis: int = 1) -> onnx.ModelProto:
        weight = numpy_helper.from_array(np.full((4, 4), fill, np.float32), f"{prefix}w")
        model = _model(
            helper.make_node("MatMul", ["x", f"{prefix}w"], [f"{prefix}m"], name=f"{prefix}1"),
            helper.make_node("Softmax", [f"{prefix}m"], ["y"], name=f"{prefix}2", axis=axis),
            weight=weight,
        )
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = f"{prefix}batch"
        return model

    def _hash(self, model: onnx.ModelProto) -> str | None:
        return load_model(model).identity.structure

    def test_names_weights_and_metadata_do_not_count(self) -> None:
        base = self._chain()
        other = self._chain("other_", fill=3.0)
        other.metadata_props.add(key="k", value="v")
        assert self._hash(base) == self._hash(other)
        assert load_model(base).identity.sha256 != load_model(other).identity.sha256

    def test_attributes_shapes_types_and_edges_count(self) -> None:
        hashes = {self._hash(self._chain())}
        hashes.add(self._hash(self._chain(axis=0)))
        wider = self._chain()
        wider.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
        hashes.add(self._hash(wider))
        rewired = self._chain()
        rewired.graph.node[1].input[0] = "x"
        hashes.add(self._hash(rewired))
        retyped = self._chain()
        retyped.graph.node[1].op_type = "LogSoftmax"
        hashes.add(self._hash(retyped))
        newer = self._chain()
        newer.opset_import[0].version = 18
        hashes.add(self._hash(newer))
        reshaped = self._chain()
        reshaped.graph.initializer[0].dims[:] = [2, 8]
        hashes.add(self._hash(reshaped))
        assert len(hashes) == 7
