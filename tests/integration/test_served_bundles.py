import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxsplit as osp
from onnxsplit.engines.port import Array
from onnxsplit.errors import BundleError, ChecksumMismatchError, UsageError
from onnxsplit.model.probe_model import LARGEST_REPLY_BYTES, make_probe
from onnxsplit.runtime.message_codec import decode_response, encode_request
from onnxsplit.runtime.messages import InferRequest, InferResponse, Parameter
from onnxsplit.runtime.running_server import RunningServer
from samples.networks import build, build_reduced
from tests.sample_graphs import draw_costs, read_sample
from tests.served_models import ask, ask_json

MODEL = Path(__file__).parents[2] / "samples" / "squeezenet.onnx"
LINK = osp.Link.parse("20 Mbit/s", rtt="15 ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    folder: Path
    model: onnx.ModelProto
    manifest: osp.Manifest


def _cut(model: onnx.ModelProto, folder: Path, name: str, **options: Any) -> Cut:  # noqa: ANN401 - as `osp.cut`
    bundle = osp.cut(model, folder / f"{name}.split", link=LINK, measure=0, verify=False, **options)
    return Cut(folder=bundle.folder, model=model, manifest=bundle.manifest)


@pytest.fixture(name="lenet", scope="module")
def _cut_lenet(tmp_path_factory: pytest.TempPathFactory) -> Cut:
    return _cut(build_reduced("lenet"), tmp_path_factory.mktemp("lenet"), "lenet")


def _port(server: RunningServer) -> int:
    return int(server.url.rpartition(":")[2])


def _infer(
    server: RunningServer,
    model: str,
    inputs: Mapping[str, Array],
    *,
    id: str = "",  # noqa: A002 - the protocol's word
    **parameters: Parameter,
) -> InferResponse:
    request = InferRequest(model=model, inputs=inputs, id=id, parameters=parameters)
    body = encode_request(request)
    status, headers, content = ask(
        _port(server),
        f"/v2/models/{model}/infer",
        method="POST",
        body=b"".join(body.buffers),
        headers=body.headers,
    )
    assert status == 200, content
    return decode_response(content, head_bytes=int(headers["Inference-Header-Content-Length"]))


def _run_device(cut: Cut, feeds: Mapping[str, Array]) -> dict[str, Array]:
    stage = cut.manifest.stages[0]
    session = ort.InferenceSession(cut.folder / stage.file)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def test_the_halves_equal_the_whole_across_the_network(lenet: Cut) -> None:
    image = np.random.default_rng(0).standard_normal((1, 1, 32, 32)).astype(np.float32)
    crossing = _run_device(lenet, {"image": image})
    needs = {spec.name for spec in lenet.manifest.stages[1].inputs}
    with osp.serve(lenet.folder, port=0) as server:
        sent = {name: value for name, value in crossing.items() if name in needs}
        response = _infer(server, "lenet", sent, tier="server")
    (expected,) = ort.InferenceSession(lenet.model.SerializeToString()).run(None, {"image": image})
    np.testing.assert_allclose(response.outputs["logits"], expected, rtol=1e-4, atol=1e-5)
    assert isinstance(response.parameters["compute_seconds"], float)


def test_a_stage_tells_which_half_of_what_it_is(lenet: Cut) -> None:
    with osp.serve(lenet.folder, port=0, names=["digits"]) as server:
        _, document = ask_json(_port(server), "/v2/models/digits")
    stage = lenet.manifest.stages[1]
    assert document["parameters"] == {
        "model_sha256": lenet.manifest.model["sha256"],
        "stage_sha256": stage.sha256,
        "tier": "server",
    }
    assert document["inputs"][0]["shape"] == list(stage.inputs[0].shape or ())


@pytest.mark.parametrize("fact", ["model_sha256", "stage_sha256", "tier"])
def test_a_device_with_the_wrong_half_is_told(lenet: Cut, fact: str) -> None:
    head = {"parameters": {fact: "another"}, "inputs": []}
    with osp.serve(lenet.folder, port=0) as server:
        status, document = ask_json(
            _port(server),
            "/v2/models/lenet/infer",
            method="POST",
            body=json.dumps(head).encode(),
        )
    assert status == 409
    assert f"{fact} 'another'" in document["error"]


def test_any_stage_can_be_served_and_needs_no_other_file(lenet: Cut, tmp_path: Path) -> None:
    folder = tmp_path / "lenet.split"
    folder.mkdir()
    stage = lenet.manifest.stages[0]
    for name in ("split.json", stage.file, *stage.data_files):
        shutil.copy(lenet.folder / name, folder / name)
    with osp.serve(folder, port=0, tier="device") as server:
        _, document = ask_json(_port(server), "/v2/models/lenet")
    assert document["parameters"]["tier"] == "device"
    with pytest.raises(BundleError, match="has no file"):
        osp.serve(folder, port=0)


def test_a_stage_that_was_changed_is_not_served(lenet: Cut, tmp_path: Path) -> None:
    folder = tmp_path / "lenet.split"
    shutil.copytree(lenet.folder, folder)
    file = folder / lenet.manifest.stages[1].file
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ChecksumMismatchError, match="sha256"):
        osp.serve(folder, port=0)


