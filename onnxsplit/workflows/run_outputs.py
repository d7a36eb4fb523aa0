"""What `run` leaves: one archive for one set of inputs, or one for each in a folder."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import OutputError
from onnxsplit.model.publication import open_draft, publish, translate_failures
from onnxsplit.runtime.run_traces import RunResult

_PIPE = "-"


@dataclass(slots=True, kw_only=True)
class RunOutputs:
    """Gathers outputs, and writes them when all are there.

    Parameters
    ----------
    target : str
        An ``.npz`` file, or ``-`` for the pipe: outputs by name, ``name@0``, ``name@1``, ... where
        there are several sets. Those of runs that were dropped are left out; numbers stay.
    pipe : binary file
    force : bool
        Replace a file that is there.
    """

    target: str
    pipe: BinaryIO
    force: bool = False
    _sets: dict[int, Mapping[str, Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is taken before anything runs."""
        path = Path(self.target)
        if self.target == _PIPE or not path.exists():
            return
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give the name of an .npz file.")
        if not self.force:
            raise OutputError(f"{path} is there already; give --force to replace it.")

    def add(self, result: RunResult) -> None:
        """Keep the outputs of one run."""
        if result.outputs:
            self._sets[result.trace.index] = result.outputs

    def write(self, *, is_sequence: bool) -> None:
        """Write all of it; a file appears whole.

        Raises
        ------
        OutputError
            It can't be written.
        """
        arrays = {
            f"{name}@{index}" if is_sequence else name: _widen(array)
            for index, outputs in self._sets.items()
            for name, array in outputs.items()
        }
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type] # names are no keyword of its own
        if self.target == _PIPE:
            with translate_failures("The pipe"):
                self.pipe.write(content.getbuffer())
                self.pipe.flush()
            return
        path = Path(self.target).absolute()
        with open_draft(path) as draft:
            (draft / path.name).write_bytes(content.getbuffer())
            publish([(draft / path.name, path)])


def _widen(array: Array) -> Array:
    """Make of an array what any reader knows, without pickling: plain strings and floats."""
    if array.dtype.kind == "O":
        return array.astype(str)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
