"""Narrower crossings from end to end: planned, measured, forbidden where they drift, verified."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnxsplit as osp
from onnxsplit.errors import UsageError
from onnxsplit.model.loading import load_model
from onnxsplit.model.merging import merge_stages
from samples.networks import build_reduced
from tests.contract.workshop import fit
from tests.tiny_models import parse

LINK = osp.Link.parse("2 Mbit/s", rtt="1 ms")
SHORT = {"fp16": "float16", "bf16": "bfloat16", "int8": "int8", "uint8": "uint8"}

SENSITIVE = """
g (float[1,64] x) => (float[1,64] y)
<float[1] big = {20.0}, float[1] offset = {1000.0}>
{ a = Relu(x) b = Mul(a, big) c = Sin(b) d = Add(c, offset) e = Sub(d, offset) y = Neg(e) }
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXSPLIT_CACHE_DIR", str(tmp_path / "cache"))


def _save(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def _cost(model: Path, folder: Path) -> dict[str, Any]:
    """Cost the operators by hand, so that nothing depends on this machine's mood."""
    names = [node.name for node in load_model(model).proto.graph.node]
    rows = [f'"{name}",0.002,0.0001' for name in names]
    table = folder / "costs.csv"
    table.write_text("\n".join(["operator,device_seconds,server_seconds", *rows]))
    return {"costs": table, "link": LINK, "threads": 1}


@pytest.mark.parametrize("network", ["squeezenet", "resnet18", "mobilenetv2"])
@pytest.mark.parametrize("boundary", ["auto", "int8", "fp16"])
def test_networks_are_cut_with_narrow_crossings_and_stay_within_the_budget(
    network: str, boundary: str, tmp_path: Path
) -> None:
    model = _save(build_reduced(network), tmp_path)
    bundle = osp.cut(
        model,
        tmp_path / "b",
        device="local:0.05",
        link=LINK,
        measure=0,
        threads=1,
        boundary=boundary,
        max_drift=0.05,
        batches=1,
    )
    found = bundle.plan.boundary
    assert found is not None
    assert found.drift <= 0.05
    assert bundle.parity is not None
    assert bundle.parity.passed
    document = json.loads((tmp_path / "b" / "split.json").read_text())
    fit(document)
    fit(bundle.plan.to_json())
    narrow = [crossing for crossing in bundle.plan.crossings if crossing.wire]
    assert [wire["tensor"] for wire in found.wires] == [crossing.tensor for crossing in narrow]
    for crossing in narrow:
        assert crossing.size_bytes < 4 * np.prod(crossing.shape)
        assert boundary == "auto" or crossing.wire == SHORT[boundary]
    again = osp.verify(tmp_path / "b", model=model, batches=1)  # as drift was measured
    assert again.passed
    assert again.max_drift == (0.05 if narrow else None)
    assert again.bit_equal == (not narrow), "equality is claimed only where it can be"
    merged = merge_stages(tmp_path / "b", bundle.manifest)
    assert merged.graph.node == load_model(model).proto.graph.node


def test_a_narrow_crossing_pays_for_the_bytes_that_it_sends(tmp_path: Path) -> None:
    model = _save(build_reduced("squeezenet"), tmp_path)
    plain = osp.plan(model, **_cost(model, tmp_path), require_split=True)
    narrow = osp.plan(model, **_cost(model, tmp_path), require_split=True, boundary="auto")
    assert narrow.predicted.total_seconds <= plain.predicted.total_seconds
    assert any(crossing.wire for crossing in narrow.crossings)
    assert any("calibrated on inputs drawn" in text for text in narrow.assumptions)


def test_what_drifts_too_far_is_forbidden_until_the_drift_holds(tmp_path: Path) -> None:
    model = _save(parse(SENSITIVE), tmp_path)
    inputs = {"x": np.random.default_rng(0).normal(0, 1, (1, 64)).astype(np.float32)}
    names = [node.name for node in load_model(model).proto.graph.node]
    options: dict[str, Any] = {**_cost(model, tmp_path), "inputs": inputs}
    # d lies near 1000 and differs by what eight bits can't tell apart.
    options["pin_device"], options["pin_server"] = names[:4], names[4:]
    made = osp.plan(model, **options, boundary="auto", max_drift=1e-3)
    assert made.boundary is not None
    drifts = {(pair.tensor, pair.wire): pair.drift for pair in made.boundary.forbidden}
    assert drifts
    assert all(drift >= 1e-3 for drift in drifts.values())
    assert {tensor for tensor, _ in drifts} == {"d"}
    assert made.boundary.rounds == len(drifts) + 1
    assert made.crossings[0].wire is None
    loose = osp.plan(model, **options, boundary="auto", max_drift=10.0)
    assert loose.boundary is not None
    assert loose.boundary.rounds == 1
    assert loose.crossings[0].wire in {"int8", "uint8"}


def test_what_was_asked_for_gives_way_to_the_drift_budget(tmp_path: Path) -> None:
    model = _save(build_reduced("squeezenet"), tmp_path)
    made = osp.plan(
        model, **_cost(model, tmp_path), require_split=True, boundary="int8", max_drift=0
    )
    assert made.boundary is not None
    assert made.boundary.wires == ()
    assert made.boundary.drift == 0
    assert made.boundary.forbidden
    assert all(crossing.wire is None for crossing in made.crossings)


def test_wires_that_the_opset_lacks_are_refused_or_skipped_with_a_note(tmp_path: Path) -> None:
    text = "g (float[1,64] x) => (float[1,64] y) { a = Relu(x) y = Neg(a) }"
    model = _save(parse(text, opsets={"": 9}), tmp_path)
    options: dict[str, Any] = {**_cost(model, tmp_path), "require_split": True}
    with pytest.raises(UsageError, match="int8 needs opset 10"):
        osp.plan(model, **options, boundary="int8")
    made = osp.plan(model, **options, boundary="auto")
    assert sum("was not tried" in note for note in made.notes) == 3
    assert made.crossings[0].wire in {"float16", None}


def test_values_that_lead_to_random_outputs_and_integers_travel_as_they_are(
    tmp_path: Path,
) -> None:
    text = """
    g (float[1,64] x, int64[1,64] n) => (float[1,64] y, int64[1,64] m) {
        a = Relu(x) r = RandomUniformLike(a) y = Add(a, r) k = Neg(n) m = Abs(k)
    }
    """
    model = _save(parse(text), tmp_path)
    made = osp.plan(
        model,
        **_cost(model, tmp_path),
        boundary="fp16",
        pin_device=["op:Relu", "op:Neg"],
        pin_server=["op:Add", "op:Abs"],
    )
    assert {c.tensor for c in made.crossings} >= {"k"}
    assert all(crossing.wire is None for crossing in made.crossings)


def test_discrete_outputs_must_stay_equal(tmp_path: Path) -> None:
    text = """
    g (float[4,64] x) => (int64[4,1] y) { a = Relu(x) b = Sin(a) y = ArgMax<axis=1>(b) }
    """
    model = _save(parse(text), tmp_path)
    bundle = osp.cut(
        model,
        tmp_path / "b",
        **_cost(model, tmp_path),
        cut_at=["a"],
        boundary="auto",
        max_drift=0.5,
    )
    assert bundle.parity is not None
    assert bundle.parity.passed
    assert bundle.parity.outputs[0].tolerance == 0


def test_a_wrong_scale_fails_verification(tmp_path: Path) -> None:
    model = _save(build_reduced("squeezenet"), tmp_path)
    folder = tmp_path / "b"
    osp.cut(model, folder, **_cost(model, tmp_path), boundary="uint8", max_drift=0.05, measure=0)
    stage = onnx.load(folder / "server.onnx")
    node = next(n for n in stage.graph.node if n.name.endswith("/scale"))
    wrong = numpy_helper.to_array(node.attribute[0].t) * np.float32(1.5)
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(wrong))
    onnx.save(stage, folder / "server.onnx")
    manifest = json.loads((folder / "split.json").read_text())
    manifest["stages"][1]["sha256"] = hashlib.sha256(
        (folder / "server.onnx").read_bytes()
    ).hexdigest()
    (folder / "split.json").write_text(json.dumps(manifest))
    result = osp.verify(folder, model=model)
    assert not result.passed
    assert "it is not within 0.05" in result.outputs[0].problem


