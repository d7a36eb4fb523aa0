"""Repositories on disk: laid out as engines want them, written whole, the same every time."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import onnxsplit as osp
from onnxsplit.deployment.settings import Engine
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions, Value
from onnxsplit.errors import BundleError, ChecksumMismatchError, OutputError, UsageError
from onnxsplit.model.bundle import StoredBundle
from onnxsplit.model.probe_model import PROBE_NAME
from tests.contract.workshop import fit
from tests.sample_graphs import draw_costs, read_sample
from tests.served_bundles import write_batched

SQUEEZENET = Path(__file__).parents[2] / "samples" / "squeezenet.onnx"
CONFIGS: dict[Engine, str] = {
    "triton": "net/config.pbtxt",
    "kserve": "inference-service.yaml",
    "openvino": "config.json",
    "ray": "serve_config.yaml",
}
STAGES: dict[Engine, str] = {
    **dict.fromkeys(CONFIGS, "net/1/model.onnx"),
    "ray": "net.split/server.onnx",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> StoredBundle:
    return write_batched(tmp_path_factory.mktemp("bundles") / "net.split")


def read_all(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("engine", CONFIGS)
def test_a_repository_holds_the_stage_its_configuration_and_commands(
    bundle: StoredBundle, tmp_path: Path, engine: Engine
) -> None:
    written = osp.export(bundle.folder, tmp_path / "repo", to=engine)
    files = read_all(tmp_path / "repo")
    assert files[STAGES[engine]] == (bundle.folder / "server.onnx").read_bytes()
    assert {"README.md", "export.json", CONFIGS[engine]} <= set(files)
    document = json.loads(files["export.json"])
    fit(document)
    assert document == written.document
    assert set(document["files"]) | {"export.json"} == set(files)
    assert document["models"][0]["stage_sha256"] == bundle.manifest.stages[1].sha256
    readme = files["README.md"].decode()
    assert "onnxsplit run net.split --server" in readme
    assert ("docker run" in readme) == (engine in {"triton", "openvino"})


@pytest.mark.parametrize("engine", CONFIGS)
def test_exporting_twice_replaces_the_first_by_the_same_bytes(
    bundle: StoredBundle, tmp_path: Path, engine: Engine
) -> None:
    osp.export(bundle.folder, tmp_path / "repo", to=engine)
    first = read_all(tmp_path / "repo")
    osp.export(bundle.folder, tmp_path / "repo", to=engine)
    assert read_all(tmp_path / "repo") == first
    assert [path.name for path in tmp_path.iterdir()] == ["repo"]


def test_every_bundle_becomes_a_model_of_its_own_name(bundle: StoredBundle, tmp_path: Path) -> None:
    other = write_batched(tmp_path / "other cut.split")
    osp.export([bundle.folder, other.folder], tmp_path / "repo", to="triton")
    assert {"net/config.pbtxt", "other_cut/config.pbtxt"} <= set(read_all(tmp_path / "repo"))
    with pytest.raises(UsageError, match=r"Two models have the name 'net'"):
        osp.export([bundle.folder, bundle.folder], tmp_path / "two", to="triton")
    osp.export([bundle.folder] * 2, tmp_path / "two", to="openvino", names=["a", "b"])
    assert {"a/1/model.onnx", "b/1/model.onnx"} <= set(read_all(tmp_path / "two"))


def test_no_model_takes_the_name_of_the_probe(bundle: StoredBundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'Onnxsplit_probe'"):
        osp.export(bundle.folder, tmp_path / "repo", to="triton", names=["Onnxsplit_probe"])


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "é", "a b", "x" * 101])
def test_names_that_are_no_folder_names_are_refused(
    bundle: StoredBundle, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="--name"):
        osp.export(bundle.folder, tmp_path / "repo", to="triton", names=[name])
    assert not (tmp_path / "repo").exists()


def test_another_tier_can_be_exported_and_an_unknown_one_is_named(
    bundle: StoredBundle, tmp_path: Path
) -> None:
    osp.export(bundle.folder, tmp_path / "repo", to="triton", tier="device")
    taken = read_all(tmp_path / "repo")["net/1/model.onnx"]
    assert taken == (bundle.folder / "device.onnx").read_bytes()
    with pytest.raises(UsageError, match=r"no stage 'serve'. Did you mean 'server'"):
        osp.export(bundle.folder, tmp_path / "none", to="triton", tier="serve")


def test_what_others_put_there_is_replaced_only_by_force(
    bundle: StoredBundle, tmp_path: Path
) -> None:
    osp.export(bundle.folder, tmp_path / "repo", to="triton")
    (tmp_path / "repo" / "net" / "2").mkdir()
    (tmp_path / "repo" / "net" / "2" / "model.onnx").write_bytes(b"")
    with pytest.raises(OutputError, match="--force"):
        osp.export(bundle.folder, tmp_path / "repo", to="triton")
    osp.export(bundle.folder, tmp_path / "repo", to="triton", force=True)
    assert not (tmp_path / "repo" / "net" / "2").exists()


def test_a_bundle_is_never_replaced_by_its_own_repository(bundle: StoredBundle) -> None:
    before = read_all(bundle.folder)
    for place in (bundle.folder, bundle.folder.parent):
        with pytest.raises(OutputError, match="the bundle"):
            osp.export(bundle.folder, place, to="triton", force=True)
    assert read_all(bundle.folder) == before


def test_a_changed_or_missing_stage_is_not_exported(tmp_path: Path) -> None:
    bundle = write_batched(tmp_path / "net.split")
    (bundle.folder / "server.onnx").write_bytes(b"other")
    with pytest.raises(ChecksumMismatchError, match=r"server\.onnx"):
        osp.export(bundle.folder, tmp_path / "repo", to="triton")
    (bundle.folder / "server.onnx").unlink()
    with pytest.raises(BundleError, match=r"no file server\.onnx"):
        osp.export(bundle.folder, tmp_path / "repo", to="triton")
    assert not (tmp_path / "repo").exists()


def slow_down(profile: osp.Profile, factor: float) -> osp.Profile:
    groups = tuple(replace(g, seconds=g.seconds * factor) for g in profile.groups)
    return replace(profile, groups=groups)


def test_every_cut_of_a_bundle_is_a_model_and_weights_are_on_disk_once(tmp_path: Path) -> None:
    profiles = draw_costs(read_sample("squeezenet"))
    bundle = osp.cut(
        SQUEEZENET,
        tmp_path / "net.split",
        device=slow_down(profiles["device"], 25),
        server=profiles["server"],
        link="4g",
        frontier=True,
        verify=False,
    )
    served = [cut.id for cut in bundle.manifest.cuts if cut.stages[-1].tier == "server"]
    assert len(served) > 1
    osp.export(bundle.folder, tmp_path / "repo", to="triton")
    configs = {path.parent.name for path in (tmp_path / "repo").glob("*/config.pbtxt")}
    assert configs == {"net", PROBE_NAME, *(f"net-{cut}" for cut in served)}
    weights = {path.stat().st_ino for path in (tmp_path / "repo").rglob("*.data")}
    assert len(weights) == 1


@pytest.mark.parametrize("engine", ["triton", "kserve", "openvino"])
def test_the_probe_lies_beside_and_answers(
    bundle: StoredBundle, tmp_path: Path, engine: Engine
) -> None:
    osp.export(bundle.folder, tmp_path / "repo", to=engine)
    path = tmp_path / "repo" / PROBE_NAME / "1" / "model.onnx"
    with open_session(path, EngineOptions(threads=1)) as session:
        feeds: dict[str, Value] = {"payload": np.zeros(7, np.uint8), "n": np.array([5], np.int64)}
        found = session.run(feeds)
    assert np.asarray(found["received"]).tolist() == [7]
    assert np.asarray(found["reply"]).shape == (5,)
