"""Halves on different runtimes: profiled, planned and verified on what will run them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import onnxsplit as osp
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions, Runtime, read_runtime
from onnxsplit.errors import ParityError, UsageError
from onnxsplit.graph import TensorSpec
from onnxsplit.parity import tolerances
from onnxsplit.profiles import Profile
from samples.networks import build

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "lenet": {},
    "squeezenet": {"image_size": 96},
    "mobilenetv2": {"image_size": 64, "width": 0.5},
    "resnet18": {"image_size": 64, "width": 0.5},
    "bert": {"depth": 0.2, "width": 0.25, "sequence_length": 32},
}
DIRECTIONS: tuple[tuple[Runtime, Runtime], ...] = (
    ("openvino", "onnxruntime"),
    ("onnxruntime", "openvino"),
)


@pytest.fixture(autouse=True)
def cache_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def cut(network: str, folder: Path, device: Runtime, server: Runtime) -> osp.Bundle:
    model = build(network, **NETWORKS[network])
    (folder / "whole.onnx").write_bytes(model.SerializeToString())
    return osp.cut(
        folder / "whole.onnx",
        folder / "split",
        device_runtime=device,
        server_runtime=server,
        device="local:0.2",
        threads=1,
        measure=0,
    )


def draw(spec: TensorSpec) -> npt.NDArray[Any]:
    rng = np.random.default_rng(11)
    shape = [int(dim or 0) for dim in spec.shape or ()]
    if spec.dtype == "int64":
        return rng.integers(0, 100, shape)
    return rng.normal(size=shape).astype(np.float32)


def check_outputs(bundle: osp.Bundle, whole: onnx.ModelProto) -> None:
    """Run the written files on fresh sessions and hold them against the model in onnxruntime."""
    with open_session(whole.SerializeToString(), EngineOptions(threads=1)) as session:
        feeds = {spec.name: draw(spec) for spec in session.inputs}
        wanted = session.run(feeds)
    pool: dict[str, Any] = dict(feeds)
    for stage in bundle.manifest.stages:
        options = EngineOptions(threads=1, runtime=read_runtime(stage.runtime))
        with open_session(bundle.folder / stage.file, options) as session:
            pool.update(session.run({spec.name: pool[spec.name] for spec in session.inputs}))
    for name, value in wanted.items():
        expected = np.asarray(value)
        assert np.abs(pool[name] - expected).max() <= 1e-4 * np.abs(expected).max()


def check_heterogeneous(network: str, folder: Path, device: Runtime, server: Runtime) -> None:
    bundle = cut(network, folder, device, server)
    assert {stage.tier: stage.runtime for stage in bundle.manifest.stages} == {
        "device": device,
        "server": server,
    }
    assert bundle.parity is not None
    assert bundle.parity.passed
    assert any("openvino" in note for note in bundle.parity.notes)
    assert all(output.max_absolute >= 0 for output in bundle.parity.outputs)
    check_outputs(bundle, onnx.load(folder / "whole.onnx"))
    assert osp.verify(bundle.folder, model=folder / "whole.onnx", threads=1).passed
    written = json.loads((bundle.folder / "split.json").read_text(encoding="utf-8"))
    assert [stage["runtime"] for stage in written["stages"]] == [device, server]


def test_stages_may_be_verified_on_another_runtime_than_they_were_cut_for(tmp_path: Path) -> None:
    bundle = cut("lenet", tmp_path, "openvino", "onnxruntime")
    result = osp.verify(bundle.folder, device_runtime="onnxruntime", threads=1)
    assert all(output.bit_equal for output in result.outputs)
    swapped = osp.verify(
        bundle.folder, device_runtime="onnxruntime", server_runtime="openvino", threads=1
    )
    assert swapped.passed
    assert any("onnxruntime and openvino" in note for note in swapped.notes)


@pytest.mark.parametrize(("device", "server"), DIRECTIONS)
def test_halves_on_two_runtimes_equal_the_whole_model(
    tmp_path: Path, device: Runtime, server: Runtime
) -> None:
    check_heterogeneous("lenet", tmp_path, device, server)


@pytest.mark.slow
@pytest.mark.parametrize(("device", "server"), DIRECTIONS)
@pytest.mark.parametrize("network", [name for name in NETWORKS if name != "lenet"])
def test_halves_of_sample_networks_on_two_runtimes_equal_the_whole_model(
    tmp_path: Path, network: str, device: Runtime, server: Runtime
) -> None:
    check_heterogeneous(network, tmp_path, device, server)


@pytest.fixture
def lenet(tmp_path: Path) -> Path:
    path = tmp_path / "lenet.onnx"
    path.write_bytes(build("lenet").SerializeToString())
    return path


def measure(model: Path, runtime: Runtime) -> Profile:
    return osp.profile(model, runtime=runtime, threads=1, budget="300ms")


def test_a_profile_is_of_the_runtime_that_ran(lenet: Path) -> None:
    found = {name: measure(lenet, name) for name in ("openvino", "onnxruntime")}
    assert found["openvino"].environment["runtime"] == "openvino"
    assert "onnxruntime" not in found["openvino"].environment
    assert "runtime" not in found["onnxruntime"].environment
    names = {
        name: {operator for group in profile.groups for operator in group.operators}
        for name, profile in found.items()
    }
    assert names["openvino"] == names["onnxruntime"]
    assert found["openvino"].extra["attributed_share"] > 0.9
    assert found["openvino"].extra["fell_back"] == []
    again = measure(lenet, "openvino")
    assert again == found["openvino"], "it comes from the cache of its own runtime"


def test_a_convolution_and_what_is_fused_into_it_are_one_group(lenet: Path) -> None:
    profile = measure(lenet, "openvino")
    types = {node.name: node.op_type for node in onnx.load(lenet).graph.node}
    groups = [[types.get(name, name) for name in group.operators] for group in profile.groups]
    assert any(group[:1] == ["Conv"] and "Relu" in group for group in groups), groups


def test_a_tier_runs_on_what_its_profile_was_measured_on(lenet: Path, tmp_path: Path) -> None:
    profile = measure(lenet, "openvino")
    bundle = osp.cut(lenet, tmp_path / "split", device=profile, server="local", threads=1)
    runtimes = {stage.tier: stage.runtime for stage in bundle.manifest.stages}
    assert runtimes == {"device": "openvino", "server": "onnxruntime"}


def test_a_profile_of_another_runtime_is_refused(lenet: Path) -> None:
    profile = measure(lenet, "onnxruntime")
    with pytest.raises(UsageError, match=r"--device-runtime openvino.*measured on onnxruntime"):
        osp.plan(lenet, device=profile, device_runtime="openvino")


def test_a_plan_rests_on_a_profile_of_each_runtime(lenet: Path) -> None:
    plan = osp.plan(lenet, device="local:0.5", server="local", server_runtime="openvino", threads=1)
    assert plan.placement.tiers == ("device", "server")


def test_stages_are_timed_on_the_runtime_that_they_were_cut_for(
    lenet: Path, tmp_path: Path
) -> None:
    bundle = osp.cut(lenet, tmp_path / "split", device_runtime="openvino", threads=1, measure=0)
    timings = osp.time_stages(bundle.folder, threads=1, budget="200ms")
    assert set(timings.environment["tiers"]) == {"device", "server"}
    assert timings.environment["tiers"]["device"]["runtime"] == "openvino"
    one = osp.time_stages(bundle.folder, threads=1, budget="200ms", runtime="openvino")
    assert one.environment["runtime"] == "openvino"


def test_a_stage_that_differs_on_its_runtime_is_told(
    lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tolerances.TOLERANCES, "float32", 1e-12)
    with pytest.raises(ParityError, match="logits"):
        osp.cut(lenet, tmp_path / "split", device_runtime="openvino", threads=1, measure=0)
    assert not (tmp_path / "split").exists()
