"""What engines are told of a stage: batches, dims, types, accelerators."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from onnxsplit.deployment import kserve, openvino, ray
from onnxsplit.deployment.batching import find_obstacle
from onnxsplit.deployment.engines import build_repository
from onnxsplit.deployment.services import Service
from onnxsplit.deployment.settings import Accelerator, Engine, ServingSettings
from onnxsplit.deployment.triton import write_config
from onnxsplit.deployment.yamltext import write_yaml
from onnxsplit.errors import UnsupportedModelError, UsageError
from onnxsplit.graph import Dim, TensorSpec
from onnxsplit.stage_entries import StageEntry

SCHEMAS = Path(__file__).parents[1] / "foreign_schemas"


def make_spec(name: str, *shape: Dim, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def make_service(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, name: str = "net"
) -> Service:
    stage = StageEntry(
        tier="server",
        file="server.onnx",
        sha256="ef" * 32,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        operators=3,
        weight_bytes=12,
        threads=2,
    )
    return Service(
        name=name, bundle=name, stage=stage, folder=Path("net.split"), model_sha256="ab" * 32
    )


IMAGE, SCORES = make_spec("x", "batch", 3, "width"), make_spec("y", "batch", 10)
BATCHED = make_service([IMAGE], [SCORES])
FIXED = make_service([make_spec("x", 1, 3)], [make_spec("y", "n", 10)])


def list_faults(schema: str, document: Any) -> list[str]:  # noqa: ANN401 - JSON can be anything
    text = (SCHEMAS / f"{schema}.json").read_text(encoding="utf-8")
    validator = Draft202012Validator(json.loads(text))
    return [error.message for error in validator.iter_errors(document)]


@pytest.mark.parametrize(
    ("inputs", "outputs", "obstacle"),
    [
        ([IMAGE], [SCORES], None),
        ([make_spec("x", None, 3)], [make_spec("y", None, 10)], None),
        ([make_spec("x", 1, 3)], [SCORES], "fixed at 1"),
        ([IMAGE], [SCORES, make_spec("z", 4, 4)], "'z' is fixed at 4"),
        ([IMAGE, make_spec("mask", "batch")], [SCORES], "'mask' has 1 dims"),
        ([IMAGE], [make_spec("y")], "'y' has 0 dims"),
        ([IMAGE], [make_spec("y", "seq", 10)], "not the same"),
        ([IMAGE], [make_spec("y", None, 10)], "not the same"),
        ([TensorSpec(name="x", dtype="float32", shape=None)], [SCORES], "rank of 'x'"),
    ],
)
def test_a_batch_needs_one_free_leading_dim_that_all_values_share(
    inputs: list[TensorSpec], outputs: list[TensorSpec], obstacle: str | None
) -> None:
    found = find_obstacle(make_service(inputs, outputs).stage)
    assert (found is None) == (obstacle is None), found
    assert obstacle is None or obstacle in (found or "")


def test_a_batched_model_leaves_the_first_dim_out() -> None:
    text = write_config(BATCHED, ServingSettings(max_batch=16))
    assert "max_batch_size: 16" in text
    assert "dims: [ 3, -1 ]" in text
    assert "dims: [ 10 ]" in text
    assert "dynamic_batching" not in text


def test_a_model_without_a_batch_has_all_its_dims() -> None:
    text = write_config(FIXED, ServingSettings())
    assert "max_batch_size: 0" in text
    assert "dims: [ 1, 3 ]" in text
    assert "dims: [ -1, 10 ]" in text


def test_requests_are_joined_only_where_that_is_asked_for_and_possible() -> None:
    joining = ServingSettings(dynamic_batching=True)
    assert "dynamic_batching { }" in write_config(BATCHED, joining)
    with pytest.raises(UsageError, match="does not suit 'net': the first dim of 'x' is fixed at 1"):
        write_config(FIXED, joining)


@pytest.mark.parametrize("dtype", ["float8e4m3fn", "complex64", "int4"])
def test_a_type_that_triton_does_not_know_is_refused_by_name(dtype: str) -> None:
    service = make_service([make_spec("x", 2, dtype=dtype)], [make_spec("y", 2)])
    with pytest.raises(UnsupportedModelError, match=rf"{dtype}, that of 'x'"):
        write_config(service, ServingSettings())


def test_a_rank_that_is_not_known_is_refused_by_name() -> None:
    service = make_service([TensorSpec(name="x", dtype="float32", shape=None)], [SCORES])
    with pytest.raises(UnsupportedModelError, match="how many dims 'x' has"):
        write_config(service, ServingSettings())


@pytest.mark.parametrize("shape", [(0, 3), ()])
def test_scalars_and_dims_of_zero_are_refused_by_name(shape: tuple[int, ...]) -> None:
    service = make_service([make_spec("x", *shape)], [SCORES])
    with pytest.raises(UnsupportedModelError, match=re.escape(f"'x' is {list(shape)}")):
        write_config(service, ServingSettings())
    assert "net" in json.dumps(openvino.describe_config([service], ServingSettings()))


@pytest.mark.parametrize(
    ("accelerator", "kind", "provider"),
    [
        ("cpu", "KIND_CPU", None),
        ("gpu", "KIND_GPU", None),
        ("tensorrt", "KIND_GPU", 'gpu_execution_accelerator { name: "tensorrt" }'),
        ("openvino", "KIND_CPU", 'cpu_execution_accelerator { name: "openvino" }'),
    ],
)
def test_accelerators_become_instances_and_execution_providers(
    accelerator: Accelerator, kind: str, provider: str | None
) -> None:
    text = write_config(BATCHED, ServingSettings(accelerator=accelerator, instances=3))
    assert f"count: 3\n  kind: {kind}" in text
    assert (provider in text) if provider else ("execution_accelerators" not in text)
    assert ("intra_op_thread_count" in text) == (accelerator == "cpu")


@pytest.mark.parametrize(
    ("engine", "settings", "problem"),
    [
        ("openvino", ServingSettings(accelerator="tensorrt"), "can't run models on 'tensorrt'"),
        ("triton", ServingSettings(accelerator="npu"), "takes --accelerator cpu, gpu"),
        ("openvino", ServingSettings(dynamic_batching=True), "for --to triton and kserve"),
        ("triton", ServingSettings(storage_uri="s3://b"), "for --to kserve"),
    ],
)
def test_settings_that_do_not_suit_the_engine_are_refused(
    engine: Engine, settings: ServingSettings, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        build_repository(engine, [BATCHED], settings)


@pytest.mark.parametrize("name", ["net", "Net.v2", "_9", "2", "x" * 80 + "-.y"])
@pytest.mark.parametrize("accelerator", ["cpu", "gpu", "tensorrt", "openvino"])
def test_an_inference_service_is_what_kserve_documents(name: str, accelerator: Accelerator) -> None:
    service = make_service([IMAGE], [SCORES], name=name)
    settings = ServingSettings(accelerator=accelerator)
    document = kserve.describe_service([service], settings)
    assert list_faults("kserve_inference_service", document) == []
    model = document["spec"]["predictor"]["model"]
    assert model["protocolVersion"] == "grpc-v2"
    assert ("nvidia.com/gpu" in json.dumps(model)) == (accelerator in {"gpu", "tensorrt"})


def test_the_schema_of_kserve_finds_what_is_wrong() -> None:
    document = kserve.describe_service([BATCHED], ServingSettings(storage_uri="here"))
    document["spec"]["predictor"]["model"]["protocolVersion"] = "grpc"
    document["spec"]["predictor"]["minReplica"] = 1
    assert len(list_faults("kserve_inference_service", document)) == 3


@pytest.mark.parametrize("accelerator", ["cpu", "gpu", "npu"])
def test_a_model_server_configuration_is_what_openvino_documents(
    accelerator: Accelerator,
) -> None:
    settings = ServingSettings(accelerator=accelerator, instances=4)
    document = openvino.describe_config([BATCHED, FIXED], settings)
    assert list_faults("openvino_model_server", document) == []
    config = document["model_config_list"][0]["config"]
    assert config["nireq"] == 4
    assert ("INFERENCE_PRECISION_HINT" in config["plugin_config"]) == (accelerator != "npu")


def test_the_schema_of_openvino_finds_what_is_wrong() -> None:
    document = openvino.describe_config([BATCHED], ServingSettings())
    document["model_config_list"][0]["config"].update(target_device="TPU", batch=3)
    assert len(list_faults("openvino_model_server", document)) == 2


def test_yaml_quotes_whatever_could_be_read_as_something_else() -> None:
    document = {"a": {"on": "yes", "n": "1é😀"}, "l": [{"k": "x: y", "m": []}, {}], "z": None}
    assert write_yaml(document) == (
        'a:\n  on: "yes"\n  n: "1é😀"\nl:\n  - k: "x: y"\n    m: []\n  - {}\nz: null\n'
    )


def test_states_and_several_replicas_do_not_go_together_on_ray() -> None:
    stage = replace(BATCHED.stage, state_bytes=None)
    keeping = replace(BATCHED, stage=stage)
    ray.describe_config([keeping], ServingSettings())
    with pytest.raises(UsageError, match="'net' keeps states"):
        ray.describe_config([keeping], ServingSettings(instances=2))


@pytest.mark.parametrize(
    ("accelerator", "provider", "gpus"),
    [
        ("cpu", "CPU", 0),
        ("gpu", "CUDA", 1),
        ("tensorrt", "Tensorrt", 1),
        ("openvino", "OpenVINO", 0),
    ],
)
def test_the_deployment_for_ray_is_python_that_names_its_provider(
    accelerator: Accelerator, provider: str, gpus: int
) -> None:
    settings = ServingSettings(accelerator=accelerator)
    text = ray.write_module([BATCHED, replace(BATCHED, name="net-cut-1")], settings)
    compile(text, "split_server.py", "exec")
    assert text.count("net.split") == 1
    assert f'provider="{provider}ExecutionProvider"' in text
    config = ray.describe_config([BATCHED], settings)
    options = config["applications"][0]["deployments"][0]["ray_actor_options"]
    assert options == {"num_cpus": 2, "num_gpus": gpus}


@pytest.mark.parametrize("engine", ["triton", "kserve", "openvino", "ray"])
def test_what_an_engine_does_not_do_is_told_where_a_stage_needs_it(engine: Engine) -> None:
    keeping = replace(BATCHED, stage=replace(BATCHED.stage, state_bytes=64))
    between = replace(BATCHED, name="between", is_last=False)
    repository = build_repository(engine, [BATCHED, keeping, between], ServingSettings())
    notes = repository.to_json()["notes"]
    assert [("states" in note, "chain" in note) for note in notes] == [
        *([(True, False)] if engine != "ray" else []),
        (False, True),
    ]
    assert all(note in repository.texts["README.md"] for note in notes)
    assert build_repository(engine, [BATCHED], ServingSettings()).to_json()["notes"] == []
