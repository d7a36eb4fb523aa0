import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxsplit.errors import OutputError, ProfileError
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.profiling.cache import ProfileCache, derive_key
from onnxsplit.profiling.storage import read_profile, write_profile

PROFILE = Profile(tier="device", groups=(OperatorGroup(operators=("a",), seconds=0.5),))
HAND_MADE: dict[str, Any] = {
    "schema": "onnxsplit.profile/1",
    "tier": "device",
    "groups": [{"operators": ["conv1"], "seconds": 0.0012, "mood": "good"}],
    "weather": {"rain": True},
}


def test_a_hand_made_profile_keeps_its_unknown_keys_through_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps(HAND_MADE), encoding="utf-8")
    write_profile(read_profile(first), second)
    written = json.loads(second.read_text(encoding="utf-8"))
    assert written["weather"] == {"rain": True}
    assert written["groups"] == HAND_MADE["groups"]
    assert read_profile(second) == read_profile(first)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "no JSON"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "object"),
        (json.dumps({**HAND_MADE, "schema": "onnxsplit.profile/9"}).encode(), "profile/9"),
        (json.dumps({**HAND_MADE, "groups": 3}).encode(), "'groups'"),
        (json.dumps({**HAND_MADE, "weather": float("nan")}).encode(), "NaN"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match=message) as caught:
        read_profile(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ProfileError, match="can't be read"):
            read_profile(path)


def test_a_profile_replaces_the_old_one_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text("old", encoding="utf-8")
    write_profile(PROFILE, path)
    assert read_profile(path) == PROFILE
    assert [entry.name for entry in tmp_path.iterdir()] == ["profile.json"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    link, target = tmp_path / "link.json", tmp_path / "target.json"
    link.symlink_to(target)
    write_profile(PROFILE, link)
    assert link.is_symlink()
    assert read_profile(target) == PROFILE


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_profile(PROFILE, pipe)
        assert json.loads(os.read(reader, 65536)) == PROFILE.to_json()
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_an_unwritable_place_is_an_output_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "profile.json", tmp_path):
        with pytest.raises(OutputError, match="can't be written"):
            write_profile(PROFILE, path)
    assert not list(tmp_path.iterdir())


def test_the_cache_gives_back_what_was_stored(tmp_path: Path) -> None:
    cache = ProfileCache(folder=tmp_path / "new" / "folder")
    assert cache.load("k") is None
    cache.store("k", PROFILE)
    assert cache.load("k") == PROFILE


def test_a_corrupt_entry_counts_as_none_and_is_replaced(tmp_path: Path) -> None:
    cache = ProfileCache(folder=tmp_path)
    cache.store("k", PROFILE)
    (entry,) = tmp_path.iterdir()
    entry.write_text(entry.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    assert cache.load("k") is None
    cache.store("k", PROFILE)
    assert cache.load("k") == PROFILE


def test_a_cache_that_can_not_be_written_is_passed_over(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    cache = ProfileCache(folder=blocked)
    cache.store("k", PROFILE)
    assert cache.load("k") is None


def test_the_cache_lies_where_the_environment_says() -> None:
    chosen = ProfileCache.locate({"ONNXSPLIT_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"})
    shared = ProfileCache.locate({"XDG_CACHE_HOME": "/b"})
    usual = ProfileCache.locate({})
    assert chosen == ProfileCache(folder=Path("/a"))
    assert shared == ProfileCache(folder=Path("/b/onnxsplit"))
    assert usual is not None
    assert usual.folder.name == "onnxsplit"


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        message = "no home"
        raise RuntimeError(message)

    monkeypatch.setattr(Path, "home", refuse)
    assert ProfileCache.locate({}) is None


BASE: dict[str, Any] = {
    "method": "m/1",
    "model_sha256": "ab",
    "feeds": {"x": np.zeros((1, 3), dtype=np.float32), "s": [np.zeros(2)], "o": None},
    "environment": {"cpu": "c", "threads": 1},
}


@pytest.mark.parametrize(
    "change",
    [
        {"method": "m/2"},
        {"model_sha256": "cd"},
        {"feeds": {**BASE["feeds"], "x": np.zeros((2, 3), dtype=np.float32)}},
        {"feeds": {**BASE["feeds"], "x": np.zeros((1, 3), dtype=np.float64)}},
        {"feeds": {**BASE["feeds"], "s": [np.zeros(3)]}},
        {"environment": {"cpu": "d", "threads": 1}},
        {"environment": {"cpu": "c", "threads": 2}},
    ],
)
def test_the_key_changes_with_all_that_a_measurement_depends_on(change: dict[str, Any]) -> None:
    assert derive_key(**{**BASE, **change}) != derive_key(**BASE)


def test_the_key_does_not_depend_on_the_values_fed() -> None:
    ones = {**BASE["feeds"], "x": np.ones((1, 3), dtype=np.float32)}
    assert derive_key(**{**BASE, "feeds": ones}) == derive_key(**BASE)
