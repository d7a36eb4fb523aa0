"""Bundles on disk: written whole, replaced only when nothing is lost, checked when read."""

import json
import math
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from onnxsplit.errors import (
    BundleError,
    ChecksumMismatchError,
    ManifestVersionError,
    OutputError,
    ParityError,
)
from onnxsplit.manifest import MANIFEST_FILE, Manifest
from onnxsplit.model import bundle as bundles
from onnxsplit.model.bundle import StoredBundle, check_files, read_bundle, write_bundle
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.stages import Carving
from onnxsplit.placement import Placement
from onnxsplit.stage_entries import StageEntry
from tests.conformance.harness import prepare_subject
from tests.tiny_models import CASES

SHA = "ab" * 32
OTHER_SHA = "cd" * 32


def carve() -> Carving:
    subject = prepare_subject("chain", *CASES["chain"]())
    placement = Placement.of_groups({"device": ["Relu_0"], "server": ["Neg_1", "Exp_2"]})
    return carve_stages(subject.model, subject.graph, placement, subject.boundary)


CARVING = carve()


def make_manifest(entries: tuple[StageEntry, ...], sha256: str = SHA) -> Manifest:
    return Manifest(
        model={"sha256": sha256, "structure": None, "inputs": [], "outputs": []},
        stages=entries,
        yields=CARVING.yields,
        crossings=(),
        plan={"rate": math.inf},
        parity=None,
        carving=CARVING.report.to_json(),
    )


def write(folder: Path, *, sha256: str = SHA, force: bool = False) -> StoredBundle:
    return write_bundle(
        folder,
        CARVING.stages,
        lambda _, entries: make_manifest(entries, sha256),
        model_sha256=sha256,
        force=force,
    )


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_holds_its_stages_and_its_manifest(tmp_path: Path) -> None:
    written = write(tmp_path / "deep" / "m.split")
    assert list_names(tmp_path / "deep") == ["m.split"]
    assert list_names(written.folder) == ["device.onnx", "server.onnx", MANIFEST_FILE]
    found = read_bundle(written.folder)
    check_files(found.folder, found.manifest)
    assert found.manifest.stages == written.manifest.stages
    assert [stage.operators for stage in found.manifest.stages] == [1, 2]


def test_the_manifest_is_plain_json(tmp_path: Path) -> None:
    text = (write(tmp_path / "b").folder / MANIFEST_FILE).read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text)["plan"] == {"rate": None}
    assert next(iter(json.loads(text))) == "schema"


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = read_all(write(tmp_path / "b").folder)
    assert read_all(write(tmp_path / "b").folder) == first
    assert list_names(tmp_path) == ["b"]


def test_the_description_sees_the_stages_on_disk(tmp_path: Path) -> None:
    seen: list[str] = []

    def describe(folder: Path, entries: tuple[StageEntry, ...]) -> Manifest:
        seen.extend(list_names(folder))
        return make_manifest(tuple(replace(entry, threads=2) for entry in entries))

    stored = write_bundle(tmp_path / "b", CARVING.stages, describe, model_sha256=SHA)
    assert seen == ["device.onnx", "server.onnx"]
    assert [stage.threads for stage in stored.manifest.stages] == [2, 2]


