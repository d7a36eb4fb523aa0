"""The configuration file: find it, read it, refuse what no command knows."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from onnxsplit.cli.settings import NAMED_VALUES, Setting
from onnxsplit.errors import UsageError

OWN_FILE = "onnxsplit.toml"
PROJECT_FILE = "pyproject.toml"

FileValue = str | bool | int | list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationTable:
    """The keys of a configuration file.

    Parameters
    ----------
    source : str
        The file as the reader knows it.
    table : mapping
    """

    source: str
    table: Mapping[str, Any]


def find_table(folder: Path, chosen: Path | None) -> ConfigurationTable | None:
    """Read the chosen file, else the folder's own; None if there is none.

    Raises
    ------
    UsageError
        The file can't be read, is no TOML, or its ``tool.onnxsplit`` is no table.
    """
    if chosen is not None:
        return _read(chosen, source=str(chosen))
    for name in (OWN_FILE, PROJECT_FILE):
        if (folder / name).is_file():
            found = _read(folder / name, source=name)
            if found is not None:
                return found
    return None


def select_values(
    table: Mapping[str, Any],
    *,
    source: str,
    command: str,
    settings: Mapping[str, Mapping[str, Setting]],
) -> dict[str, FileValue]:
    """Choose the values that one command takes; its own table wins over the top.

    Parameters
    ----------
    table : mapping
        The file's keys; keys named like a command hold that command's own keys.
    source : str
        The file's name, for messages.
    command : str
        The command that runs.
    settings : mapping of str to mapping of str to Setting
        Every command's settings by key.

    Raises
    ------
    UsageError
        A key is unknown anywhere in the file, or a value has the wrong type.
    """
    everywhere = {key: setting for own in settings.values() for key, setting in own.items()}
    everywhere |= settings.get(command, {})  # a key may be of another kind elsewhere
    top = {key: value for key, value in table.items() if key not in settings}
    shared = _check(top, everywhere, source=source, where="", others=settings)
    own: dict[str, FileValue] = {}
    for name in settings:
        entries = table.get(name, {})
        if not isinstance(entries, Mapping):
            raise UsageError(
                f"{source}: {name!r} is a command, so it must be a table of its options,"
                f" not {entries!r}."
            )
        checked = _check(entries, settings[name], source=source, where=f"[{name}] ", others={})
        if name == command:
            own = checked
    taken = settings.get(command, {})
    return {key: value for key, value in shared.items() if key in taken} | own


def _read(path: Path, *, source: str) -> ConfigurationTable | None:
    """Parse one file; None for a project file that says nothing about onnxsplit."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"The configuration file {source} can't be read: {error.strerror}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration file {source} is no valid TOML: {error}.") from error
    tool = document.get("tool")
    nested = tool.get("onnxsplit") if isinstance(tool, Mapping) else None
    if nested is not None and not isinstance(nested, Mapping):
        raise UsageError(f"{source}: tool.onnxsplit must be a table, not {nested!r}.")
    if nested is None and path.name == PROJECT_FILE:
        return None
    return ConfigurationTable(source=source, table=document if nested is None else nested)


def _check(
    entries: Mapping[str, Any],
    known: Mapping[str, Setting],
    *,
    source: str,
    where: str,
    others: Mapping[str, Any],
) -> dict[str, FileValue]:
    """Check every key and type of one table."""
    checked = {}
    for written, value in entries.items():
        key = written.replace("_", "-")
        if key not in known:
            matches = get_close_matches(key, [*known, *others], n=3)
            hint = f"; did you mean {' or '.join(matches)}?" if matches else "."
            raise UsageError(f"{source}: {where}the key {written!r} is unknown{hint}")
        checked[key] = _convert(known[key], value, place=f"{source}: {where}{written}")
    return checked


def _convert(setting: Setting, value: Any, *, place: str) -> FileValue:  # noqa: ANN401 - TOML can be anything
    """Turn a TOML value into what the option takes."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    converted: FileValue | None = None
    match setting.kind:
        case "flag" if isinstance(value, bool):
            converted = value
        case "integer" if isinstance(value, int) and is_number:
            converted = value
        case "number" if is_number:
            converted = repr(value)
        case "text" | "number" if isinstance(value, str):
            converted = value
        case "list":
            converted = _convert_list(setting, value)
    if converted is None:
        raise UsageError(f"{place} must be {_WANTED[setting.kind]}, not {value!r}.")
    return converted


def _convert_list(setting: Setting, value: Any) -> list[str] | None:  # noqa: ANN401 - likewise
    """Turn a TOML value into texts; None if it is none of the forms."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    if isinstance(value, Mapping) and setting.key in NAMED_VALUES:
        return [f"{name}={_dims(sizes)}" for name, sizes in value.items()]
    return None


_WANTED = {
    "flag": "true or false",
    "integer": "a whole number",
    "number": "a number or a string",
    "list": "a string or a list of strings",
    "text": "a string",
}


def _dims(sizes: Any) -> str:  # noqa: ANN401 - TOML can be anything
    """Write dims as the command line does; what is none fails there, by name."""
    return ",".join(map(str, sizes)) if isinstance(sizes, list) else str(sizes)
