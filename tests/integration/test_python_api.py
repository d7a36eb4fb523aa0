"""Everything that the command line does, as calls."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxsplit as osp
from onnxsplit.errors import (
    ModelError,
    OutputError,
    ParityError,
    ProfileMismatchError,
    UnknownShapeError,
)
from onnxsplit.evidence import OutputParity, ParityResult
from onnxsplit.workflows import description
from samples.networks import build_reduced

LINK = osp.Link.parse("20 Mbit/s", rtt="15 ms")


def _save(model: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def _hand_made(model: onnx.ModelProto, tier: str, seconds: float) -> dict[str, Any]:
    """A profile with the documented keys alone."""
    return {
        "schema": "onnxsplit.profile/1",
        "tier": tier,
        "model": {"sha256": None, "structure": None},
        "groups": [{"operators": [node.name], "seconds": seconds} for node in model.graph.node],
        "tensors": {},
        "environment": {"onnxruntime": "1.32.0", "provider": "CPUExecutionProvider", "threads": 1},
    }


def _profiles(model: onnx.ModelProto, folder: Path) -> dict[str, Path]:
    paths = {}
    for tier, seconds in (("device", 0.002), ("server", 0.0001)):
        paths[tier] = folder / f"{tier}.json"
        paths[tier].write_text(json.dumps(_hand_made(model, tier, seconds)))
    return paths


def test_cut_gives_stages_that_run_elsewhere_and_equal_the_whole(tmp_path: Path) -> None:
    model = build_reduced("squeezenet", batch="batch")
    profiles = _profiles(model, tmp_path)
    bundle = osp.cut(
        _save(model, tmp_path),
        tmp_path / "out",
        device=profiles["device"],
        server=profiles["server"],
        link=LINK,
        dims={"batch": 2},
    )
    assert bundle.parity is not None
    assert bundle.parity.bit_equal
    assert bundle.plan.placement.is_proper
    image = np.random.default_rng(0).standard_normal((5, 3, 64, 64)).astype(np.float32)
    values: dict[str, Any] = {"image": image}
    for stage in bundle.manifest.stages:
        session = ort.InferenceSession(bundle.folder / stage.file)
        names = [output.name for output in session.get_outputs()]
        feeds = {value.name: values[value.name] for value in session.get_inputs()}
        values.update(zip(names, session.run(names, feeds), strict=True))
    (whole,) = ort.InferenceSession(model.SerializeToString()).run(None, {"image": image})
    np.testing.assert_allclose(values["logits"], whole, rtol=1e-4, atol=1e-5)


def test_a_protobuf_and_bytes_are_cut_like_a_file(tmp_path: Path) -> None:
    model = build_reduced("lenet")
    profiles = _profiles(model, tmp_path)
    plans = [
        osp.plan(source, device=profiles["device"], server=profiles["server"], link=LINK)
        for source in (model, model.SerializeToString(), _save(model, tmp_path))
    ]
    assert plans[0].placement == plans[1].placement == plans[2].placement
    bundle = osp.cut(
        model, tmp_path / "out", device=profiles["device"], server=profiles["server"], link=LINK
    )
    assert osp.verify(bundle.folder, model=model).passed


def test_profiles_as_objects_and_verify_at_other_sizes(tmp_path: Path) -> None:
    path = _save(build_reduced("resnet18", batch="batch"), tmp_path)
    profile = osp.profile(path, dims={"batch": 1}, threads=1, cache=False, budget="200 ms")
    bundle = osp.cut(
        path,
        tmp_path / "out",
        device=profile.scale(0.1),
        server=profile,
        link="wifi",
        dims={"batch": 1},
    )
    assert {part.evidence for part in bundle.plan.predicted.parts} >= {"scaled", "measured"}
    for batch in (1, 3):
        assert osp.verify(bundle.folder, model=path, dims={"batch": batch}).passed
    assert osp.verify(bundle.folder).notes, "without the model a note says what the whole is"


def test_profiles_fix_the_dims_that_the_caller_leaves_open(tmp_path: Path) -> None:
    path = _save(build_reduced("lenet", batch="batch"), tmp_path)
    with pytest.raises(UnknownShapeError, match="--dim batch=1"):
        osp.plan(path)
    profile = osp.profile(path, dims={"batch": 4}, threads=1, cache=False, budget="200 ms")
    plan = osp.plan(path, device=profile.scale(0.1), server=profile, require_split=True)
    assert plan.crossings[0].shape[0] == 4
    with pytest.raises(ProfileMismatchError, match="measured with image"):
        osp.plan(path, device=profile, server=profile, dims={"batch": 8})


def test_planning_needs_no_weights_and_cutting_does(tmp_path: Path) -> None:
    model = build_reduced("vgg19")
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=64)
    profile = osp.profile(path, threads=1, cache=False, budget="200 ms")
    with_weights = osp.plan(path, device=profile.scale(0.1), server=profile, link="4g")
    (tmp_path / "w.bin").unlink()
    without = osp.plan(path, device=profile.scale(0.1), server=profile, link="4g")
    assert without == with_weights
    with pytest.raises(ModelError, match=r"w\.bin"):
        osp.cut(path, tmp_path / "out", device=profile, server=profile)
    assert not (tmp_path / "out").exists()


def test_a_profile_of_a_renamed_model_is_mapped_by_place() -> None:
    model = build_reduced("lenet")
    profile = osp.profile(model, threads=1, cache=False, budget="200 ms")
    renamed = onnx.ModelProto()
    renamed.CopyFrom(model)
    for place, node in enumerate(renamed.graph.node):
        node.name = f"renamed{place}"
    plan = osp.plan(renamed, device=profile.scale(0.1), server=profile, require_split=True)
    assert plan.placement.operators("device")[0] == "renamed0"
    assert any("mapped by place" in sentence for sentence in plan.assumptions)
    other = build_reduced("alexnet")
    with pytest.raises(ProfileMismatchError, match="another model"):
        osp.plan(other, device=profile, server=profile)


def test_external_weights_are_cut_and_merged(tmp_path: Path) -> None:
    model = build_reduced("googlenet")
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=64)
    profiles = _profiles(model, tmp_path)
    bundle = osp.cut(
        path, tmp_path / "out", device=profiles["device"], server=profiles["server"], link="5g"
    )
    merged = osp.merge(bundle.folder, tmp_path / "merged.onnx")
    whole = onnx.load(merged)
    assert [node.SerializeToString() for node in whole.graph.node] == [
        node.SerializeToString() for node in model.graph.node
    ]
    with pytest.raises(OutputError, match="there already"):
        osp.merge(bundle.folder, tmp_path / "merged.onnx")


def test_a_placement_is_priced_and_taken_from_a_bundle(tmp_path: Path) -> None:
    model = build_reduced("lenet")
    profiles = _profiles(model, tmp_path)
    tiers: dict[str, Any] = {"device": profiles["device"], "server": profiles["server"]}
    bundle = osp.cut(model, tmp_path / "out", **tiers, link="3g")
    again = osp.plan(model, **tiers, link="3g", placement=bundle.folder / "split.json")
    assert again.placement == bundle.plan.placement
    assert again.predicted.total_seconds == pytest.approx(bundle.plan.predicted.total_seconds)
    moved = osp.plan(model, **tiers, link="3g", placement=bundle.plan.placement)
    assert moved.to_json() == again.to_json()


def test_inspecting_names_cut_points_and_obstacles(tmp_path: Path) -> None:
    document = osp.inspect(_save(build_reduced("gpt2"), tmp_path)).to_json()
    assert document["inputs"][0]["dtype"] == "int64"
    assert document["constant_operators"] == ["head/table"]
    assert document["cut_points"]


def test_stages_that_differ_are_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = OutputParity(
        output="logits",
        dtype="float32",
        bit_equal=False,
        max_absolute=1.0,
        max_relative=1.0,
        tolerance=1e-4,
        matching_nans=0,
        passed=False,
        problem="it is not bit-equal",
    )
    result = ParityResult(outputs=(failed,), batches=1, source="given")
    monkeypatch.setattr(description, "verify_stages", lambda *_, **__: result)
    model = build_reduced("lenet")
    profiles = _profiles(model, tmp_path)
    before = sorted(tmp_path.iterdir())
    tiers: dict[str, Any] = {"device": profiles["device"], "server": profiles["server"]}
    with pytest.raises(ParityError, match=r"'logits'.*Nothing was written") as caught:
        osp.cut(model, tmp_path / "out", **tiers)
    assert caught.value.exit_code == 1
    assert sorted(tmp_path.iterdir()) == before
    assert osp.cut(model, tmp_path / "out", **tiers, verify=False).parity is None


def test_the_same_profiles_give_the_same_bundle_byte_for_byte(tmp_path: Path) -> None:
    model = build_reduced("shufflenet", batch="batch")
    path = _save(model, tmp_path)
    profile = osp.profile(path, dims={"batch": 1}, threads=1, cache=False, budget="200 ms")
    device = replace(profile.scale(0.1), tier="device")
    folders = [
        osp.cut(path, tmp_path / name, device=device, server=profile, dims={"batch": 1}).folder
        for name in ("one", "two")
    ]
    contents = [
        {file.name: file.read_bytes() for file in sorted(folder.iterdir())} for folder in folders
    ]
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"device.onnx", "server.onnx", "split.json"}
