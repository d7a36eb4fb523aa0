"""Read training data: an ``.npz`` file, or a folder of them as shards."""

import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import UsageError
from onnxsplit.training.data import (
    LABEL_NAMES,
    DataPorts,
    IterableData,
    ShardedData,
    TrainingData,
    check_labels,
    check_shape,
    match_names,
)

DataSource = str | os.PathLike[str] | Mapping[str, Array] | Iterable[object]
"""A file, a folder, arrays, or an iterable of batches."""


def open_data(
    source: DataSource, ports: DataPorts, *, batch_size: int | None, seed: int | None
) -> TrainingData:
    """Open training data.

    Parameters
    ----------
    source : path, mapping of str to array, or iterable of batches
    ports : DataPorts
    batch_size : int, optional
        Not for iterables, which make their own batches; 32 if neither it nor the model says.
    seed : int or None
        Of the shuffling; None for no shuffling.

    Raises
    ------
    UsageError
        The data can't be read or does not fit the model.
    """
    if isinstance(source, Mapping):
        return _hold(source, ports, batch_size, seed)
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source), ports, batch_size, seed)
    return IterableData(batches=source, ports=ports)


def open_clients(
    sources: Sequence[DataSource],
    ports: DataPorts,
    *,
    count: int,
    batch_size: int | None,
    seed: int | None,
) -> tuple[TrainingData, ...]:
    """Open the data of each client.

    Parameters
    ----------
    sources : sequence of DataSource
        One for each client, or arrays or a file whose every `count`-th example is a client's.
    ports : DataPorts
    count : int
    batch_size, seed
        As of `open_data`.

    Raises
    ------
    UsageError
        The data can't be read, does not fit the model, or can't be divided.
    """
    if len(sources) == 1 and count > 1:
        sources = _divide(sources[0], ports, count)
    elif count not in {1, len(sources)}:
        raise UsageError(
            f"There are {len(sources)} sources of data, and {count} clients; give data for each, or"
            " once for all."
        )
    return tuple(open_data(source, ports, batch_size=batch_size, seed=seed) for source in sources)


def _divide(source: DataSource, ports: DataPorts, count: int) -> list[DataSource]:
    """Divide data among clients."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            raise UsageError(
                f"{path} is a folder of shards; to divide it, give each client's by a --data of its"
                " own."
            )
        if not path.is_file():
            raise UsageError(f"{path} does not exist; give an .npz file or a folder of them.")
        source = _read(path, ports)
    if not isinstance(source, Mapping):
        raise UsageError("An iterable of batches can't be divided; give one for each client.")
    rows = _count_rows({n: np.asarray(v).shape for n, v in source.items()}, ports, "the data")
    if rows < count:
        raise UsageError(f"The data has {rows} examples, too few for {count} clients.")
    return [
        {name: np.asarray(value)[place::count] for name, value in source.items()}
        for place in range(count)
    ]


def _hold(
    arrays: Mapping[str, Array], ports: DataPorts, batch_size: int | None, seed: int | None
) -> ShardedData:
    """Take arrays that are in memory."""
    arrays = {name: np.asarray(value) for name, value in arrays.items()}
    rows = _count_rows({name: value.shape for name, value in arrays.items()}, ports, "the data")
    _check_all_labels(arrays, ports)
    return _make([lambda: arrays], [rows], ports, batch_size, seed)


def _open_path(
    path: Path, ports: DataPorts, batch_size: int | None, seed: int | None
) -> ShardedData:
    """Open a file or a folder."""
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if not files:
            raise UsageError(f"The folder {path} holds no .npz files.")
    elif path.is_file():
        files = [path]
    else:
        raise UsageError(f"{path} does not exist; give an .npz file or a folder of them.")
    rows = [_count_rows(_read_shapes(file), ports, str(file)) for file in files]
    if len(files) == 1:
        arrays = _read(files[0], ports)
        _check_all_labels(arrays, ports)
        return _make([lambda: arrays], rows, ports, batch_size, seed)
    return _make([partial(_read, file, ports) for file in files], rows, ports, batch_size, seed)


def _make(
    shards: list[Callable[[], Mapping[str, Array]]],
    rows: list[int],
    ports: DataPorts,
    batch_size: int | None,
    seed: int | None,
) -> ShardedData:
    """Choose the batch size: that of the model, if it is made for one."""
    fixed = ports.fixed_rows
    if fixed is not None and batch_size not in {None, fixed}:
        raise UsageError(
            f"The model takes batches of {fixed} rows only, not {batch_size}; leave --batch-size"
            " out, or export the model with a symbolic batch."
        )
    return ShardedData(
        shards=shards,
        rows=rows,
        ports=ports,
        batch_size=fixed or (32 if batch_size is None else batch_size),
        seed=seed,
        drop_last=fixed is not None,
    )


def _count_rows(shapes: Mapping[str, tuple[int, ...]], ports: DataPorts, what: str) -> int:
    """Return the number of examples.

    Raises
    ------
    UsageError
        An array is missing, or the arrays have different numbers of rows.
    """
    try:
        found = match_names(shapes, ports)
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    rows = {name: (shapes[name] or (0,))[0] for name in found.values()}
    if len(set(rows.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise UsageError(f"{what}: the arrays have different numbers of examples: {shown}.")
    for spec in (*ports.inputs, ports.label):
        name = found[spec.name if spec is not ports.label else LABEL_NAMES[0]]
        try:
            check_shape(name, shapes[name], spec)
        except UsageError as error:
            raise UsageError(f"{what}: {error}") from error
    return next(iter(rows.values()))


def _check_all_labels(arrays: Mapping[str, Array], ports: DataPorts) -> None:
    """Check labels that are in memory before any work, rather than batch by batch."""
    check_labels(arrays[match_names(arrays, ports)[LABEL_NAMES[0]]], ports)


def _read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes in a file's headers."""
    try:
        shapes = {}
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                with archive.open(entry) as member:
                    version = np.lib.format.read_magic(member)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shapes[entry.removesuffix(".npy")] = read(member)[0]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} can't be read as .npz: {error}.") from error
    return shapes


def _read(path: Path, ports: DataPorts) -> dict[str, Array]:
    """Read the arrays that are used."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            wanted = match_names(archive.files, ports).values()
            return {name: archive[name] for name in wanted}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} can't be read as .npz: {error}.") from error
