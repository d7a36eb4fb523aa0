"""What `export` writes, read by the engines' own programs."""

import json
from pathlib import Path
from typing import Any

import pytest

import onnxsplit as osp
from onnxsplit.deployment.services import Service
from onnxsplit.deployment.settings import Accelerator, ServingSettings
from onnxsplit.deployment.triton import write_config
from onnxsplit.graph import TensorSpec
from onnxsplit.model.bundle import read_bundle
from onnxsplit.stage_entries import StageEntry
from tests.foreign.environment import RAY, ServerRefusedError, run_program
from tests.foreign.triton_server import run_triton
from tests.served_bundles import BATCHED_FEEDS, write_batched, write_typed

pytestmark = pytest.mark.slow


def read_config(text: str) -> dict[str, Any]:
    """Parse with NVIDIA's own protobuf; numbers of 64 bits come as text."""
    config: dict[str, Any] = run_program("read_config.py", text=text)
    return config


@pytest.mark.parametrize("accelerator", ["cpu", "gpu", "tensorrt", "openvino"])
@pytest.mark.parametrize("joins", [False, True])
def test_triton_reads_a_configuration_as_it_was_meant(
    tmp_path: Path, accelerator: Accelerator, *, joins: bool
) -> None:
    bundle = write_batched(tmp_path / "net.split")
    stage = bundle.manifest.stages[-1]
    service = Service(
        name="net", bundle="net", stage=stage, folder=bundle.folder, model_sha256="ab" * 32
    )
    settings = ServingSettings(
        accelerator=accelerator, instances=2, max_batch=8, dynamic_batching=joins
    )
    config = read_config(write_config(service, settings))
    assert config["name"] == "net"
    assert config["backend"] == "onnxruntime"
    assert config["max_batch_size"] == 8
    assert config["input"] == [{"name": "h", "data_type": "TYPE_FP32", "dims": ["4"]}]
    assert config["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": ["2"]}]
    assert config["instance_group"][0]["count"] == 2
    assert ("dynamic_batching" in config) == joins
    assert config["parameters"]["tier"] == {"string_value": "server"}
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    assert json.dumps(accelerators).count("name") == (accelerator in {"tensorrt", "openvino"})


def test_triton_reads_every_name_and_type_as_it_was_written(tmp_path: Path) -> None:
    bundle = write_typed(tmp_path / "typed.split")
    specs = [
        TensorSpec(name='a"b\\c\n\té/:0', dtype="bfloat16", shape=(1, "n")),
        *bundle.manifest.stages[-1].inputs,
    ]
    stage = StageEntry(
        tier="über", file="s.onnx", sha256="ef" * 32, operators=1, weight_bytes=0,
        inputs=tuple(specs), outputs=tuple(specs),
    )  # fmt: skip
    service = Service(name="n", bundle="n", stage=stage, folder=tmp_path, model_sha256=None)
    config = read_config(write_config(service, ServingSettings()))
    for side in ("input", "output"):
        assert [entry["name"] for entry in config[side]] == [spec.name for spec in specs]
        assert config[side][0]["data_type"] == "TYPE_BF16"
        assert config[side][0]["dims"] == ["1", "-1"]
    assert config["parameters"]["tier"] == {"string_value": "über"}


def test_yaml_is_read_as_it_was_meant(tmp_path: Path) -> None:
    bundle = write_batched(tmp_path / "net.split")
    osp.export(bundle.folder, tmp_path / "repo", to="kserve", storage_uri="s3://yes/no: #1 é😀")
    text = (tmp_path / "repo" / "inference-service.yaml").read_text(encoding="utf-8")
    document = run_program("read_yaml.py", text=text)
    model = document["spec"]["predictor"]["model"]
    assert model["storageUri"] == "s3://yes/no: #1 é😀"
    assert model["ports"] == [{"name": "h2c", "protocol": "TCP", "containerPort": 9000}]


def test_triton_loads_models_that_it_may_batch_and_those_that_it_may_not(tmp_path: Path) -> None:
    bundle = write_batched(tmp_path / "net.split")
    osp.export(bundle.folder, tmp_path / "repo", to="triton", dynamic_batching=True, instances=2)
    config = (tmp_path / "repo" / "net" / "config.pbtxt").read_text(encoding="utf-8")
    assert "dynamic_batching { }" in config
    (tmp_path / "run").mkdir()
    with (
        run_triton(tmp_path / "repo", tmp_path / "run") as ports,
        osp.connect(bundle.folder, f"grpc://127.0.0.1:{ports.grpc}", fallback="error") as half,
    ):
        result = half.run(BATCHED_FEEDS)
    assert result.outputs["y"].shape == (2, 2)


def test_triton_refuses_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    bundle = write_batched(tmp_path / "net.split")
    osp.export(bundle.folder, tmp_path / "repo", to="triton")
    config = tmp_path / "repo" / "net" / "config.pbtxt"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("dims: [ 4 ]", "dims: [ 0 ]"), encoding="utf-8")
    (tmp_path / "run").mkdir()
    with (
        pytest.raises(ServerRefusedError, match="dimension"),
        run_triton(tmp_path / "repo", tmp_path / "run"),
    ):
        pytest.fail("it was served")
    assert read_bundle(bundle.folder).manifest == bundle.manifest


@pytest.mark.parametrize("accelerator", ["cpu", "gpu"])
def test_ray_understands_every_key_of_its_configuration(
    tmp_path: Path, accelerator: Accelerator
) -> None:
    bundle = write_batched(tmp_path / "net.split")
    osp.export(bundle.folder, tmp_path / "repo", to="ray", accelerator=accelerator, instances=3)
    text = (tmp_path / "repo" / "serve_config.yaml").read_text(encoding="utf-8")
    found = run_program("read_ray_config.py", text=text, variable=RAY)
    assert found == run_program("read_yaml.py", text=text, variable=RAY)
    deployment = found["applications"][0]["deployments"][0]
    assert deployment["num_replicas"] == 3
    assert deployment["ray_actor_options"]["num_gpus"] == (1 if accelerator == "gpu" else 0)
