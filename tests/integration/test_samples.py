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
    "densenet121": 7_978_856,
    "googlenet": 6_998_552,
    "gpt2": 124_439_808,
    "lenet": 61_706,
    "mobilenetv2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "shufflenet": 2_278_604,
    "squeezenet": 1_235_496,
    "vgg19": 143_667_240,
}
"""Published counts of trainable parameters, as the papers' reference implementations have them."""

HUGE = {"alexnet", "bert", "gpt2", "vgg19"}


def _run(model: onnx.ModelProto, *, batch: int = 1) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    rng = np.random.default_rng(0)
    feeds = {}
    for value in session.get_inputs():
        shape = [batch if isinstance(dim, str) else dim for dim in value.shape]
        if "int64" in value.type:
            feeds[value.name] = rng.integers(0, 2, shape)
        else:
            feeds[value.name] = rng.standard_normal(shape).astype(np.float32)
    (output,) = session.run(None, feeds)
    return np.asarray(output)


@pytest.mark.parametrize("name", NAMES)
def test_reduced_networks_run_and_give_sensible_numbers(name: str) -> None:
    model = build_reduced(name)
    onnx.checker.check_model(model, full_check=True)
    output = _run(model)
    assert np.isfinite(output).all()
    assert output.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_dynamic_batch_works_and_rows_do_not_depend_on_each_other(name: str) -> None:
    model = build_reduced(name, batch="batch")
    assert _run(model, batch=3).shape[0] == 3
    assert _run(model, batch=1).shape[0] == 1


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
        and not tensor.name.endswith((".mean", ".variance"))
        and tensor.name != "causal/bias"
    )


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in HUGE else name for name in PARAMETERS],
)
def test_full_networks_have_the_published_number_of_parameters(name: str) -> None:
    assert _count(build(name)) == PARAMETERS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_full_networks_run(name: str) -> None:
    output = _run(build(name))
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
        ("gpt2", {"sequence_length": 1025}, "1024 tokens at most"),
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
