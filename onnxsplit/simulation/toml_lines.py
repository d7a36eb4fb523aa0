"""On which line of a TOML text each key stands; the reader of the standard library doesn't tell."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KeyPath = tuple[str | int, ...]
"""Keys from the outermost on; an item of an array of tables by its place."""

_TRIPLES = ('"""', "'''")
_OPENING, _CLOSING = "[{", "]}"


def index_lines(text: str) -> Mapping[KeyPath, int]:
    r"""Find the line of every key and every table's header, counted from 1.

    Parameters
    ----------
    text : str
        Valid TOML.

    Returns
    -------
    mapping of KeyPath to int
        Keys within an inline table are not listed: they stand on the line of the table's key, or
        below it.

    Examples
    --------
    >>> index_lines("a = 1\n[[b]]\nc = 2\n")[("b", 0, "c")]
    3
    """
    scan = _Scan(text=text)
    while scan.place < len(text):
        scan.take_expression()
    return scan.lines


def find_line(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Return the line of a key, or of the innermost thing around it that has one.

    Parameters
    ----------
    lines : mapping of KeyPath to int
    path : KeyPath
    """
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


@dataclass(slots=True, kw_only=True)
class _Scan:
    """Walks through a text, expression by expression."""

    text: str
    place: int = 0
    table: KeyPath = ()
    lines: dict[KeyPath, int] = field(default_factory=dict)
    _items: dict[KeyPath, int] = field(default_factory=dict)
    """How many items each array of tables has so far."""

    def take_expression(self) -> None:
        """Take a header, a key with its value, a comment or white space."""
        character = self.text[self.place]
        if character in " \t\r\n":
            self.place += 1
        elif character == "#":
            self._go_to_end_of_line()
        elif character == "[":
            self._take_header()
        else:
            self._take_key()

    def _take_header(self) -> None:
        """Take ``[table]`` or ``[[array]]``."""
        line, start = self._line, self.place
        self._go_to_end_of_value()
        header = self.text[start : self.place].strip()
        is_array = header.startswith("[[")
        depth = 2 if is_array else 1
        keys = _read_keys(f"{header[depth:-depth]} = 0")
        path = self._resolve(keys[:-1], ())
        path = (*path, keys[-1])
        if is_array:
            count = self._items.get(path, 0)
            self._items[path] = count + 1
            self.lines.setdefault(path, line)
            path = (*path, count)
        elif path in self._items:
            path = (*path, self._items[path] - 1)
        self.lines[path] = line
        self.table = path

    def _resolve(self, keys: tuple[str, ...], base: KeyPath) -> KeyPath:
        """Follow keys; an array of tables stands for its last item."""
        path = base
        for key in keys:
            path = (*path, key)
            if path in self._items:
                path = (*path, self._items[path] - 1)
        return path

    def _take_key(self) -> None:
        """Take ``key = value``."""
        line, start = self._line, self.place
        while self.text[self.place] != "=":
            if self.text[self.place] in "\"'":
                self._skip_string()
            else:
                self.place += 1
        keys = _read_keys(self.text[start : self.place] + " = 0")
        self.place += 1
        self._go_to_end_of_value()
        for length in range(1, len(keys) + 1):
            self.lines.setdefault((*self.table, *keys[:length]), line)

    @property
    def _line(self) -> int:
        """The line at which the scan stands."""
        return self.text.count("\n", 0, self.place) + 1

    def _go_to_end_of_line(self) -> None:
        """Skip what is left of the line."""
        end = self.text.find("\n", self.place)
        self.place = len(self.text) if end < 0 else end

    def _go_to_end_of_value(self) -> None:
        """Skip a value, or a header, with all its lines."""
        depth = 0
        while self.place < len(self.text):
            character = self.text[self.place]
            if character in "\"'":
                self._skip_string()
                continue
            if character == "#":
                if depth == 0:
                    return
                self._go_to_end_of_line()
                continue
            if character == "\n" and depth == 0:
                return
            depth += (character in _OPENING) - (character in _CLOSING)
            self.place += 1

    def _skip_string(self) -> None:
        """Skip a string of any of the four kinds."""
        quote = self.text[self.place]
        if self.text[self.place : self.place + 3] in _TRIPLES:
            quote *= 3
        self.place += len(quote)
        while not self.text.startswith(quote, self.place):
            escapes = quote[0] == '"' and self.text[self.place] == "\\"
            self.place += 2 if escapes else 1
        self.place += len(quote)
        while len(quote) > 1 and self.text[self.place : self.place + 1] == quote[0]:
            self.place += 1  # up to two quotes may end a text within three


def _read_keys(assignment: str) -> tuple[str, ...]:
    """Read the dotted keys of ``a."b c".d = 0``."""
    keys: list[str] = []
    value: Any = tomllib.loads(assignment)
    while isinstance(value, dict):
        ((key, value),) = value.items()
        keys.append(key)
    return tuple(keys)
