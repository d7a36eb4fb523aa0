"""Stages put back together are the model again, or it is said why not."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxsplit.engines.ort import open_session
from onnxsplit.errors import BundleError, ChecksumMismatchError
from onnxsplit.manifest import Manifest
from onnxsplit.model import saving
from onnxsplit.model.bundle import StoredBundle, write_bundle
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.layout import LAYOUT_KEY
from onnxsplit.model.merging import join_stages, merge_stages
from onnxsplit.model.saving import save_model
from onnxsplit.model.stages import Carving
from onnxsplit.stage_entries import StageEntry
from tests.conformance.harness import (
    PLAIN,
    Subject,
    is_equal,
    list_ideals,
    prepare_subject,
    run_stages,
    split_at,
)
from tests.tiny_models import CASES, parse, store_externally

Change = Callable[[onnx.ModelProto], object]


def carve_halfway(subject: Subject) -> Carving:
    ideals = list_ideals(subject.graph, 1000) or []
    placement = split_at(subject.graph, ideals[len(ideals) // 2])
    return carve_stages(subject.model, subject.graph, placement, subject.boundary)


def write(folder: Path, carving: Carving) -> StoredBundle:
    def describe(_folder: Path, entries: tuple[StageEntry, ...]) -> Manifest:
        return Manifest(
            model={"sha256": None},
            stages=entries,
            yields=carving.yields,
            crossings=(),
            plan={},
            parity=None,
            carving={},
        )

    return write_bundle(folder, carving.stages, describe, model_sha256=None)


def make_external_subject(folder: Path) -> Subject:
    """Make a model whose weights lie outside it, one of them used by both halves."""
    weights = 512
    model = parse(f"""
        g (float[{weights}] x) => (float[{weights}] y) {{
            a = Add(x, shared) b = Mul(a, near) c = Sub(b, far) y = Mul(c, shared)
        }}
    """)
    rng = np.random.default_rng(5)
    for name in ("far", "near", "shared"):
        array = rng.standard_normal(weights).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    content = store_externally(model, ("far", "near", "shared"), "weights.bin")
    (folder / "weights.bin").write_bytes(content)
    onnx.save(model, folder / "m.onnx")
    feeds = {"x": rng.standard_normal(weights).astype(np.float32)}
    return prepare_subject("external", folder / "m.onnx", feeds)


@pytest.mark.parametrize("case", ["functions", "metadata", "annotations", "shared_ends", "old"])
def test_a_bundle_merges_into_the_model(tmp_path: Path, case: str) -> None:
    subject = prepare_subject(case, *CASES[case]())
    stored = write(tmp_path / "b", carve_halfway(subject))
    assert merge_stages(stored.folder, stored.manifest) == subject.model.proto


@pytest.mark.parametrize("inline_limit", [0, saving.INLINE_LIMIT_BYTES])
def test_external_weights_are_streamed_into_stages_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline_limit: int
) -> None:
    monkeypatch.setattr(saving, "INLINE_LIMIT_BYTES", inline_limit)
    (tmp_path / "source").mkdir()
    subject = make_external_subject(tmp_path / "source")
    carving = carve_halfway(subject)
    assert [stage.weight_bytes for stage in carving.stages] == [2 * 2048, 2 * 2048]
    assert is_equal(run_stages(carving, subject.feeds)["y"], subject.expected["y"])
    stored = write(tmp_path / "b", carving)
    assert [len(stage.data_files) for stage in stored.manifest.stages] == [
        int(not inline_limit)
    ] * 2
    merged = merge_stages(stored.folder, stored.manifest)
    save_model(merged, tmp_path / "merged.onnx", base_folder=stored.folder)
    with open_session(tmp_path / "merged.onnx", PLAIN) as session:
        assert is_equal(session.run(subject.feeds)["y"], subject.expected["y"])
    whole = onnx.load(tmp_path / "source" / "m.onnx").graph.initializer
    again = onnx.load(tmp_path / "merged.onnx").graph.initializer
    assert [(t.name, t.raw_data) for t in again] == [(t.name, t.raw_data) for t in whole]


def test_weights_that_differ_between_stages_are_found_even_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "INLINE_LIMIT_BYTES", 0)
    stored = write(tmp_path / "b", carve_halfway(make_external_subject(tmp_path)))
    data = stored.folder / "server.data"
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    stages = [
        onnx.load(stored.folder / f"{tier}.onnx", load_external_data=False)
        for tier in ("device", "server")
    ]
    with pytest.raises(BundleError, match="disagree about entry 2 of the model's 'initializer'"):
        join_stages(stages, stored.folder)


CHANGES: dict[str, tuple[Change, str]] = {
    "opsets": (lambda stage: setattr(stage.opset_import[0], "version", 16), "opsets"),
    "constants": (lambda stage: setattr(stage.graph.node[0], "name", "other"), "'node'"),
    "weights": (lambda stage: stage.graph.initializer[0].dims.pop(), "'initializer'"),
    "extra nodes": (lambda stage: stage.graph.node.add(op_type="Abs"), "holds 5 entries"),
    "dropped nodes": (lambda stage: stage.graph.node.pop(), "holds 3 entries"),
    "dropped inputs": (lambda stage: stage.graph.output.pop(), "'output'"),
    "no metadata": (lambda stage: stage.ClearField("metadata_props"), LAYOUT_KEY),
    "broken metadata": (
        lambda stage: setattr(stage.metadata_props[-1], "value", '{"node": "3-1"}'),
        LAYOUT_KEY,
    ),
    "senseless metadata": (
        lambda stage: setattr(stage.metadata_props[-1], "value", "[]"),
        LAYOUT_KEY,
    ),
    "changed reads": (
        lambda stage: stage.graph.node[-1].input.__setitem__(0, "nowhere"),
        "nowhere",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_stages_that_do_not_belong_together_are_refused(change: str) -> None:
    subject = prepare_subject("weights", *CASES["shared_weights"]())
    stages = [stage.proto for stage in carve_halfway(subject).stages]
    apply, problem = CHANGES[change]
    apply(stages[1])
    with pytest.raises(BundleError, match=problem):
        join_stages(stages, None)


@pytest.mark.parametrize("left", [0, 1])
def test_a_missing_stage_is_found(tmp_path: Path, left: int) -> None:
    subject = prepare_subject("skips", *CASES["skips"]())
    stored = write(tmp_path / "b", carve_halfway(subject))
    manifest = replace(stored.manifest, stages=(stored.manifest.stages[left],))
    with pytest.raises(BundleError, match="do not make a whole model"):
        merge_stages(stored.folder, manifest)


def test_a_bundle_with_a_changed_file_is_not_merged(tmp_path: Path) -> None:
    subject = prepare_subject("chain", *CASES["chain"]())
    stored = write(tmp_path / "b", carve_halfway(subject))
    path = stored.folder / "device.onnx"
    path.write_bytes(path.read_bytes() + b"\n\x00")
    with pytest.raises(ChecksumMismatchError):
        merge_stages(stored.folder, stored.manifest)


def test_a_manifest_that_names_other_outputs_is_refused(tmp_path: Path) -> None:
    subject = prepare_subject("chain", *CASES["chain"]())
    stored = write(tmp_path / "b", carve_halfway(subject))
    other = replace(stored.manifest, yields={"y": "server", "z": "server"})
    with pytest.raises(BundleError, match="'z'"):
        merge_stages(stored.folder, other)
    with pytest.raises(BundleError, match="no stages"):
        merge_stages(stored.folder, replace(stored.manifest, stages=()))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    subject = prepare_subject("chain", *CASES["chain"]())
    stored = write(tmp_path / "b", carve_halfway(subject))
    stage = stored.manifest.stages[1]
    wrong = replace(stage, file="split.json", sha256=_hash(stored.folder / "split.json"))
    broken = replace(stored.manifest, stages=(stored.manifest.stages[0], wrong))
    with pytest.raises(BundleError, match=r"can't be read|metadata"):
        merge_stages(stored.folder, broken)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
