"""The options of a command as settings: what a file or an environment variable may hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import typer
from typer.core import TyperGroup

SettingKind = Literal["flag", "list", "integer", "number", "text"]

FLAG_ONLY = frozenset({"help", "config", "debug", "frontier"})
INTEGERS = frozenset(
    {
        "threads",
        "device-opset",
        "batches",
        "seed",
        "seeds",
        "measure",
        "private-depth",
        "iterations",
        "alternatives",
        "amortise",
        "repeat",
        "depth",
        "epochs",
        "steps",
        "batch-size",
        "warmup",
        "decay-every",
        "checkpoint-every",
        "port",
        "grpc-port",
        "queue",
        "workers",
        "max-sequences",
        "clients",
    }
)
NUMBERS = frozenset(
    {
        "min-share",
        "max-drift",
        "least-share",
        "device-watts",
        "server-watts",
        "transmit-watts",
        "receive-watts",
        "idle-watts",
        "joules-per-second",
        "learning-rate",
        "decay-factor",
        "momentum",
        "weight-decay",
    }
)
SPACED = frozenset({"link", "set"})
"""Lists whose items may hold spaces; in the environment semicolons part them."""
NAMED_VALUES = frozenset({"shape", "dim", "input-bytes"})
"""Lists of ``NAME=VALUE``, which a file may also write as a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An option that can be set outside the command line.

    Parameters
    ----------
    key : str
        The long flag without its dashes.
    parameter : str
        The name by which the command takes it.
    kind : str
    """

    key: str
    parameter: str
    kind: SettingKind

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"ONNXSPLIT_{self.key.replace('-', '_').upper()}"


def settings_of(command: Any) -> Mapping[str, Setting]:  # noqa: ANN401 - typer's commands have no public type
    """Return a command's settings by key."""
    found = {}
    for parameter in command.params:
        for flag in parameter.opts:
            key = flag.removeprefix("--")
            if flag.startswith("--") and key not in FLAG_ONLY:
                found[key] = Setting(key=key, parameter=parameter.name, kind=_kind(key, parameter))
    return found


def settings_of_all(context: typer.Context) -> Mapping[str, Mapping[str, Setting]]:
    """Return the settings of every command by the command's name."""
    root = context.find_root().command
    if not isinstance(root, TyperGroup):
        return {}
    return {name: settings_of(command) for name, command in root.commands.items()}


def _kind(key: str, parameter: Any) -> SettingKind:  # noqa: ANN401 - typer's parameters have no public type
    """Tell what kind of value an option takes."""
    if getattr(parameter, "is_flag", False):
        return "flag"
    if parameter.multiple:
        return "list"
    if key in INTEGERS:
        return "integer"
    return "number" if key in NUMBERS else "text"
