"""What `run` is fed: one set of inputs or a sequence, from files or a pipe."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from onnxsplit.errors import UsageError
from onnxsplit.model.inputs import Array, read_sets

_PIPE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs:
    """Sets of inputs, in order.

    Parameters
    ----------
    source : Path or None
        An ``.npz`` file: plain names for one set, ``name@0``, ``name@1``, ... for several; or a
        folder of such files, taken by name. None for the pipe.
    pipe : binary file
        Read to its end where there is no path: one ``.npz`` archive.
    repeat : int
        How often all of it is gone through.
    every_seconds : float
        Least time from one set to the next, as of a live source.
    """

    source: Path | None
    pipe: BinaryIO
    repeat: int = 1
    every_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse to go through nothing."""
        if self.repeat < 1:
            raise UsageError(f"--repeat {self.repeat}: give at least 1.")

    @property
    def files(self) -> list[Path]:
        """The files that are read, in order.

        Raises
        ------
        UsageError
            A folder holds none.
        """
        if self.source is None:
            return []
        if not self.source.is_dir():
            return [self.source]
        found = sorted(path for path in self.source.iterdir() if path.suffix == ".npz")
        if not found:
            raise UsageError(f"{self.source} holds no .npz files.")
        return found

    def __iter__(self) -> Iterator[dict[str, Array]]:
        """Give one set after the other; files are read when their turn comes."""
        next_seconds = time.monotonic()
        for feeds in self._repeat():
            time.sleep(max(0.0, next_seconds - time.monotonic()))
            next_seconds = max(next_seconds, time.monotonic() - self.every_seconds)
            next_seconds += self.every_seconds
            yield feeds

    def _repeat(self) -> Iterator[dict[str, Array]]:
        """Go through all of it as often as wanted; what is small enough is kept, not read again."""
        files = self.files
        if len(files) > 1:
            for _ in range(self.repeat):
                for path in files:
                    yield from read_sets(path, str(path))
            return
        sets = read_sets(files[0], str(files[0])) if files else self._read_pipe()
        for _ in range(self.repeat):
            yield from sets

    def _read_pipe(self) -> list[dict[str, Array]]:
        """Read the pipe to its end: archives need seeking."""
        data = self.pipe.read()
        if not data:
            raise UsageError("Nothing came in by the pipe; give an .npz archive.")
        return read_sets(io.BytesIO(data), "The pipe")


def find_source(text: str) -> Path | None:
    """Read what ``--inputs`` says; None for the pipe."""
    return None if text == _PIPE else Path(text)
