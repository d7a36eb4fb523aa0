"""Profiles and stage times as files: errors name file and key; written whole or not at all."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from onnxsplit.errors import ProfileError
from onnxsplit.evidence import StageTimings
from onnxsplit.model.publication import translate_failures
from onnxsplit.profiles import Profile

_Document = TypeVar("_Document")


def read_profile(path: Path) -> Profile:
    """Read a profile file.

    Raises
    ------
    ProfileError
        The file can't be read, is no JSON, or is no profile of a known version; the message names
        the file and the key.
    """
    return _read(path, "profile", Profile.from_json)


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile file; it appears whole, by rename, or not at all.

    A path that is no plain file, such as a pipe, is written to directly.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    _write(profile.to_json(), path, "profile")


def read_timings(path: Path) -> StageTimings:
    """Read a stage-times file.

    Raises
    ------
    ProfileError
        As for `read_profile`.
    """
    return _read(path, "stage-times file", StageTimings.from_json)


def write_timings(timings: StageTimings, path: Path) -> None:
    """Write a stage-times file, as `write_profile` does.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    _write(timings.to_json(), path, "stage-times file")


def _read(path: Path, what: str, parse: Callable[[Any], _Document]) -> _Document:
    """Read a JSON file and say what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ProfileError(f"The {what} {path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"The {what} {path} is no JSON: it is not UTF-8 text.") from error
    try:
        return parse(json.loads(text, parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"The {what} {path} is no JSON: {error}.") from error
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from error


def _write(document: Mapping[str, Any], path: Path, what: str) -> None:
    """Write a JSON file."""
    write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", path, what)


def write_text(text: str, path: Path, what: str) -> None:
    """Write a text file, whole by rename.

    Parameters
    ----------
    text : str
    path : Path
        What is no plain file, such as a pipe, is written to as it is.
    what : str
        How an error calls it.

    Raises
    ------
    OutputError
        It can't be written.
    """
    write_bytes(text.encode("utf-8"), path, what)


def write_bytes(content: bytes, path: Path, what: str) -> None:
    """Write a file of bytes, as `write_text` does.

    Raises
    ------
    OutputError
        It can't be written.
    """
    write_parts((content,), path, what)


def write_parts(parts: Iterable[bytes], path: Path, what: str) -> None:
    """Write a file part by part, as `write_text` does, without holding all of it in memory.

    Raises
    ------
    OutputError
        It can't be written.
    """
    with translate_failures(f"The {what} {path}"):
        if path.exists() and not path.is_file():
            _write_all(parts, path)
        else:
            _replace(path, parts)


def _replace(path: Path, parts: Iterable[bytes]) -> None:
    """Write beside the file, then rename; what a link points to is replaced, not the link."""
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _write_all(parts, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _write_all(parts: Iterable[bytes], path: Path) -> None:
    """Write parts one after the other."""
    with path.open("wb") as stream:
        stream.writelines(parts)


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which JSON does not have."""
    message = f"{name} is no JSON number"
    raise ValueError(message)
