"""Input sizes, drawn inputs, and inputs from files."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import ModelError, UnknownShapeError, UnsupportedModelError, UsageError
from onnxsplit.model.inputs import draw_inputs, read_batches
from onnxsplit.model.loading import LoadedModel, load_model
from onnxsplit.model.sizes import SizeOptions, fix_input_specs


def _load(*inputs: onnx.ValueInfoProto, nodes: list[onnx.NodeProto] | None = None) -> LoadedModel:
    graph = helper.make_graph(
        nodes or [helper.make_node("Identity", [inputs[0].name], ["y"])],
        "g",
        list(inputs),
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.ones((7, 3), np.float32), "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return load_model(model)


def _image() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, None])


def _mask() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("mask", TensorProto.INT64, ["batch", "length"])


def test_dims_and_shapes_fix_every_input() -> None:
    specs = fix_input_specs(
        _load(_image(), _mask()), SizeOptions(shapes={"image": (2, 3, 8)}, dims={"length": 5})
    )
    assert specs["image"].shape == (2, 3, 8)
    assert specs["mask"].shape == (2, 5), "the batch is learnt from the image's shape"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SizeOptions(), "give --dim length=1 --shape image=1,3,1, with"),
        (SizeOptions(dims={"batch": 5}), "give --dim length=1 --shape image=5,3,1, with"),
        (SizeOptions(dims={"batch": 5, "length": 2}), "give --shape image=5,3,1, with"),
        (SizeOptions(shapes={"image": (1, 3, 8)}), "--dim length=1"),
    ],
)
def test_a_dim_without_size_names_the_flag_that_mends_it(
    options: SizeOptions, message: str
) -> None:
    with pytest.raises(UnknownShapeError, match=message):
        fix_input_specs(_load(_image(), _mask()), options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SizeOptions(shapes={"imagee": (1, 3, 8)}), "Did you mean 'image'"),
        (SizeOptions(shapes={"image": (1, 3)}), "has 2 dims"),
        (SizeOptions(shapes={"image": (1, 4, 8)}), "fixed to 3"),
        (SizeOptions(shapes={"image": (1, 3, -8)}), "negative"),
        (SizeOptions(dims={"batches": 1}), "Did you mean 'batch'"),
        (SizeOptions(dims={"batch": -1}), "negative"),
        (SizeOptions(shapes={"image": (2, 3, 8)}, dims={"batch": 1}), "contradicts"),
        (SizeOptions(shapes={"image": (2, 3, 8), "mask": (3, 5)}), "two values"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: SizeOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fix_input_specs(_load(_image(), _mask()), options)


def test_all_open_dims_are_named_at_once_with_flags_that_a_shell_takes() -> None:
    named = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch size", 3, "n"])
    with pytest.raises(UnknownShapeError) as caught:
        fix_input_specs(_load(named, _mask()), SizeOptions())
    assert str(caught.value) == (
        "No size is known for the dim 'batch size' of 'x', the dim 'n' of 'x', the dim 'batch' of"
        " 'mask', the dim 'length' of 'mask'; give --dim 'batch size=1' --dim n=1 --dim batch=1"
        " --dim length=1, with your own numbers."
    )


def test_an_input_without_rank_needs_a_shape() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    with pytest.raises(UnknownShapeError, match="--shape x="):
        fix_input_specs(_load(value), SizeOptions())
    specs = fix_input_specs(_load(value), SizeOptions(shapes={"x": (2, 2)}))
    assert specs["x"].shape == (2, 2)


def test_drawn_indices_stay_within_the_table_they_look_up() -> None:
    ids = helper.make_tensor_value_info("ids", TensorProto.INT32, [400])
    nodes = [
        helper.make_node("Cast", ["ids"], ["long"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "long"], ["y"]),
    ]
    model = _load(ids, nodes=nodes)
    feeds = draw_inputs(model, fix_input_specs(model, SizeOptions()), seed=0)
    assert feeds["ids"].dtype == np.int32
    assert set(feeds["ids"].tolist()) == set(range(7))
    with open_session(model.proto.SerializeToString(), EngineOptions(threads=1)) as session:
        (row,) = session.run(feeds).values()
        assert isinstance(row, np.ndarray)
        assert row.shape == (400, 3)


@pytest.mark.parametrize(
    ("dtype", "name", "low", "high"),
    [
        (TensorProto.FLOAT, "x", -9, 9),
        (TensorProto.FLOAT16, "x", -9, 9),
        (TensorProto.BFLOAT16, "x", -9, 9),
        (TensorProto.DOUBLE, "x", -9, 9),
        (TensorProto.BOOL, "x", 0, 1),
        (TensorProto.INT64, "x", 0, 1),
        (TensorProto.UINT8, "x", 0, 255),
        (TensorProto.INT8, "x", -128, 127),
        (TensorProto.INT64, "attention_mask", 0, 1),
        (TensorProto.FLOAT, "mask", 0, 1),
    ],
)
def test_drawn_values_fit_their_types(dtype: int, name: str, low: int, high: int) -> None:
    model = _load(helper.make_tensor_value_info(name, dtype, [4, 6, 20]))
    (array,) = draw_inputs(model, fix_input_specs(model, SizeOptions()), seed=3).values()
    values = array.astype(np.float64)
    assert values.shape == (4, 6, 20)
    assert low <= values.min() < values.max() <= high
    again = draw_inputs(model, fix_input_specs(model, SizeOptions()), seed=3)[name]
    assert np.array_equal(values, again.astype(np.float64)), "the same seed draws the same"


def test_integers_that_are_sizes_are_ones() -> None:
    shape = helper.make_tensor_value_info("shape", TensorProto.INT64, [2])
    model = _load(shape, nodes=[helper.make_node("ConstantOfShape", ["shape"], ["y"])])
    feeds = draw_inputs(model, fix_input_specs(model, SizeOptions()), seed=0)
    assert feeds["shape"].tolist() == [1, 1]


def test_a_sequence_cannot_be_drawn() -> None:
    model = _load(helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None))
    with pytest.raises(UnsupportedModelError, match="--inputs"):
        draw_inputs(model, fix_input_specs(model, SizeOptions()), seed=0)


class TestFiles:
    """Inputs from ``.npz`` files are checked against the model."""

    def _save(self, folder: Path, **arrays: Any) -> Path:  # noqa: ANN401 - whatever numpy saves
        path = folder / "inputs.npz"
        np.savez(path, **arrays)
        return path

    def test_one_set_or_several_are_read(self, tmp_path: Path) -> None:
        image, mask = np.ones((1, 3, 8), np.float32), np.ones((1, 5), np.int64)
        model = _load(_image(), _mask())
        assert len(read_batches(self._save(tmp_path, image=image, mask=mask), model)) == 1
        several: dict[str, Any] = {
            "image@0": image,
            "mask@0": mask,
            "image@1": 2 * image,
            "mask@1": mask,
        }
        batches = read_batches(self._save(tmp_path, **several), model)
        assert [batch["image"].max() for batch in batches] == [1.0, 2.0]

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"image": np.ones((1, 3, 8), np.float32)}, "no array for the input 'mask'"),
            ({"imagee": np.ones(3)}, "Did you mean 'image'"),
            ({"image": np.ones((1, 3, 8)), "mask": np.ones((1, 5), np.int64)}, "float64"),
            (
                {"image": np.ones((1, 4, 8), np.float32), "mask": np.ones((1, 5), np.int64)},
                "shape",
            ),
            ({"image@one": np.ones(3)}, "no number"),
            ({"image@0": np.ones(3), "mask": np.ones(3)}, "mixes"),
            ({"image": np.array([{}, {}]), "mask": np.ones(3)}, "can't be read"),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, tmp_path: Path, arrays: dict[str, np.ndarray], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            read_batches(self._save(tmp_path, **arrays), _load(_image(), _mask()))

    def test_what_is_no_npz_is_refused(self, tmp_path: Path) -> None:
        model = _load(_image(), _mask())
        with pytest.raises(UsageError, match="no file"):
            read_batches(tmp_path / "absent.npz", model)
        text = tmp_path / "text.npz"
        text.write_text("hello")
        with pytest.raises(UsageError, match="can't be read"):
            read_batches(text, model)
        single = tmp_path / "single.npy"
        np.save(single, np.ones(3))
        with pytest.raises(UsageError, match="one array"):
            read_batches(single, model)


@pytest.mark.parametrize("dims", [[10**5, 10**5, 10**5], [2**40, 2**40]])
def test_an_input_that_fits_into_no_memory_is_named(dims: list[int]) -> None:
    model = _load(helper.make_tensor_value_info("x", TensorProto.FLOAT, dims))
    specs = fix_input_specs(model, SizeOptions())
    with pytest.raises(ModelError, match=r"'x' at .* does not fit into memory"):
        draw_inputs(model, specs, seed=0)
