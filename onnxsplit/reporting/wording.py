"""How numbers, shapes and comparisons are put into words, the same in every report."""

import math
from collections.abc import Sequence

from onnxsplit.units import format_duration, format_energy, format_size

MOST_NAME_CHARACTERS = 36
"""A longer name is shortened where it need not be copied."""

EVEN = 0.005
"""Two times that differ by less than half a percent are called as fast as each other."""


def word_duration(seconds: float) -> str:
    """Write a duration; ``-`` if it is not finite.

    Examples
    --------
    >>> word_duration(0.0123)
    '12.3 ms'
    """
    return format_duration(seconds) if math.isfinite(seconds) else "-"


def word_energy(joules: float) -> str:
    """Write an energy; ``-`` if it is not finite.

    Examples
    --------
    >>> word_energy(0.5)
    '500 mJ'
    """
    return format_energy(joules) if math.isfinite(joules) else "-"


def word_bytes(size_bytes: float | None) -> str:
    """Write a size; ``?`` if it is not known.

    Examples
    --------
    >>> word_bytes(None)
    '?'
    """
    return "?" if size_bytes is None else format_size(size_bytes)


def word_shape(shape: Sequence[int | str | None] | None) -> str:
    """Write a shape; ``?`` stands for what is not known.

    Examples
    --------
    >>> word_shape(("batch", 3, None))
    '[batch, 3, ?]'
    """
    if shape is None:
        return "?"
    return f"[{', '.join('?' if dim is None else str(dim) for dim in shape)}]"


def word_share(part: float, whole: float) -> str:
    """Write a part of a whole in percent.

    Examples
    --------
    >>> word_share(1.0, 8.0), word_share(1.0, 4000.0)
    ('12.5 %', '< 0.1 %')
    """
    if whole <= 0:
        return "-"
    percent = 100 * part / whole
    if 0 < percent < 0.05:  # noqa: PLR2004 - what would be written as 0.0
        return "< 0.1 %"
    return f"{percent:.1f} %"


def word_ratio(seconds: float, reference_seconds: float) -> str:
    """Compare a time with a reference, seen from the time.

    Examples
    --------
    >>> word_ratio(2.0, 1.0), word_ratio(1.0, 3.0), word_ratio(1.0, 1.001)
    ('2x slower', '3x faster', 'as fast')
    """
    if not (seconds > 0 and reference_seconds > 0):
        return "-"
    ratio = seconds / reference_seconds
    if abs(ratio - 1) < EVEN:
        return "as fast"
    return f"{word_factor(ratio)} slower" if ratio > 1 else f"{word_factor(1 / ratio)} faster"


def word_factor(factor: float) -> str:
    """Write a factor with three significant digits at most.

    Examples
    --------
    >>> word_factor(1.4142), word_factor(1234.5)
    ('1.41x', '1234x')
    """
    return f"{factor:.0f}x" if factor >= 100 else f"{factor:.3g}x"  # noqa: PLR2004 - three digits


def word_count(count: int, thing: str, things: str | None = None) -> str:
    """Write a number of things.

    Examples
    --------
    >>> word_count(1, "operator"), word_count(2, "operator"), word_count(2, "vertex", "vertices")
    ('1 operator', '2 operators', '2 vertices')
    """
    return f"{count} {thing if count == 1 else things or f'{thing}s'}"


def word_names(names: Sequence[str], *, most: int = 3) -> str:
    """List names, the first few and how many more.

    Examples
    --------
    >>> word_names(["a", "b", "c", "d", "e"])
    "'a', 'b', 'c' and 2 more"
    """
    shown = ", ".join(f"'{printable(name)}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def word_name(name: str, *, most: int = MOST_NAME_CHARACTERS) -> str:
    """Shorten a long name to its two ends, where it need not be copied.

    Examples
    --------
    >>> word_name("/model/encoder/layer.2/attention/output/LayerNorm/Add_output_0")
    '/model/e...ut/LayerNorm/Add_output_0'
    """
    if len(name) <= most:
        return name
    head = (most - 3) // 4
    return f"{name[:head]}...{name[head + 3 - most :]}"


def printable(text: str) -> str:
    r"""Escape what would move the cursor or break the line.

    Examples
    --------
    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
