"""What people type into options, as values."""

import csv
from collections.abc import Callable, Mapping, Sequence

import typer

from onnxsplit.errors import UsageError


def whole_number(minimum: int) -> Callable[[str | int], int]:
    """Make a parser of whole numbers from ``minimum`` on.

    Raises
    ------
    typer.BadParameter
        By the parser: the text is no whole number, or too small; the command line adds the flag.
    """

    def number(text: str | int) -> int:
        try:
            value = int(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no whole number.") from None
        if value < minimum:
            raise typer.BadParameter(f"{value} is too small; the least is {minimum}.")
        return value

    return number


def parse_shapes(texts: Sequence[str] | None) -> Mapping[str, tuple[int, ...]]:
    """Read ``NAME=1,3,224,224`` of every ``--shape``.

    Raises
    ------
    UsageError
        A text has no name, a dim is no positive whole number, or a name comes twice.

    Examples
    --------
    >>> parse_shapes(["x=1,3,224,224"])
    {'x': (1, 3, 224, 224)}
    """
    return {
        name: tuple(_size(dim, flag="--shape", text=text) for dim in sizes.split(","))
        for text, name, sizes in _assignments(texts, flag="--shape")
    }


def parse_dims(texts: Sequence[str] | None) -> Mapping[str, int]:
    """Read ``NAME=N`` of every ``--dim``.

    Raises
    ------
    UsageError
        A text has no name, the size is no positive whole number, or a name comes twice.

    Examples
    --------
    >>> parse_dims(["batch=1"])
    {'batch': 1}
    """
    return {
        name: _size(size, flag="--dim", text=text)
        for text, name, size in _assignments(texts, flag="--dim")
    }


def parse_share(text: str) -> float:
    """Read a share of the whole, as ``5%`` or ``0.05``.

    Raises
    ------
    UsageError
        The text is no number, or the share is not between 0 and 1/2.

    Examples
    --------
    >>> parse_share("5%")
    0.05
    """
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        raise UsageError(f"--min-share {text!r} is no share; write 5% or 0.05.") from None
    if not 0 <= share < 0.5:  # noqa: PLR2004 - two sides can't both hold more than half
        raise UsageError(f"--min-share {text!r} must be at least 0 and below 50%, such as 5%.")
    return share


def parse_drift(text: str) -> float:
    """Read how far outputs may drift, as ``0.01`` or ``1%``.

    Raises
    ------
    UsageError
        The text is no number.

    Examples
    --------
    >>> parse_drift("1%")
    0.01
    """
    number = text.strip().removesuffix("%")
    try:
        return float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        raise UsageError(f"--max-drift {text!r} is no number; write 1% or 0.01.") from None


def parse_sizes(texts: Sequence[str] | None) -> Mapping[str, str]:
    """Split ``NAME=SIZE`` of every ``--input-bytes``; sizes keep their units.

    Raises
    ------
    UsageError
        A text has no name or no size, or a name comes twice.

    Examples
    --------
    >>> parse_sizes(["image=120kB"])
    {'image': '120kB'}
    """
    return {name: size for _, name, size in _assignments(texts, flag="--input-bytes")}


def parse_tensor_names(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Read the comma-separated names of every ``--cut-at``; quotes protect commas.

    Raises
    ------
    UsageError
        A name is empty.

    Examples
    --------
    >>> parse_tensor_names(["a,b", '"c,d"'])
    ('a', 'b', 'c,d')
    """
    names = []
    for text in texts or ():
        row = next(csv.reader([text], skipinitialspace=True), [])
        if not row or not all(row):
            raise UsageError(f"--cut-at {text!r} holds an empty name; write tensor names as T1,T2.")
        names.extend(row)
    return tuple(dict.fromkeys(names))


_EXAMPLES = {
    "--shape": "--shape x=1,3,224,224",
    "--dim": "--dim batch=1",
    "--input-bytes": "--input-bytes image=120kB",
}


def _assignments(texts: Sequence[str] | None, *, flag: str) -> list[tuple[str, str, str]]:
    """Split each text at its last equals sign, for names may hold one too."""
    split = []
    seen: set[str] = set()
    for text in texts or ():
        name, equals, value = text.rpartition("=")
        if not (equals and name and value):
            raise UsageError(
                f"{flag} {text!r} must be a name, =, and a value, as in {_EXAMPLES[flag]}."
            )
        if name in seen:
            raise UsageError(f"{flag} names {name!r} twice; give each name once.")
        seen.add(name)
        split.append((text, name, value))
    return split


def _size(dim: str, *, flag: str, text: str) -> int:
    """Read one positive size."""
    try:
        size = int(dim)
    except ValueError:
        size = 0
    if size < 1:
        raise UsageError(
            f"{flag} {text!r}: {dim.strip()!r} is no positive whole number;"
            f" write sizes as in {_EXAMPLES[flag]}."
        )
    return size
