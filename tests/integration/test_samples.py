"""The sample networks run, are what they are called, and are the same every time."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from onnxsplit.errors import UsageError
from samples.networks import NAMES, build, build_reduced

SAMPLES = Path(__file__).parents[2] / "samples"

PARAMETERS = {
    "alexnet": 61_100_840,
    "bert": 109_482_240,
    "convnext": 28_589_128,
    "densenet121": 7_978_856,
    "distilbert": 66_362_880,
    "efficientnet": 5_288_548,
    "googlenet": 6_998_552,
    "gpt2": 124_439_808,
    "inceptionv3": 23_834_568,
    "lenet": 61_706,
    "llama": 134_515_008,
    "mnasnet": 4_383_312,
    "mobilenetv2": 3_504_872,
    "mobilenetv3": 2_542_856,
    "regnet": 5_495_976,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "resnext50": 25_028_904,
    "shufflenet": 2_278_604,
    "squeezenet": 1_235_496,
    "swin": 28_288_354,
    "vgg19": 143_667_240,
    "vit": 86_567_656,
}
"""Published counts of trainable parameters, as the papers' reference implementations have them."""

HUGE = {"alexnet", "bert", "distilbert", "gpt2", "llama", "vgg19", "vit"}

SHIPPED = {
    "densenet121": "densenet121",
    "googlenet": "inception_v1",
    "resnet50": "resnet50",
    "squeezenet": "squeezenet",
    "vgg19": "vgg19",
}
"""Networks that the onnx package ships as well, with weights of ones, by its own names."""


Feeds = dict[str, np.ndarray]


def _open(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options)


def _draw(session: ort.InferenceSession, *, seed: int = 0, **dims: int) -> Feeds:
    """Draw inputs; no mask hides the first token, for then there is something to attend to."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for value in session.get_inputs():
        shape = [dims[dim] if isinstance(dim, str) else dim for dim in value.shape]
        if value.name == "attention_mask":
            feeds[value.name] = rng.integers(0, 2, shape)
            feeds[value.name][:, 0] = 1
        elif value.name == "input_ids":
            feeds[value.name] = rng.integers(0, 50, shape)
        else:
            feeds[value.name] = rng.standard_normal(shape).astype(np.float32)
    return feeds


def _run(session: ort.InferenceSession, feeds: Feeds) -> np.ndarray:
    (output,) = session.run(None, feeds)
    return np.asarray(output)


@pytest.mark.parametrize("name", NAMES)
def test_reduced_networks_run_and_give_sensible_numbers(name: str) -> None:
    model = build_reduced(name)
    onnx.checker.check_model(model, full_check=True)
    session = _open(model)
    output = _run(session, _draw(session))
    assert np.isfinite(output).all()
    assert output.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_output_depends_on_the_input(name: str) -> None:
    session = _open(build_reduced(name))
    first, second = (_run(session, _draw(session, seed=seed)) for seed in (0, 1))
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()


@pytest.mark.parametrize("name", NAMES)
def test_a_dynamic_batch_works_and_rows_do_not_depend_on_each_other(name: str) -> None:
    session = _open(build_reduced(name, batch="batch"))
    feeds = _draw(session, batch=3)
    together = _run(session, feeds)
    assert together.shape[0] == 3
    for row in range(3):
        alone = _run(session, {key: values[row : row + 1] for key, values in feeds.items()})
        np.testing.assert_allclose(together[row : row + 1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2", "llama"])
def test_a_dynamic_sequence_gives_what_a_fixed_one_gives(name: str) -> None:
    sizes: dict[str, Any] = {"width": 1 / 6, "depth": 1 / 6}
    free = _open(build(name, batch="batch", sequence_length="sequence", **sizes))
    for length in (1, 5, 12):
        fixed = _open(build(name, sequence_length=length, **sizes))
        feeds = _draw(fixed)
        np.testing.assert_allclose(_run(free, feeds), _run(fixed, feeds), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_decoder_does_not_see_later_tokens(name: str) -> None:
    session = _open(build_reduced(name))
    feeds = _draw(session)
    changed = {"input_ids": feeds["input_ids"].copy()}
    changed["input_ids"][:, 7:] += 1
    before, after = _run(session, feeds), _run(session, changed)
    np.testing.assert_allclose(before[:, :7], after[:, :7], rtol=1e-4, atol=1e-4)
    assert np.abs(before[:, 7:] - after[:, 7:]).min(axis=-1).max() > 0


def test_bert_does_not_see_masked_tokens() -> None:
    session = _open(build_reduced("bert"))
    feeds = _draw(session)
    feeds["attention_mask"][:] = np.arange(12) < 7
    changed = {**feeds, "input_ids": feeds["input_ids"].copy()}
    changed["input_ids"][:, 7:] += 1
    np.testing.assert_allclose(_run(session, feeds), _run(session, changed), rtol=1e-4, atol=1e-4)
    changed["input_ids"][:, 6] += 1
    assert np.abs(_run(session, feeds) - _run(session, changed)).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_give_the_same_bytes(name: str) -> None:
    first, second = build_reduced(name), build_reduced(name)
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


def test_names_are_unique_and_nothing_is_unnamed() -> None:
    for name in NAMES:
        names = [node.name for node in build_reduced(name).graph.node]
        assert all(names)
        assert len(set(names)) == len(names)


def _count(model: onnx.ModelProto) -> int:
    """Count what is trained: floats, but for running statistics, masks and single numbers."""
    return sum(
        math.prod(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and tensor.dims
        and not tensor.name.endswith((".mean", ".variance", ".mask"))
        and tensor.name not in {"causal/bias", "rotary/speeds"}
    )


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in HUGE else name for name in PARAMETERS],
)
def test_full_networks_have_the_published_number_of_parameters(name: str) -> None:
    assert _count(build(name)) == PARAMETERS[name]


def _list_shapes(model: onnx.ModelProto) -> list[tuple[int, ...]]:
    """List the shapes of the weights of convolutions and dense layers, without ones."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    shapes = {name: tuple(tensor.dims) for name, tensor in stored.items()}
    for node in model.graph.node:
        made_to = {"ConstantOfShape": 0, "Reshape": 1}.get(node.op_type)
        if made_to is not None and node.input[made_to] in stored:
            shape = onnx.numpy_helper.to_array(stored[node.input[made_to]])
            shapes[node.output[0]] = tuple(shape.tolist())
    weights = (node.input[1] for node in model.graph.node if node.op_type in {"Conv", "Gemm"})
    return [tuple(dim for dim in shapes[weight] if dim > 1) for weight in weights]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in HUGE else name for name in SHIPPED],
)
def test_full_networks_have_the_layers_of_those_that_onnx_ships(name: str) -> None:
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    shipped = onnx.load(folder / f"light_{SHIPPED[name]}.onnx")
    assert sorted(_list_shapes(build(name))) == sorted(_list_shapes(shipped))


