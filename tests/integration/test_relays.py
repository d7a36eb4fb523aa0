"""Chains of three tiers over two servers: the edge serves the device and forwards to the cloud."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxsplit as osp
from onnxsplit.errors import PeerMismatchError, ProtocolError, TransportError, UsageError
from onnxsplit.profiles import OperatorGroup
from onnxsplit.runtime.running_server import RunningServer
from onnxsplit.workflows.served_bundles import NextServer
from samples.networks import build, build_reduced
from tests.served_models import ask_json

TIERS = ("phone", "edge", "cloud")
LINKS = ("wifi", "ethernet")


def _profiles(model: onnx.ModelProto, **dims: int) -> dict[str, osp.Profile]:
    graph = osp.inspect(model, dims=dims).graph
    return {
        tier: osp.Profile(
            tier=tier,
            groups=tuple(OperatorGroup(operators=(op.name,), seconds=seconds) for op in graph),
        )
        for tier, seconds in zip(TIERS, (0.004, 0.001, 0.0001), strict=True)
    }


@contextmanager
def _serve_chain(folder: Path) -> Iterator[tuple[RunningServer, RunningServer]]:
    with osp.serve(folder, tier="cloud", port=0, names=["far"]) as cloud:
        next_server = NextServer(url=cloud.url, name="far")
        with osp.serve(folder, tier="edge", port=0, next_server=next_server) as edge:
            yield edge, cloud


@pytest.fixture(name="googlenet", scope="module")
def _cut_googlenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[onnx.ModelProto, Path]:
    model = build_reduced("googlenet")
    folder = tmp_path_factory.mktemp("relay") / "google.split"
    osp.cut(
        model,
        folder,
        tiers=_profiles(model),
        link=LINKS,
        pins=[("edge", "inception3a/*")],
        verify=False,
    )
    return model, folder


def test_a_device_talks_to_the_edge_alone_and_gets_what_the_whole_model_gives(
    googlenet: tuple[onnx.ModelProto, Path],
) -> None:
    model, folder = googlenet
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    (expected,) = ort.InferenceSession(model.SerializeToString()).run(None, {"image": image})
    with (
        _serve_chain(folder) as (edge, cloud),
        osp.connect(folder, edge.url, fallback="error") as half,
    ):
        for _ in range(3):
            outputs = half.run({"image": image}).outputs
            np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-5)
        assert edge.service.metrics.read("nv_inference_count", model="google") == 3
        for part in ("device", "network", "server"):
            assert edge.service.metrics.read(f"onnxsplit_{part}_seconds", model="google") > 0
        assert cloud.service.metrics.read("nv_inference_count", model="far") == 3


def test_a_relay_tells_what_the_chain_takes_and_gives_and_where_time_went(
    googlenet: tuple[onnx.ModelProto, Path],
) -> None:
    _, folder = googlenet
    with _serve_chain(folder) as (edge, _):
        port = int(edge.url.rpartition(":")[2])
        _, document = ask_json(port, "/v2/models/google")
        assert [entry["name"] for entry in document["outputs"]] == ["logits"]
        assert document["parameters"]["tier"] == "edge"
        (taken,) = document["inputs"]
        body = {
            "inputs": [
                {
                    "name": taken["name"],
                    "datatype": "FP32",
                    "shape": taken["shape"],
                    "data": [0.5] * int(np.prod(taken["shape"])),
                }
            ]
        }
        _, response = ask_json(
            port,
            "/v2/models/google/infer",
            method="POST",
            body=json.dumps(body).encode(),
        )
        told = response["parameters"]
        assert set(told) == {"compute_seconds", "relay_seconds", "compute_seconds_cloud"}
        assert told["relay_seconds"] > told["compute_seconds_cloud"] > 0


def test_the_cloud_out_of_reach_is_a_bad_gateway_and_comes_back(
    googlenet: tuple[onnx.ModelProto, Path],
) -> None:
    _, folder = googlenet
    image = np.zeros((1, 3, 64, 64), np.float32)
    with osp.serve(folder, tier="cloud", port=0) as cloud:
        port = int(cloud.url.rpartition(":")[2])
    with (
        osp.serve(folder, tier="edge", port=0, next_server=NextServer(url=cloud.url)) as edge,
        osp.connect(folder, edge.url, fallback="error") as half,
    ):
        with pytest.raises(TransportError) as caught:
            half.run({"image": image})
        assert caught.value.exit_code == 3
        with osp.serve(folder, tier="cloud", port=port):
            assert half.run({"image": image}).outputs["logits"].shape == (1, 10)


def test_a_next_server_with_another_half_is_told(
    googlenet: tuple[onnx.ModelProto, Path], tmp_path: Path
) -> None:
    _, folder = googlenet
    other = osp.cut(
        build_reduced("googlenet", batch="batch"),
        tmp_path / "google.split",
        tiers=_profiles(build_reduced("googlenet")),
        link=LINKS,
        dims={"batch": 1},
        pins=[("edge", "inception3a/*")],
        verify=False,
    )
    with osp.serve(other.folder, tier="cloud", port=0) as cloud:
        following = NextServer(url=cloud.url)
        with (
            osp.serve(folder, tier="edge", port=0, next_server=following) as edge,
            osp.connect(folder, edge.url, fallback="error") as half,
            pytest.raises((ProtocolError, PeerMismatchError), match="sha256"),
        ):
            half.run({"image": np.zeros((1, 3, 64, 64), np.float32)})


def test_the_last_stage_of_a_chain_has_nobody_to_forward_to(
    googlenet: tuple[onnx.ModelProto, Path],
) -> None:
    _, folder = googlenet
    with pytest.raises(UsageError, match="last of its chain"):
        osp.serve(folder, port=0, next_server=NextServer(url="http://127.0.0.1:1"))
    with pytest.raises(UsageError, match="must be like"):
        osp.serve(folder, port=0, tier="edge", next_server=NextServer(url="127.0.0.1"))


def test_every_tier_keeps_its_own_part_of_a_decoders_cache(tmp_path: Path) -> None:
    sizes = {"sequence": 3, "past": 4}
    model = build(
        "gpt2",
        batch=1,
        sequence_length="sequence",
        past_length="past",
        width=1 / 6,
        depth=1 / 4,
        seed=5,
    )
    folder = tmp_path / "gpt2.split"
    bundle = osp.cut(
        model,
        folder,
        tiers=_profiles(model, **sizes),
        link=LINKS,
        dims=sizes,
        pins=[("phone", "h0/*"), ("edge", "h1/*"), ("cloud", "h2/*")],
        verify=False,
    )
    states = bundle.plan.data.states
    assert {state.tier for state in states} == set(TIERS)
    whole = ort.InferenceSession(model.SerializeToString())
    names = [output.name for output in whole.get_outputs()]
    pasts = {state.past for state in states}
    caches: dict[str, Any] = {
        value.name: np.zeros([d if isinstance(d, int) else 0 for d in value.shape], np.float32)
        for value in whole.get_inputs()
        if value.name in pasts
    }
    tokens, places = np.array([[5, 9, 2]]), np.array([[0, 1, 2]])
    with (
        _serve_chain(folder) as (edge, _),
        osp.connect(folder, edge.url, fallback="error") as half,
    ):
        for step in range(5):
            feeds = {"input_ids": tokens, "position_ids": places}
            expected = dict(zip(names, whole.run(names, {**feeds, **caches}), strict=True))
            caches = {state.past: expected[state.present] for state in states}
            flags = {"sequence_id": 3, "sequence_start": step == 0, "sequence_end": step == 4}
            given = half.run(feeds, parameters=flags).outputs
            np.testing.assert_allclose(given["logits"], expected["logits"], rtol=1e-4, atol=1e-5)
            tokens = given["logits"][:, -1:].argmax(axis=-1)
            places = np.array([[3 + step]])
        with pytest.raises(UsageError, match="not known"):
            half.run(feeds, parameters={"sequence_id": 3})
