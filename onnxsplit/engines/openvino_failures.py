"""Every exception of OpenVINO, mapped once to an error of ours with one clean sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from onnxsplit.errors import ModelError, UnsupportedModelError

_FOREIGN = (RuntimeError, ValueError, TypeError, MemoryError, OSError)
"""What its bindings raise."""

_UNCONVERTED = re.compile(r"No conversion rule found for operations: (?P<types>[^\n]+)")
_FAILED = re.compile(r"^-- (?P<type>\S+) with a message:\n(?P<text>.*)", re.MULTILINE | re.DOTALL)
_NOISE = re.compile(
    r"^(?:Exception from |Check '.*' failed at |FrontEnd API failed|Model wasn't fully converted"
    r"|Summary:|To facilitate |Encountered unconverted |While validating node |-- )"
)
_CHECK = re.compile(r"Check '(?P<check>.*?)' failed at [^\n]*", re.DOTALL)
_MOST_CHARACTERS = 400


@contextmanager
def translate_failures(task: str) -> Iterator[None]:
    """Turn whatever OpenVINO raises within the block into an error of ours.

    Parameters
    ----------
    task : str
        What it was asked to do, as it follows "OpenVINO can't": ``read the model``.

    Raises
    ------
    UnsupportedModelError
        The model is valid, but OpenVINO has no conversion for an operator.
    ModelError
        Anything else.
    """
    try:
        yield
    except _FOREIGN as error:
        raise _translate(str(error), task) from error


def _translate(text: str, task: str) -> ModelError:
    """Build the error of ours that says what went wrong."""
    match = _UNCONVERTED.search(text)
    if match:
        types = match["types"].strip()
        return UnsupportedModelError(
            f"OpenVINO can't {task}: it has no conversion for operators of the types {types}."
        )
    return ModelError(f"OpenVINO can't {task}: {extract_gist(text) or 'it does not say why'}.")


def extract_gist(text: str) -> str:
    r"""Strip source lines and headings from a message of OpenVINO.

    Examples
    --------
    >>> extract_gist(
    ...     "Exception from src/x.cpp:505:\nNotFound: Unsupported property FOO by CPU plugin.\n"
    ... )
    'NotFound: Unsupported property FOO by CPU plugin'
    """
    prefix = ""
    failed = _FAILED.search(text)
    if failed:
        prefix, text = f"operator type {failed['type']}: ", failed["text"]
        text = re.sub(r"^While validating ONNX node '.*?': ", "", text)
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not _NOISE.match(line)]
    gist = " ".join(kept)
    if not gist and (check := _CHECK.search(text)):
        gist = f"{check['check']} does not hold"
    if len(gist) > _MOST_CHARACTERS:
        gist = f"{gist[:_MOST_CHARACTERS].rsplit(' ', 1)[0]} ..."
    return (prefix + gist).rstrip(". ")
