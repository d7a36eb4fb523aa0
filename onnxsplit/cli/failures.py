"""What went wrong, as one sentence and an exit code."""

from dataclasses import dataclass
from typing import Any

import typer

from onnxsplit.errors import InternalError, OnnxSplitError

INTERRUPTED = 130
USAGE = 2
BUG = InternalError.exit_code

# Older releases of typer build on the package click, newer ones carry it within: its errors are
# reached through the one that typer makes public (BadParameter < UsageError < ClickException).
CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as people and programs see it.

    Parameters
    ----------
    kind : str
        The class of the error.
    message : str
        One or two sentences.
    exit_code : int
    """

    kind: str
    message: str
    exit_code: int


def explain(error: BaseException) -> Failure:
    """Say what went wrong.

    Parameters
    ----------
    error : BaseException
        Whatever ended a command.
    """
    kind = type(error).__name__
    if _was_interrupted(error):
        error = KeyboardInterrupt()
    match error:
        case OnnxSplitError():
            message, exit_code = _one_line(error), error.exit_code
        case KeyboardInterrupt() | typer.Abort():
            kind, message, exit_code = "Interrupted", "Interrupted.", INTERRUPTED
        case MemoryError():
            message = "There is not enough memory; use a smaller model or batch."
            exit_code = USAGE
        case OSError() if not isinstance(error, TimeoutError | ConnectionError):
            message, exit_code = _explain_os(error), USAGE
        case _ if isinstance(error, CommandLineError):
            kind, message, exit_code = "UsageError", _explain_usage(error), USAGE
        case _:
            message, exit_code = _explain_bug(error), BUG
    return Failure(kind=kind, message=message, exit_code=exit_code)


def is_bug(failure: Failure) -> bool:
    """Whether the failure is ours, so that a traceback is of use."""
    return failure.exit_code == BUG


def _was_interrupted(error: BaseException) -> bool:
    """Whether a library only wraps Ctrl-C, as compiled ones do while they are imported."""
    causes: set[BaseException] = set()
    while isinstance(error, ImportError) and error not in causes:
        causes.add(error)
        error = error.__cause__ or error.__context__ or error
    return isinstance(error, KeyboardInterrupt)


def _one_line(error: BaseException) -> str:
    """Return the error's text without line breaks and control characters."""
    text = " ".join(str(error).split())
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _explain_bug(error: BaseException) -> str:
    """Own up, and ask for a report."""
    return (
        f"This is a bug in onnxsplit: {type(error).__name__}: {_one_line(error)}."
        " Please report it with the output of the same command and --debug."
    )


def _explain_os(error: OSError) -> str:
    """Name the file and the system's reason."""
    reason = error.strerror or _one_line(error) or type(error).__name__
    names = [repr(str(name)) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {reason}." if names else f"{reason}."


def _explain_usage(error: Any) -> str:  # noqa: ANN401 - the class differs between typer's releases
    """Finish the parser's sentence: where a value came from, and where help is."""
    sentence = " ".join(error.format_message().split()).replace(": Value error, ", ": ")
    context = getattr(error, "ctx", None)
    parameter = getattr(error, "param", None)
    if context is None:
        return _end(sentence)
    source = context.meta.get("onnxsplit.sources", {}).get(getattr(parameter, "name", ""))
    origin = f" It was set by {source}." if source and _is_configured(context, parameter) else ""
    return f"{_end(sentence)}{origin} See '{context.command_path} --help'."


def _is_configured(context: Any, parameter: Any) -> bool:  # noqa: ANN401 - likewise
    """Whether the value came from the environment or a file, not from the command line."""
    source = context.get_parameter_source(parameter.name)
    return getattr(source, "name", "") in {"DEFAULT_MAP", ""}


def _end(sentence: str) -> str:
    """Close a sentence with a full stop, if nothing closes it yet."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."
