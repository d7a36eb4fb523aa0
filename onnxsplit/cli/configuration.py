"""Where the defaults of options come from: environment over file over built-in.

A flag on the command line wins over the environment variable ``ONNXSPLIT_<FLAG>``, that over the
configuration file, that over the built-in default. Variables that hold lists separate their items
by white space, as in ``ONNXSPLIT_SHAPE="x=1,3,224,224 mask=1,8"``, links by semicolons; flags are
``1`` or ``0``.

The file is the one given by ``--config`` or ``ONNXSPLIT_CONFIG``, else ``onnxsplit.toml`` of the
current folder, else the table ``[tool.onnxsplit]`` of its ``pyproject.toml``. Its keys are the long
flags without their dashes; a table named like a command speaks to that command alone.
``ONNXSPLIT_CACHE_DIR`` and ``ONNXSPLIT_DEBUG`` exist in the environment only.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from onnxsplit.cli.settings import SPACED, Setting, settings_of, settings_of_all
from onnxsplit.errors import UsageError

Value = str | bool | int | list[str]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """A configured value and where it was found.

    Parameters
    ----------
    value : str, bool, int or list of str
    source : str
        A variable's or a file's name.
    """

    value: Value
    source: str


def load_defaults(context: typer.Context, config: Path | None) -> Path | None:
    """Fill the command's defaults from the environment and the configuration file.

    Raises
    ------
    UsageError
        The file can't be read, holds an unknown key or a value of the wrong type, or a variable
        holds what its option can't take.
    """
    if context.resilient_parsing:  # completing a command line must not fail on a file
        return config
    settings = settings_of(context.command)
    defaults = _from_file(context, config) | from_environment(settings, os.environ)
    context.default_map = {
        settings[key].parameter: default.value for key, default in defaults.items()
    }
    context.meta["onnxsplit.sources"] = {
        settings[key].parameter: default.source for key, default in defaults.items()
    }
    return config


def from_environment(
    settings: Mapping[str, Setting], environment: Mapping[str, str]
) -> dict[str, Default]:
    """Read the variables of a command's settings; an empty variable counts as absent.

    Raises
    ------
    UsageError
        A flag is neither on nor off.
    """
    return {
        key: Default(value=_parse(setting, environment[setting.variable]), source=setting.variable)
        for key, setting in settings.items()
        if environment.get(setting.variable, "").strip()
    }


def _from_file(context: typer.Context, config: Path | None) -> dict[str, Default]:
    """Read the configuration file, if there is one."""
    from onnxsplit.cli.configuration_file import find_table, select_values  # noqa: PLC0415 - tomllib is slow to import

    variable = os.environ.get("ONNXSPLIT_CONFIG", "").strip()
    chosen = config or (Path(variable) if variable else None)
    found = find_table(Path.cwd(), chosen)
    if found is None:
        return {}
    values = select_values(
        found.table,
        source=found.source,
        command=context.info_name or "",
        settings=settings_of_all(context),
    )
    return {key: Default(value=value, source=found.source) for key, value in values.items()}


def _parse(setting: Setting, text: str) -> Value:
    """Turn a variable's text into what the option takes."""
    match setting.kind:
        case "flag":
            return _parse_flag(setting, text.strip().lower())
        case "list":
            parts = text.split(";") if setting.key in SPACED else text.split()
            return [part.strip() for part in parts if part.strip()]
        case _:
            return text.strip()


def _parse_flag(setting: Setting, word: str) -> bool:
    """Read on or off."""
    if word not in _TRUE | _FALSE:
        raise UsageError(f"{setting.variable} is {word!r}; write 1 to set --{setting.key}, or 0.")
    return word in _TRUE
