"""Every exception of onnxruntime, mapped once to an error of ours with one clean sentence."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from onnxruntime.capi import onnxruntime_pybind11_state as native

from onnxsplit.errors import ModelError, UnsupportedModelError

FAILURES: Mapping[str, type[ModelError]] = {
    "DeviceReset": ModelError,
    "EPFail": ModelError,
    "EngineError": ModelError,
    "Fail": ModelError,
    "InvalidArgument": ModelError,
    "InvalidGraph": ModelError,
    "InvalidProtobuf": ModelError,
    "ModelLoadCanceled": ModelError,
    "ModelLoaded": ModelError,
    "ModelRequiresCompilation": UnsupportedModelError,
    "NoModel": ModelError,
    "NoSuchFile": ModelError,
    "NotFound": ModelError,
    "NotImplemented": UnsupportedModelError,
    "RuntimeException": ModelError,
}
"""Exception classes of onnxruntime by name (older versions lack some), and what they become."""

_BUILT_IN = (RuntimeError, ValueError, TypeError, MemoryError, OSError)
"""What its Python layer and its bindings raise besides."""

_FOREIGN = (
    *(getattr(native, name) for name in FAILURES if hasattr(native, name)),
    *_BUILT_IN,
)

_UNSUPPORTED: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r'In Node, \("(?P<name>.*?)", (?P<type>[^,]+), .*No Op registered for \S+'
            r" with domain_version of (?P<version>\d+)",
            re.DOTALL,
        ),
        "operator {name!r} has the type {type}, which it does not know in opset {version}",
    ),
    (
        re.compile(r"Fatal error: (?P<domain>[^:]*):(?P<type>\w+)\(.*is not a registered function"),
        "it does not know the operator type {type} of domain {domain!r}",
    ),
    (
        re.compile(
            r"Could not find an implementation for (?P<type>\w+)\((?P<version>\d+)\)"
            r" node with name '(?P<name>.*?)'"
        ),
        (
            "it has no kernel for operator {name!r} of type {type} (opset {version})"
            " with these element types"
        ),
    ),
    (
        re.compile(
            r"Unsupported model IR version: (?P<is>\d+), max supported IR version: (?P<max>\d+)"
        ),
        "the model's IR version is {is}, and it reads versions up to {max}",
    ),
    (
        re.compile(
            r"Opset (?P<is>\d+) is under development.*support for domain (?P<domain>\S+)"
            r" is till opset (?P<max>\d+)",
            re.DOTALL,
        ),
        "the model's opset {is} of domain {domain} is newer than {max}, the newest it knows",
    ),
)
"""What it says of a valid model that it can't handle, and how we say it."""

_MAX_GIST_CHARACTERS = 400


@contextmanager
def translate_failures(task: str) -> Iterator[None]:
    """Turn whatever onnxruntime raises within the block into an error of ours.

    Parameters
    ----------
    task : str
        What it was asked to do, as it follows "onnxruntime can't": ``load the model``.

    Raises
    ------
    UnsupportedModelError
        The model is valid, but onnxruntime has no such operator, kernel or version.
    ModelError
        Anything else.
    """
    try:
        yield
    except _FOREIGN as error:
        raise translate(error, task) from error


def translate(error: BaseException, task: str) -> ModelError:
    """Build the error of ours that says what went wrong, without source lines of onnxruntime."""
    text = str(error)
    for pattern, sentence in _UNSUPPORTED:
        match = pattern.search(text)
        if match:
            gist = sentence.format(**match.groupdict())
            return UnsupportedModelError(f"onnxruntime can't {task}: {gist}.")
    kind = FAILURES.get(type(error).__name__, ModelError)
    return kind(f"onnxruntime can't {task}: {extract_gist(text) or type(error).__name__}.")


def extract_gist(text: str) -> str:
    """Strip codes, source lines and signatures from a message of onnxruntime.

    Examples
    --------
    >>> extract_gist(
    ...     "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Add node."
    ...     " Name:'a' Status Message: /x/y.h:45 void ns::F(int) const ok was false. Sizes differ."
    ... )
    "operator 'a' (Add): Sizes differ"
    """
    text = " ".join(text.split())
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"^Load model from .*? failed: ?", "", text)
    text = re.sub(r"^(Exception during initialization: |Error in execution: )", "", text)
    text = re.sub(
        r"Non-zero status code returned while running (\S+) node\. Name:'(.*?)' Status Message: ",
        r"operator '\2' (\1): ",
        text,
    )
    text = _strip_source_lines(text)
    if len(text) > _MAX_GIST_CHARACTERS:
        text = f"{text[:_MAX_GIST_CHARACTERS].rsplit(' ', 1)[0]} ..."
    return text.rstrip(". ")


def _strip_source_lines(text: str) -> str:
    """Drop each ``file:line signature`` and the failed condition that may follow it."""
    while match := re.search(r"(?P<folder>\S*/)?[\w.-]+\.(?:h|hpp|cc|cpp|cu|cuh):\d+ ", text):
        rest = text[match.end() :]
        rest = _skip_signature(rest) if match["folder"] else re.sub(r"^\w+ ", "", rest)
        rest = re.sub(r"^[^.:]{1,200} was false\. (?=\S)", "", rest)
        text = text[: match.start()] + rest
    return text


def _skip_signature(text: str) -> str:
    """Return what follows a C++ function's signature, or the text itself if there is none."""
    place = text.find("(")
    while place != -1:
        depth, end = 1, place + 1
        while end < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if depth:
            break
        if end == len(text) or text[end] == " ":
            return re.sub(r"^ (?:const )?(?:\[with [^\]]*\] )?", "", text[end:])
        place = text.find("(", end)
    return text