def test_several_bundles_are_served_under_their_names(lenet: Cut, tmp_path: Path) -> None:
    shutil.copytree(lenet.folder, tmp_path / "twin.split")
    with osp.serve([lenet.folder, tmp_path / "twin.split"], port=0) as server:
        names = [model.name for model in server.models]
    assert names == ["lenet", "twin", "onnxsplit_probe"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"names": ["a", "b"]}, "2 names are given for 1"),
        ({"names": ["a/b"]}, "without slashes"),
        ({"names": ["onnxsplit_probe"]}, "Two models"),
        ({"tier": "edge"}, "no stage of the tier 'edge'"),
        ({"token": "über"}, "ASCII"),
        ({"tls_key": "k"}, "both --tls-cert and --tls-key"),
        ({"queue": -1}, "queue"),
        ({"workers": 0}, "workers"),
        ({"sequences": 0}, "sequences"),
        ({"max_request_bytes": 0}, "request_bytes"),
        ({"port": 70000}, "65535"),
    ],
)
def test_wrong_options_are_told(lenet: Cut, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        osp.serve(lenet.folder, **{"port": 0, **options})


def test_every_cut_of_a_bundle_of_several_is_served(tmp_path: Path) -> None:
    profiles = {
        tier: replace(
            profile, groups=tuple(replace(g, seconds=g.seconds * 25) for g in profile.groups)
        )
        for tier, profile in draw_costs(read_sample("squeezenet")).items()
    }
    bundle = osp.cut(
        MODEL,
        tmp_path / "net.split",
        device=profiles["device"],
        server=profiles["server"],
        link=LINK,
        frontier=True,
        verify=False,
    )
    cuts = bundle.manifest.cuts
    with osp.serve(bundle.folder, port=0) as server:
        served = {model.name: model.parameters for model in server.models}
        for cut in cuts:
            tiers = [stage.tier for stage in cut.stages]
            name = f"net-{cut.id}"
            assert (name in served) == ("server" in tiers)
            if name in served:
                assert served[name]["stage_sha256"] == cut.stages[-1].fingerprint
    assert "net" in served
    assert len(served) >= 4, "several cuts, the bundle's own, and the probe"


def _probe(server: RunningServer, size: int, reply: int) -> InferResponse:
    payload = np.zeros(size, np.uint8)
    n = np.array([reply], np.int64)
    return _infer(server, "onnxsplit_probe", {"payload": payload, "n": n})


def test_the_probe_takes_and_gives_as_much_as_is_asked_for(lenet: Cut) -> None:
    with osp.serve(lenet.folder, port=0) as server:
        for size, reply in ((0, 0), (1, 70000), (300_000, 1)):
            outputs = _probe(server, size, reply).outputs
            assert outputs["received"].tolist() == [size]
            assert outputs["reply"].shape == (reply,)
        assert _probe(server, 0, 2**60).outputs["reply"].size == LARGEST_REPLY_BYTES
        head = {
            "inputs": [
                {"name": "payload", "datatype": "UINT8", "shape": [0], "data": []},
                {"name": "n", "datatype": "INT64", "shape": [1], "data": [-5]},
            ]
        }
        status, document = ask_json(
            _port(server),
            "/v2/models/onnxsplit_probe/infer",
            method="POST",
            body=json.dumps(head).encode(),
        )
    assert (status, "error" in document) == (400, True)


def test_the_probe_is_a_valid_model_of_few_bytes() -> None:
    onnx.checker.check_model(make_probe(), full_check=True)
    assert len(make_probe().SerializeToString()) < 400


def test_a_decoder_split_over_the_network_says_what_the_whole_says(tmp_path: Path) -> None:
    # Three tokens as the prompt, then one by one: the caches never travel.
    model = build(
        "gpt2",
        batch=1,
        sequence_length="sequence",
        past_length="past",
        width=1 / 6,
        depth=1 / 6,
        seed=3,
    )
    cut = _cut(
        model,
        tmp_path,
        "gpt2",
        mix=[({"sequence": 3, "past": 0}, 1.0), ({"sequence": 1, "past": 8}, 8.0)],
        state=["past_key_values.*=present.*"],
        cut_at=["h0/add2:0"],
    )
    states = cut.manifest.plan["data"]["states"]
    assert {state["tier"] for state in states} == {"device", "server"}
    whole = ort.InferenceSession(model.SerializeToString())
    device = ort.InferenceSession(cut.folder / cut.manifest.stages[0].file)
    server_stage = cut.manifest.stages[1]
    with osp.serve(cut.folder, port=0) as server:
        caches = _empty_caches(whole, states)
        own = {s["past"]: caches[s["past"]] for s in states if s["tier"] == "device"}
        tokens, places, travelled = np.array([[5, 9, 2]]), np.array([[0, 1, 2]]), []
        for step in range(6):
            feeds = {"input_ids": tokens, "position_ids": places}
            names = [output.name for output in whole.get_outputs()]
            expected = dict(zip(names, whole.run(names, {**feeds, **caches}), strict=True))
            caches = {s["past"]: expected[s["present"]] for s in states}

            made = _run_stage(device, {**feeds, **own})
            own = {s["past"]: made[s["present"]] for s in states if s["tier"] == "device"}
            takes = {spec.name for spec in server_stage.inputs} - set(caches)
            sent = {name: value for name, value in made.items() if name in takes}
            sent.update({name: value for name, value in feeds.items() if name in takes})
            assert len(sent) == 1, "one small tensor for each token"
            travelled.append(sum(value.nbytes for value in sent.values()))
            flags: dict[str, Parameter] = {"sequence_id": 7, "sequence_start": step == 0}
            response = _infer(server, "gpt2", sent, id=str(step), **flags)
            np.testing.assert_allclose(
                response.outputs["logits"], expected["logits"], rtol=1e-4, atol=1e-5
            )
            tokens = response.outputs["logits"][:, -1:].argmax(axis=-1)
            places = np.array([[3 + step]])
    assert len(set(travelled[1:])) == 1, "what travels does not grow with the cache"


def test_a_decoder_does_not_adapt_for_its_states_do_not_move(tmp_path: Path) -> None:
    model = build(
        "gpt2",
        batch=1,
        sequence_length="sequence",
        past_length="past",
        width=1 / 6,
        depth=1 / 6,
        seed=3,
    )
    folder = _cut(model, tmp_path, "gpt2", dims={"sequence": 1, "past": 4}, frontier=True).folder
    with pytest.raises(UsageError, match=r"keeps states.*--cut-id"):
        osp.connect(folder, "http://127.0.0.1:1", adaptive=True)
    osp.connect(folder, "http://127.0.0.1:1").close()


def _empty_caches(whole: ort.InferenceSession, states: list[dict[str, Any]]) -> dict[str, Array]:
    pasts = {state["past"] for state in states}
    return {
        value.name: np.zeros([d if isinstance(d, int) else 0 for d in value.shape], np.float32)
        for value in whole.get_inputs()
        if value.name in pasts
    }


def _run_stage(session: ort.InferenceSession, values: Mapping[str, Array]) -> dict[str, Array]:
    takes = {value.name for value in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    feeds = {name: value for name, value in values.items() if name in takes}
    return dict(zip(names, session.run(names, feeds), strict=True))
