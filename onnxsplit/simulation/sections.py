"""Tables of a scenario file, read key by key; what is wrong is told with its line and its key."""

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from onnxsplit.errors import UsageError, suggest
from onnxsplit.simulation.toml_lines import KeyPath, find_line, index_lines

T = TypeVar("T")

_REQUIRED: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a scenario came from.

    Parameters
    ----------
    name : str
        The file, as it was given.
    lines : mapping of KeyPath to int
    overridden : frozenset of KeyPath
        Keys whose values were given beside the file.
    """

    name: str
    lines: Mapping[KeyPath, int]
    overridden: frozenset[KeyPath] = frozenset()

    def fail(self, path: KeyPath, message: str) -> NoReturn:
        """Refuse the scenario because of a key.

        Raises
        ------
        UsageError
            Always; it names file, line and key.
        """
        where = self.name
        if self.has_override(path):
            where = "--set"
        elif (line := find_line(self.lines, path)) is not None:
            where = f"{self.name}, line {line}"
        raise UsageError(f"{where}, {word_path(path)}: {message}")

    def has_override(self, path: KeyPath) -> bool:
        """Tell whether a key was given beside the file."""
        return any(path[: len(given)] == given for given in self.overridden)


@dataclass(slots=True, kw_only=True)
class Section:
    """A table of the scenario, of which every key has to be asked for.

    Parameters
    ----------
    values : mapping of str to object
    path : KeyPath
    source : Source
    """

    values: Mapping[str, Any]
    path: KeyPath
    source: Source
    _asked: list[str] = field(default_factory=list)

    def fail(self, key: str, message: str) -> NoReturn:
        """Refuse a key of this table.

        Raises
        ------
        UsageError
            Always.
        """
        self.source.fail((*self.path, key), message)

    def has(self, key: str) -> bool:
        """Tell whether the table has a key."""
        return key in self.values

    def is_overridden(self, key: str) -> bool:
        """Tell whether a key of this table was given beside the file."""
        return self.source.has_override((*self.path, key))

    def text(self, key: str, default: str = _REQUIRED) -> str:
        """Read text."""
        return str(self._read(key, str, "text, in quotes", default))

    def integer(self, key: str, default: int = _REQUIRED, *, least: int = 1) -> int:
        """Read a whole number that is not too small."""
        number = int(self._read(key, int, "a whole number", default))
        if number < least:
            self.fail(key, f"{number} is too small; give at least {least}.")
        return number

    def number(self, key: str, default: float = _REQUIRED) -> float:
        """Read a positive number."""
        value = float(self._read(key, int | float, "a number", default))
        if not 0 < value < math.inf:
            self.fail(key, f"{value:g} must be positive and finite.")
        return value

    def quantity(
        self, key: str, parse: Callable[[str], float], default: float = _REQUIRED
    ) -> float:
        """Read a number with its unit."""
        if default is not _REQUIRED and key not in self.values:
            self._asked.append(key)
            return default
        return self.parse(key, parse)

    def parse(self, key: str, parse: Callable[[str], T]) -> T:
        """Read text by a function that may refuse it."""
        text = self.text(key)
        try:
            value = parse(text)
        except UsageError as error:
            self.fail(key, str(error))
        if value == math.inf:
            self.fail(key, f"{text!r} is more than any number that can be reckoned with.")
        return value

    def choice(self, key: str, known: Sequence[str], default: str = _REQUIRED) -> str:
        """Read one of some words."""
        word = self.text(key, default)
        if word not in known:
            self.fail(
                key, f"{word!r} is none of {', '.join(known)}. {suggest(word, known)}".strip()
            )
        return word

    def texts(self, key: str, default: Sequence[str] = _REQUIRED) -> tuple[str, ...]:
        """Read a list of texts."""
        values = self._read(key, list | tuple, "a list of texts", default)
        if not all(isinstance(value, str) for value in values):
            self.fail(key, f"{values!r} must be a list of texts, each in quotes.")
        return tuple(values)

    def table(self, key: str) -> "Section":
        """Read a table; an empty one where there is none."""
        values = self._read(key, dict, "a table", {})
        return Section(values=values, path=(*self.path, key), source=self.source)

    def tables(self, key: str) -> tuple["Section", ...]:
        """Read an array of tables with at least one item."""
        values = self._read(key, list, f"tables, each under [[{key}]]", _REQUIRED)
        if not values or not all(isinstance(value, dict) for value in values):
            self.fail(key, f"Give at least one table under [[{key}]].")
        return tuple(
            Section(values=value, path=(*self.path, key, place), source=self.source)
            for place, value in enumerate(values)
        )

    def sizes(self, key: str) -> Mapping[str, int]:
        """Read a table of whole numbers."""
        table = self.table(key)
        return {name: table.integer(name) for name in table.values}

    def shapes(self, key: str) -> Mapping[str, tuple[int, ...]]:
        """Read a table of lists of whole numbers."""
        table = self.table(key)
        return {name: tuple(table.dims(name)) for name in table.values}

    def dims(self, key: str) -> list[int]:
        """Read a list of whole numbers."""
        dims = self._read(key, list, "a list of whole numbers", _REQUIRED)
        if not all(isinstance(dim, int) and not isinstance(dim, bool) for dim in dims):
            self.fail(key, f"{dims!r} must be a list of whole numbers.")
        return list(dims)

    def close(self) -> None:
        """Refuse keys that nobody asked for.

        Raises
        ------
        UsageError
            There is one.
        """
        for key in self.values:
            if key not in self._asked:
                self.fail(key, f"there is no such key here. {suggest(key, self._asked)}".strip())

    def _read(self, key: str, kind: Any, word: str, default: Any) -> Any:  # noqa: ANN401 - TOML can be anything
        """Fetch a typed value."""
        self._asked.append(key)
        value = self.values.get(key, default)
        if value is _REQUIRED:
            self.source.fail(self.path or (key,), f"the key {key!r} is missing.")
        if not isinstance(value, kind) or isinstance(value, bool):
            self.fail(key, f"{value!r} must be {word}.")
        return value


def open_document(path: Path, overrides: Sequence[str] = ()) -> Section:
    """Read a scenario file as one section.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        ``KEY=VALUE`` each: a dotted key, and a TOML value or text without quotes.

    Raises
    ------
    UsageError
        The file can't be read or is no TOML, or an override has no key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"The scenario {path} can't be read: {reason}.") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}.") from error
    given = [_override(document, assignment) for assignment in overrides]
    source = Source(name=str(path), lines=index_lines(text), overridden=frozenset(given))
    return Section(values=document, path=(), source=source)


