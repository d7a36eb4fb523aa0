"""Results own stdout: whatever else writes there lands on stderr."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from onnxsplit.errors import OutputError


def claim_stdout() -> None:
    """Keep stdout for results, for the rest of the process.

    File descriptor 1 becomes a second stderr, so that native code which prints to it, at any time
    and even while the process ends, can't spoil a result. ``sys.stdout`` moves to a descriptor of
    its own. Nothing happens where there is no stdout, or where it is no real file.
    """
    _fill_closed_descriptors()
    stream = sys.stdout
    try:
        stream.flush()
        if stream.fileno() != 1:
            return
    except (AttributeError, OSError, ValueError):  # closed, or replaced by something in memory
        return
    # One that can't encode a name prints its escape instead of failing.
    sys.stdout = os.fdopen(
        os.dup(1), "w", encoding=stream.encoding, errors="backslashreplace", closefd=False
    )
    os.dup2(2, 1)


def _fill_closed_descriptors() -> None:
    """Lead a closed stdout or stderr nowhere, or the next open file would take its place."""
    for descriptor in (1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


@contextmanager
def divert_stdout() -> Iterator[None]:
    """Send what Python code prints to stdout to stderr meanwhile."""
    with redirect_stdout(sys.stderr):
        yield


def write_result(text: str) -> None:
    """Write a result to stdout; a reader that has gone away has read enough.

    Raises
    ------
    OutputError
        Stdout can't take it: the disk is full, for example.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
    except OSError as error:
        _abandon_stdout()
        raise OutputError(
            f"The result could not be written to stdout: {error.strerror}."
        ) from error


def flush_stdout() -> None:
    """Flush what is left before the process ends, as quietly as a result is written."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError:
            _abandon_stdout()


def _abandon_stdout() -> None:
    """Send the rest nowhere, so that the interpreter's last flush can't fail."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
