"""State on disk, as safetensors: what each half keeps from one step to the next."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import BundleError, UsageError


def save_state(path: Path, state: Mapping[str, Array], notes: Mapping[str, str]) -> None:
    """Write a half's state; equal ones give equal bytes.

    Parameters
    ----------
    path : Path
    state : mapping of str to array
    notes : mapping of str to str
        Written into the file's header.

    Raises
    ------
    UsageError
        The extra ``train`` is not installed.
    OSError
        The file can't be written.
    """
    arrays = {name: np.array(value, order="C") for name, value in state.items()}
    # A single entry: the package writes several in an order that changes from run to run.
    told = {"onnxsplit": json.dumps(dict(notes), sort_keys=True)}
    path.write_bytes(_import().save(arrays, metadata=told))


def load_state(path: Path) -> dict[str, Array]:
    """Read a half's state.

    Raises
    ------
    UsageError
        The extra ``train`` is not installed.
    BundleError
        The file is missing or malformed.
    """
    package = _import()
    try:
        return {name: np.array(value) for name, value in package.load(path.read_bytes()).items()}
    except (OSError, ValueError, package.SafetensorError) as error:
        raise BundleError(f"The state {path} can't be read: {error}.") from error


def _import() -> ModuleType:
    """Import safetensors when it is needed."""
    try:
        import safetensors.numpy  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            'Training keeps its state in safetensors: pip install "onnxsplit[train]".'
        ) from error
    return safetensors.numpy
