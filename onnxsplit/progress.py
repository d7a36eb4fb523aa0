"""The protocol that long work reports to; only the command line and reports render it."""

from typing import Protocol


class Progress(Protocol):
    """Receives how far long work has come.

    Implementations must be cheap: work may report many times a second.
    """

    def report(self, label: str, *, done: int = 0, total: int | None = None) -> None:
        """Say what is being done now.

        Parameters
        ----------
        label : str
            What is being done, such as ``profiling``.
        done, total : int
            Steps done and steps in all; ``total`` is None where it can't be known.
        """


class SilentProgress:
    """Receives reports and shows nothing."""

    def report(self, label: str, *, done: int = 0, total: int | None = None) -> None:
        """Drop the report."""
