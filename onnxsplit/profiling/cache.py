"""What was measured before on this very machine, kept for the next time."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from onnxsplit.engines.port import Feeds, Value
from onnxsplit.errors import OutputError, ProfileError
from onnxsplit.evidence import StageTimings
from onnxsplit.profiles import Profile
from onnxsplit.profiling.storage import (
    read_profile,
    read_timings,
    write_profile,
    write_timings,
)

FOLDER_VARIABLE = "ONNXSPLIT_CACHE_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileCache:
    """A folder of profiles, stage times and the like by key; its failures never fail a run.

    Parameters
    ----------
    folder : Path
        Made when the first entry is kept.
    """

    folder: Path

    @classmethod
    def locate(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Return the user's cache, or None where there is no home folder.

        The folder is ``$ONNXSPLIT_CACHE_DIR``; else ``onnxsplit`` in ``$XDG_CACHE_HOME``; else in
        the system's own place for caches.
        """
        chosen = environment.get(FOLDER_VARIABLE)
        if chosen:
            return cls(folder=Path(chosen))
        base = environment.get("XDG_CACHE_HOME")
        if base:
            return cls(folder=Path(base) / "onnxsplit")
        try:
            home = Path.home()
        except RuntimeError:
            return None
        if sys.platform == "win32":
            local = environment.get("LOCALAPPDATA")
            return cls(folder=(Path(local) if local else home / "AppData/Local") / "onnxsplit")
        caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
        return cls(folder=home / caches / "onnxsplit")

    def load(self, key: str) -> Profile | None:
        """Return the profile of that key; None if there is none or it can't be read."""
        try:
            return read_profile(self._path(key))
        except ProfileError:
            return None

    def store(self, key: str, profile: Profile) -> None:
        """Keep a profile, if the folder can be written to."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_profile(profile, self._path(key))
        except (OSError, OutputError):
            return

    def load_timings(self, key: str) -> StageTimings | None:
        """Return the stage times of that key; None if there are none or they can't be read."""
        try:
            return read_timings(self._path(key, "stages"))
        except ProfileError:
            return None

    def store_timings(self, key: str, timings: StageTimings) -> None:
        """Keep stage times, if the folder can be written to."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_timings(timings, self._path(key, "stages"))
        except (OSError, OutputError):
            return

    def load_document(self, key: str, kind: str) -> dict[str, Any] | None:
        """Return a small document of that key; None if there is none or it can't be read."""
        try:
            document = json.loads(self._path(key, kind).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    def store_document(self, key: str, kind: str, document: Mapping[str, Any]) -> None:
        """Keep a small document, if the folder can be written to."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._path(key, kind).write_text(json.dumps(document), encoding="utf-8")
        except OSError:
            return

    def _path(self, key: str, kind: str = "profile") -> Path:
        """Return the file of a key."""
        return self.folder / f"{kind}-{key}.json"


def derive_key(
    *, method: str, model_sha256: str, feeds: Feeds, environment: Mapping[str, Any]
) -> str:
    """Return the key of a measurement: a hash of all that it depends on.

    Parameters
    ----------
    method : str
        How it is measured, with a version.
    model_sha256 : str
        Hash of the model file.
    feeds : mapping of str to value
        The inputs; only their types and shapes count.
    environment : mapping
        Runtime, provider, threads and processor.
    """
    parts = {
        "method": method,
        "model": model_sha256,
        "inputs": {name: _describe(value) for name, value in feeds.items()},
        "environment": dict(environment),
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _describe(value: Value) -> object:
    """Return the type and shape of an input."""
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        return [value.dtype.name, list(value.shape)]
    return [_describe(entry) for entry in value]
