"""Profiles as files: read with errors that name file and key, written whole or not at all."""

import json
import os
from pathlib import Path
from typing import NoReturn

from onnxsplit.errors import OutputError, ProfileError
from onnxsplit.profiles import Profile


def read_profile(path: Path) -> Profile:
    """Read a profile file.

    Raises
    ------
    ProfileError
        The file can't be read, is no JSON, or is no profile of a known version; the message names
        the file and the key.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ProfileError(f"The profile {path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"The profile {path} is no JSON: it is not UTF-8 text.") from error
    try:
        return Profile.from_json(json.loads(text, parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"The profile {path} is no JSON: {error}.") from error
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from error


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile file; it appears whole, by rename, or not at all.

    A path that is no plain file, such as a pipe, is written to directly.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    text = json.dumps(profile.to_json(), indent=1, allow_nan=False) + "\n"
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path, text)
    except OSError as error:
        raise OutputError(f"The profile {path} can't be written: {error.strerror}.") from error


def _replace(path: Path, text: str) -> None:
    """Write beside the file, then rename; what a link points to is replaced, not the link."""
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which JSON does not have."""
    message = f"{name} is no JSON number"
    raise ValueError(message)