def word_path(path: KeyPath) -> str:
    """Write a key as people do: ``devices[0].board``, places counted from 0.

    Examples
    --------
    >>> word_path(("devices", 0, "board"))
    'devices[0].board'
    """
    return "".join(_word_parts(path)).removeprefix(".")


def _word_parts(path: KeyPath) -> Iterator[str]:
    """Yield each part of a key with what joins it to the one before."""
    for part in path:
        yield f"[{part}]" if isinstance(part, int) else f".{part}"


def _override(document: dict[str, Any], assignment: str) -> KeyPath:
    """Set one key; return its path."""
    dotted, equals, text = assignment.partition("=")
    parts = dotted.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(
            f"--set {assignment!r}: write a dotted key and its value, as channel.band=n257."
        )
    keys: list[str | int] = [int(part) if part.isdigit() else part for part in parts]
    inner: Any = document
    for key in keys[:-1]:
        try:
            inner = inner.setdefault(key, {}) if isinstance(key, str) else inner[key]
        except (AttributeError, KeyError, IndexError, TypeError):
            raise UsageError(f"--set {assignment!r}: the scenario has no {dotted}.") from None
    if not isinstance(inner, dict) or isinstance(keys[-1], int):
        raise UsageError(f"--set {assignment!r}: the scenario has no {dotted}.")
    inner[keys[-1]] = _read_value(text.strip())
    return tuple(keys)


def _read_value(text: str) -> Any:  # noqa: ANN401 - TOML can be anything
    """Read a TOML value, or text that was typed without quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def find_file(section: Section, key: str, folder: Path) -> Path:
    """Read a path relative to the scenario's folder."""
    # What was typed beside the file is meant from where it was typed.
    path = Path(section.text(key)) if section.is_overridden(key) else folder / section.text(key)
    if not path.is_file():
        section.fail(key, f"there is no file {path}.")
    return path