def test_squeezenet_squeezes_a_photograph_to_the_published_size() -> None:
    inferred = onnx.shape_inference.infer_shapes(build("squeezenet"))
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in inferred.graph.value_info
    }
    (squeeze,) = (node for node in inferred.graph.node if node.name == "fire2/squeeze")
    assert shapes[squeeze.output[0]] == [1, 16, 55, 55]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_full_networks_run(name: str) -> None:
    session = _open(build(name))
    output = _run(session, _draw(session))
    assert np.isfinite(output).all()
    assert output.std() > 0


def _make(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own script
        [sys.executable, SAMPLES / "make.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_committed_sample_is_what_the_generator_writes(tmp_path: Path) -> None:
    made = _make("squeezenet", "--classes", "10", "-o", "made.onnx", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "made.onnx").read_bytes() == (SAMPLES / "squeezenet.onnx").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["made.onnx"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuchnet"],
        [],
        ["lenet", "--width", "0"],
        ["lenet", "--image-size", "4"],
        ["lenet", "--seed", "-1"],
        ["lenet", "-o", "no/such/folder/x.onnx"],
    ],
)
def test_bad_arguments_are_refused_without_a_traceback(
    arguments: list[str], tmp_path: Path
) -> None:
    finished = _make(*arguments, folder=tmp_path)
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "sizes", "told"),
    [
        ("resnet51", {}, "Did you mean .*'resnet50'"),
        ("lenet", {"batch": 0}, "batch is 0"),
        ("lenet", {"batch": "a-b"}, "batch is 'a-b'"),
        ("lenet", {"width": math.nan}, "width is nan"),
        ("lenet", {"depth": 0}, "depth is 0"),
        ("lenet", {"classes": 0}, "classes is 0"),
        ("lenet", {"sequence_length": 8}, "lenet has no sequence_length"),
        ("gpt2", {"image_size": 64}, "gpt2 has no image_size"),
        ("gpt2", {"sequence_length": 1025, "width": 0.1}, "1024 tokens at most"),
        ("unet", {"image_size": 40}, "multiple of 16"),
        ("vgg19", {"image_size": 16}, "too small: nothing of it is left at 'pool5'"),
        ("lenet", {"width": 3000}, "smaller width or depth"),
    ],
)
def test_sizes_that_a_network_can_not_have_are_refused(
    name: str, sizes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        build(name, **sizes)
