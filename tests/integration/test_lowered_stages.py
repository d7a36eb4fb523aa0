"""Stages as their targets read them: written beside what was carved, and verified as they run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from onnx import TensorProto, helper

import onnxsplit as osp
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import ChecksumMismatchError, UnsupportedModelError, UsageError
from onnxsplit.model.lowering import lower_opset
from onnxsplit.reporting.schemas import load_schema
from samples.networks import build
from tests.engine_models import build_model, floats

SMALL: Mapping[str, Mapping[str, Any]] = {
    "lenet": {},
    "shufflenet": {"image_size": 64},
    "mobilenetv3": {"image_size": 64},
    "bert": {"depth": 0.1, "width": 0.25, "sequence_length": 16},
    "gpt2": {"depth": 0.1, "width": 0.25, "sequence_length": 16},
}


@pytest.fixture(autouse=True)
def cache_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def lenet(tmp_path: Path) -> Path:
    path = tmp_path / "lenet.onnx"
    path.write_bytes(build("lenet").SerializeToString())
    return path


def cut(model: Path, **wishes: Any) -> osp.Bundle:  # noqa: ANN401 - of several types
    folder = model.with_suffix(".split")
    return osp.cut(model, folder, device="local:0.5", threads=1, measure=0, **wishes)


def read_opset(file: Path) -> int:
    return max(entry.version for entry in onnx.load(file).opset_import if not entry.domain)


def check_bundle(bundle: osp.Bundle, model: Path) -> None:
    """The manifest says all, `verify` runs what was lowered, and `merge` gives the model back."""
    document = json.loads((bundle.folder / "split.json").read_text(encoding="utf-8"))
    assert not list(Draft202012Validator(load_schema("bundle")).iter_errors(document))
    listed = {"split.json", *(name for s in bundle.manifest.stages for name in s.files)}
    assert {path.name for path in bundle.folder.iterdir()} == listed
    assert bundle.parity is not None
    assert any("rewritten for its target" in note for note in bundle.parity.notes)
    assert osp.verify(bundle.folder, model=model, threads=1).passed
    merged = osp.merge(bundle.folder, model.with_name("merged.onnx"), force=True)
    assert read_opset(merged) == read_opset(model)
    assert len(onnx.load(merged).graph.node) == len(onnx.load(model).graph.node)


def test_a_stage_is_lowered_to_the_opset_that_the_device_reads(lenet: Path) -> None:
    bundle = cut(lenet, device_opset=11)
    (device, server) = bundle.manifest.stages
    assert device.lowered is not None
    assert (device.runnable_file, server.runnable_file) == ("device.lowered.onnx", "server.onnx")
    assert read_opset(bundle.folder / device.runnable_file) == 11 == device.lowered.opset
    assert read_opset(bundle.folder / device.file) > 11
    check_bundle(bundle, lenet)


def test_a_stage_that_is_old_enough_is_written_once(lenet: Path) -> None:
    bundle = cut(lenet, device_opset=onnx.defs.onnx_opset_version())
    assert bundle.manifest.stages[0].lowered is None
    assert bundle.parity is not None
    assert all(output.bit_equal for output in bundle.parity.outputs)


def test_a_stage_in_float16_takes_and_gives_what_it_did(lenet: Path) -> None:
    bundle = cut(lenet, device_precision="fp16")
    device = bundle.manifest.stages[0]
    with open_session(bundle.folder / device.runnable_file, EngineOptions(threads=1)) as session:
        types = [(spec.name, spec.dtype) for spec in (*session.inputs, *session.outputs)]
    assert types == [(spec.name, spec.dtype) for spec in (*device.inputs, *device.outputs)]
    lowered = onnx.load(bundle.folder / device.runnable_file)
    onnx.checker.check_model(lowered, full_check=True)
    weights = {tensor.data_type for tensor in lowered.graph.initializer if len(tensor.dims) > 1}
    assert weights == {TensorProto.FLOAT16}
    assert bundle.parity is not None
    assert all(output.tolerance == 1e-2 for output in bundle.parity.outputs)
    assert any(not output.bit_equal for output in bundle.parity.outputs)
    check_bundle(bundle, lenet)


def test_a_stage_in_the_mobile_format_comes_with_the_operators_that_it_needs(lenet: Path) -> None:
    bundle = cut(lenet, device_format="ort", device_opset=13)
    device = bundle.manifest.stages[0]
    assert device.runnable_file == "device.ort"
    assert (bundle.folder / "device.ort").read_bytes()[4:8] == b"ORTM"
    text = (bundle.folder / "device.required_operators.config").read_text(encoding="utf-8")
    assert text.startswith("# Generated from device.ort\n")
    assert "Conv" in text
    assert str(lenet.parent) not in text
    check_bundle(bundle, lenet)


def test_a_lowered_stage_runs_on_the_device_s_own_runtime(lenet: Path) -> None:
    bundle = cut(lenet, device_runtime="openvino", device_opset=11)
    assert bundle.manifest.stages[0].runtime == "openvino"
    check_bundle(bundle, lenet)


def test_a_lowered_file_that_was_changed_is_told(lenet: Path) -> None:
    bundle = cut(lenet, device_opset=11)
    path = bundle.folder / "device.lowered.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ChecksumMismatchError, match=r"device\.lowered\.onnx"):
        osp.verify(bundle.folder, threads=1)


def test_stages_are_timed_as_their_target_reads_them(lenet: Path) -> None:
    bundle = cut(lenet, device_opset=11)
    (bundle.folder / "server.onnx").unlink()
    timings = osp.time_stages(bundle.folder, threads=1, budget="100ms")
    assert [timing.tier for timing in timings.timings] == ["device"]
    (bundle.folder / "device.lowered.onnx").unlink()
    with pytest.raises(osp.OnnxSplitError):
        osp.time_stages(bundle.folder, threads=1, budget="100ms")


def test_what_goes_with_nothing_else_is_refused(lenet: Path) -> None:
    with pytest.raises(UsageError, match=r"--device-format ort.*openvino"):
        cut(lenet, device_format="ort", device_runtime="openvino")
    with pytest.raises(UsageError, match=r"--device-precision.*'fp16'"):
        cut(lenet, device_precision="fp61")
    with pytest.raises(UsageError, match="--device-opset is for a single cut"):
        cut(lenet, device_opset=11, frontier=True)


def test_operators_that_can_t_be_lowered_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    nodes = [
        helper.make_node("CumSum", ["x", "axis"], ["a"], name="running"),
        helper.make_node("Round", ["a"], ["b"], name="whole"),
        helper.make_node("Relu", ["b"], ["y"], name="relu"),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [], [1])
    onnx.save(
        build_model(nodes, [floats("x", [4, 8])], [floats("y", [4, 8])], initializers=[axis]), path
    )
    with pytest.raises(UnsupportedModelError, match=r"'running' \(CumSum.*'whole' \(Round"):
        cut(path, device_opset=9, cut_at=["b"])
    assert not path.with_suffix(".split").exists()


def check_network(network: str, opset: int) -> None:
    model = build(network, **SMALL[network])
    lowered = lower_opset(model, opset, who="stage").proto
    onnx.checker.check_model(lowered, full_check=True)
    rng = np.random.default_rng(3)
    results: list[Mapping[str, Any]] = []
    for proto in (model, lowered):
        options = EngineOptions(threads=1, optimization="disabled")
        with open_session(proto.SerializeToString(), options) as session:
            if not results:
                feeds = {
                    spec.name: rng.integers(0, 9, [int(dim or 0) for dim in spec.shape or ()])
                    if spec.dtype == "int64"
                    else rng.normal(size=[int(dim or 0) for dim in spec.shape or ()]).astype(
                        np.float32
                    )
                    for spec in session.inputs
                }
            results.append(session.run(feeds))
    for name, wanted in results[0].items():
        largest = np.abs(np.asarray(wanted)).max()
        assert np.abs(np.asarray(results[1][name]) - np.asarray(wanted)).max() <= 1e-4 * largest


@pytest.mark.parametrize(("network", "opset"), [("lenet", 9), ("bert", 13)])
def test_a_lowered_network_equals_the_network(network: str, opset: int) -> None:
    check_network(network, opset)


@pytest.mark.slow
@pytest.mark.parametrize("opset", [11, 12, 13, 14, 15, 16])
@pytest.mark.parametrize("network", SMALL)
def test_lowered_networks_equal_the_networks(network: str, opset: int) -> None:
    check_network(network, opset)