def test_an_input_as_it_is_sent_competes_with_the_split(tmp_path: Path) -> None:
    model = _save(build_reduced("squeezenet"), tmp_path)
    options = _cost(model, tmp_path)
    plain = osp.plan(model, **options)
    name = load_model(model).proto.graph.input[0].name
    sent = osp.plan(model, **options, input_bytes={name: "100B"})
    assert plain.verdict == "split"
    assert sent.verdict == "all-server"
    assert sent.crossings[0].wire == "as sent"
    assert sent.crossings[0].size_bytes == 100
    assert any("is sent as 100 B" in text for text in sent.assumptions)
    bundle = osp.cut(
        model, tmp_path / "b", **options, input_bytes={name: "100B"}, allow_whole=True, measure=0
    )
    assert bundle.parity is not None
    assert bundle.parity.bit_equal, "the stages are as they were"
    with pytest.raises(UsageError, match="no such input"):
        osp.plan(model, **options, input_bytes={"nothing": "1kB"})
    with pytest.raises(UsageError):
        osp.plan(model, **options, input_bytes={name: "120"})


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    model = _save(parse(SENSITIVE), tmp_path)
    with pytest.raises(UsageError, match="int4"):
        osp.plan(model, boundary="int4")
    with pytest.raises(UsageError, match="max-drift"):
        osp.plan(model, boundary="auto", max_drift=float("nan"))