def test_a_refusing_description_leaves_what_was_there(tmp_path: Path) -> None:
    before = read_all(write(tmp_path / "b").folder)

    def refuse(_folder: Path, _entries: tuple[StageEntry, ...]) -> Manifest:
        message = "the stages do not equal the whole"
        raise ParityError(message)

    with pytest.raises(ParityError):
        write_bundle(tmp_path / "b", CARVING.stages, refuse, model_sha256=SHA)
    assert read_all(tmp_path / "b") == before
    assert list_names(tmp_path) == ["b"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert len(list_names(write(tmp_path / "b").folder)) == 3


def fill_foreign(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")


def fill_with_addition(folder: Path) -> None:
    write(folder)
    (folder / "notes.txt").write_text("mine", encoding="utf-8")


def fill_from_another_model(folder: Path) -> None:
    write(folder, sha256=OTHER_SHA)


def fill_with_broken_manifest(folder: Path) -> None:
    write(folder)
    (folder / MANIFEST_FILE).write_text("{", encoding="utf-8")


FILLINGS: tuple[Callable[[Path], None], ...] = (
    fill_foreign,
    fill_with_addition,
    fill_from_another_model,
    fill_with_broken_manifest,
)


@pytest.mark.parametrize("fill", FILLINGS)
def test_what_is_not_a_bundle_of_the_same_model_alone_needs_force(
    tmp_path: Path, fill: Callable[[Path], None]
) -> None:
    folder = tmp_path / "b"
    fill(folder)
    before = read_all(folder)
    with pytest.raises(OutputError, match="give --force") as caught:
        write(folder)
    assert str(folder) in str(caught.value)
    assert read_all(folder) == before
    write(folder, force=True)
    assert list_names(folder) == ["device.onnx", "server.onnx", MANIFEST_FILE]
    assert list_names(tmp_path) == ["b"]


def test_a_model_without_a_hash_matches_no_bundle(tmp_path: Path) -> None:
    def describe(_folder: Path, entries: tuple[StageEntry, ...]) -> Manifest:
        return make_manifest(entries)

    write(tmp_path / "b")
    with pytest.raises(OutputError, match="--force"):
        write_bundle(tmp_path / "b", CARVING.stages, describe, model_sha256=None)


def test_a_file_is_never_replaced_by_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="is a file"):
        write(tmp_path / "b", force=True)


def test_folders_with_more_at_stake_are_refused_even_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "home" / "work"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder, problem in (
        (Path(), "is the current folder"),
        (Path(".."), "holds the current folder"),
        (tmp_path / "home", "the current folder"),
        (Path("/"), "the current folder"),
    ):
        with pytest.raises(OutputError, match=problem):
            write(folder, force=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="is the home folder"):
        write(tmp_path / "home", force=True)


def test_the_folder_of_the_model_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "m.onnx"
    model.write_bytes(b"model")
    with pytest.raises(OutputError, match="holds the model"):
        write_bundle(
            tmp_path / "models",
            CARVING.stages,
            lambda _, entries: make_manifest(entries),
            model_sha256=SHA,
            model_file=model,
            force=True,
        )
    assert model.read_bytes() == b"model"


def test_a_link_to_a_bundle_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert list_names(tmp_path) == ["link", "real"]


STEPS = ("mkdir", "write_model", "write_text", "rename 1", "rename 2", "rename 3", "rmtree")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_leaves_the_old_bundle_or_the_new_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    when: str,
    error: type[BaseException],
) -> None:
    folder = tmp_path / "b"
    old = read_all(write(folder, sha256=SHA).folder)
    new = read_all(write(tmp_path / "other", sha256=OTHER_SHA).folder)
    calls = 0

    def break_call(original: Callable[..., object], number: int) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number and when == "before":
                raise error
            result = original(*arguments, **options)
            if calls == number:
                raise error
            return result

        return call

    name, _, number = step.partition(" ")
    owner = {"write_model": bundles, "rmtree": shutil}.get(name, Path)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, break_call(getattr(owner, name), int(number or 1)))
        with suppress(KeyboardInterrupt, OutputError):
            write(folder, sha256=OTHER_SHA, force=True)
    assert calls
    assert read_all(folder) in (old, new)
    leftovers = [name for name in list_names(tmp_path) if name not in {"b", "other"}]
    assert not leftovers


def test_reading_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        read_bundle(tmp_path / "none")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(BundleError, match="is a file"):
        read_bundle(tmp_path / "file")
    with pytest.raises(BundleError, match=f"has no {MANIFEST_FILE}"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "must be a JSON object"),
        ('{"schema": "onnxsplit.bundle/1"}', "no key 'model'"),
        ("\udcff", "no JSON"),
    ],
)
def test_a_malformed_manifest_is_told(tmp_path: Path, text: str, problem: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    (tmp_path / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(BundleError, match=problem):
        read_bundle(tmp_path)


def test_an_unknown_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text('{"schema": "onnxsplit.bundle/9"}', encoding="utf-8")
    with pytest.raises(ManifestVersionError, match=r"onnxsplit\.bundle/9"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("name", ["../server.onnx", "/etc/passwd", "", ["list"], 3])
def test_file_names_that_lead_out_of_the_bundle_are_refused(tmp_path: Path, name: object) -> None:
    path = write(tmp_path / "b").folder / MANIFEST_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    document["stages"][1]["file"] = name
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BundleError, match="no plain file name"):
        read_bundle(tmp_path / "b")


def test_changed_and_missing_files_are_found(tmp_path: Path) -> None:
    stored = write(tmp_path / "b")
    stage = stored.folder / "server.onnx"
    content = stage.read_bytes()
    stage.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ChecksumMismatchError, match=r"server\.onnx"):
        check_files(stored.folder, stored.manifest)
    stage.unlink()
    with pytest.raises(BundleError, match=r"no file server\.onnx"):
        check_files(stored.folder, stored.manifest)
    stage.mkdir()
    with pytest.raises(BundleError, match="can't be read"):
        check_files(stored.folder, stored.manifest)
