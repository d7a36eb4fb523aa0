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
        name: _size(size, flag="--dim", text=text, least=0)
        for text, name, size in _assignments(texts, flag="--dim")
    }


def parse_pairs(texts: Sequence[str] | None, *, flag: str) -> tuple[tuple[str, str], ...]:
    """Read a name and what it stands for, parted by the first equals sign.

    Raises
    ------
    UsageError
        A text has no name or no value.

    Examples
    --------
    >>> parse_pairs(["edge=op:Conv*"], flag="--pin")
    (('edge', 'op:Conv*'),)
    """
    pairs = []
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (equals and name and value):
            raise UsageError(
                f"{flag} {text!r} must be a name, =, and a value, as in {_EXAMPLES[flag]}."
            )
        pairs.append((name, value))
    return tuple(pairs)


def parse_places(texts: Sequence[str] | None, *, flag: str) -> tuple[tuple[str, str], ...]:
    """Read ``NAME=TIER``, parted by the last equals sign, for names may hold one too.

    Raises
    ------
    UsageError
        A text has no name or no tier, or a name comes twice.

    Examples
    --------
    >>> parse_places(["prompt=server"], flag="--input-at")
    (('prompt', 'server'),)
    """
    return tuple((name, tier) for _, name, tier in _assignments(texts, flag=flag))


def parse_provider_options(texts: Sequence[str] | None) -> Mapping[str, str]:
    """Read ``KEY=VALUE`` of every ``--provider-option``.

    Raises
    ------
    UsageError
        A text has no key or no value, or a key comes twice.

    Examples
    --------
    >>> parse_provider_options(["device_id=0", "paths=a=b"])
    {'device_id': '0', 'paths': 'a=b'}
    """
    return _collect_pairs(texts, flag="--provider-option")


def parse_tiers(texts: Sequence[str] | None) -> Mapping[str, str]:
    """Read ``NAME=PROFILE`` of every ``--tier``, in order.

    Raises
    ------
    UsageError
        A text has no name or no value, or a name comes twice.

    Examples
    --------
    >>> parse_tiers(["device=pi.json", "cloud=local"])
    {'device': 'pi.json', 'cloud': 'local'}
    """
    return _collect_pairs(texts, flag="--tier")


def parse_mix(texts: Sequence[str] | None) -> tuple[tuple[Mapping[str, int], float], ...]:
    """Read ``DIM=N,DIM=N:WEIGHT`` of every ``--mix``.

    Raises
    ------
    UsageError
        A dim has no size, or the weight is no positive number.

    Examples
    --------
    >>> parse_mix(["batch=1,seq=128:1", "batch=1,seq=1:64"])
    (({'batch': 1, 'seq': 128}, 1.0), ({'batch': 1, 'seq': 1}, 64.0))
    """
    mix = []
    for text in texts or ():
        dims, colon, number = text.rpartition(":")
        try:
            weight = float(number)
        except ValueError:
            weight = 0.0
        if not (colon and 0 < weight < float("inf")):
            raise UsageError(
                f"--mix {text!r} must end in a colon and a positive number, as in"
                f" {_EXAMPLES['--mix']}."
            )
        parts = dims.split(",")
        mix.append(
            (
                {
                    name: _size(size, flag="--mix", text=text, least=0)
                    for _, name, size in _assignments(parts, flag="--mix")
                },
                weight,
            )
        )
    return tuple(mix)


def parse_links(texts: Sequence[str] | None, default: str) -> str | tuple[str, ...]:
    """Return the one link, or several in order.

    Examples
    --------
    >>> parse_links(["wifi", "ethernet"], "wifi")
    ('wifi', 'ethernet')
    """
    links = tuple(texts or (default,))
    return links[0] if len(links) == 1 else links


def parse_share(text: str, *, flag: str = "--min-share") -> float:
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
        raise UsageError(f"{flag} {text!r} is no share; write 5% or 0.05.") from None
    if not 0 <= share < 0.5:  # noqa: PLR2004 - two sides can't both hold more than half
        raise UsageError(f"{flag} {text!r} must be at least 0 and below 50%, such as 5%.")
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
    "--provider-option": "--provider-option device_id=0",
    "--shape": "--shape x=1,3,224,224",
    "--dim": "--dim batch=1",
    "--input-bytes": "--input-bytes image=120kB",
    "--mix": "--mix batch=1,seq=128:1",
    "--tier": "--tier edge=local:0.5",
    "--pin": "--pin edge=op:Conv",
    "--input-at": "--input-at prompt=server",
    "--output-at": "--output-at scores=server",
    "--state": "--state 'past_*=present_*'",
}


def _collect_pairs(texts: Sequence[str] | None, *, flag: str) -> dict[str, str]:
    """Read pairs whose names come once each."""
    found: dict[str, str] = {}
    for name, value in parse_pairs(texts, flag=flag):
        if name in found:
            raise UsageError(f"{flag} names {name!r} twice; give each name once.")
        found[name] = value
    return found


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


def _size(dim: str, *, flag: str, text: str, least: int = 1) -> int:
    """Read one size; a symbolic dim may be 0, as the length of an empty cache is."""
    try:
        size = int(dim)
    except ValueError:
        size = least - 1
    if size < least:
        raise UsageError(
            f"{flag} {text!r}: {dim.strip()!r} is no {'positive ' if least else ''}whole number;"
            f" write sizes as in {_EXAMPLES[flag]}."
        )
    return size
