"""Progress on stderr: a bar for people, a line for each step for logs."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import (
    Progress as RichProgress,
)

from onnxsplit.progress import Progress

REFRESH_SECONDS = 0.1


class BarProgress:
    """Draws one bar.

    It draws when work reports, at most ten times a second, and has no thread of its own: a thread
    would disturb what is being measured.

    Parameters
    ----------
    bar : rich.progress.Progress
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, bar: RichProgress, clock: Callable[[], float] = time.monotonic) -> None:
        self._bar = bar
        self._clock = clock
        self._label: str | None = None
        self._task: TaskID | None = None
        self._drawn_seconds = float("-inf")

    def report(self, label: str, *, done: int = 0, total: int | None = None) -> None:
        """Show the step and how far it has come."""
        now = self._clock()
        if self._task is None or label != self._label:
            self._begin(label, done, total)
        else:
            self._bar.update(self._task, completed=done, total=total)
            if now - self._drawn_seconds < REFRESH_SECONDS:
                return
            self._bar.refresh()
        self._drawn_seconds = now

    def _begin(self, label: str, done: int, total: int | None) -> None:
        """Replace the bar by that of the next step; adding it draws it."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._label = label
        self._task = self._bar.add_task(label, completed=done, total=total)


class LineProgress:
    """Writes a line when a new step begins.

    Parameters
    ----------
    stream : text file
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._label: str | None = None

    def report(self, label: str, *, done: int = 0, total: int | None = None) -> None:  # noqa: ARG002 - lines tell no counts
        """Write the label if it is not the last one."""
        if label != self._label:
            self._label = label
            self._stream.write(f"{label} ...\n")
            self._stream.flush()


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Give what draws on stderr, and clear it at the end."""
    if not sys.stderr.isatty():
        yield LineProgress(sys.stderr)
        return
    bar = RichProgress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
    )
    with bar:
        yield BarProgress(bar)
