"""Training data: batches in a seeded order, which both halves can work out from a batch's id."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import UsageError
from onnxsplit.graph import Dim, TensorSpec

LABEL_NAMES = ("label", "labels", "y", "target", "targets")
"""Under which the labels may be found in a file."""
_WHOLE = "biu"
"""Kinds of numpy's types: truth values and whole numbers."""
_NUMBERS = f"{_WHOLE}f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Examples of one step.

    Parameters
    ----------
    id : str
        ``<epoch>/<place>``; the same seed and data give the same batch.
    inputs : mapping of str to array
        Model input to its values.
    label : array
    """

    id: str
    inputs: Mapping[str, Array]
    label: Array

    @property
    def rows(self) -> int:
        """Number of examples."""
        return int(self.label.shape[0]) if self.label.ndim else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPorts:
    """What a model's training stages are fed.

    Parameters
    ----------
    inputs : tuple of TensorSpec
    label : TensorSpec
    has_classes : bool
        Whether labels name classes, from 0 on.
    classes : int or None
        How many there are, where that is known.
    """

    inputs: tuple[TensorSpec, ...]
    label: TensorSpec
    has_classes: bool = False
    classes: int | None = None

    @property
    def fixed_rows(self) -> int | None:
        """The batch size that the model is made for; None if any will do."""
        sizes = {spec.shape[0] for spec in (*self.inputs, self.label) if spec.shape}
        fixed = [size for size in sizes if isinstance(size, int)]
        return min(fixed) if fixed else None


class TrainingData(Protocol):
    """A source of batches."""

    def count(self) -> int | None:
        """Return how many batches an epoch has, if that is known beforehand."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield an epoch's batches; the same number gives the same ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedData:
    """Arrays in one or several shards; only one shard is in memory at a time.

    Parameters
    ----------
    shards : sequence of callable
        Each returns a mapping of name to array.
    rows : sequence of int
        Of each shard.
    ports : DataPorts
    batch_size : int
    seed : int or None
        Of the shuffling: the order of the shards, and of the rows within each; None keeps the
        order of the files.
    drop_last : bool
        Leave out a shard's last batch if it is not full.
    """

    shards: Sequence[Callable[[], Mapping[str, Array]]]
    rows: Sequence[int]
    ports: DataPorts
    batch_size: int
    seed: int | None = 0
    drop_last: bool = False

    def __post_init__(self) -> None:
        """Refuse batches of no size and data without any."""
        if self.batch_size < 1:
            raise UsageError(f"The batch size is {self.batch_size}; give at least 1.")
        if not self.count():
            raise UsageError(
                f"The data has {sum(self.rows)} examples, too few for a batch of {self.batch_size}."
            )

    def count(self) -> int:
        """Return how many batches an epoch has."""
        if self.drop_last:
            return sum(rows // self.batch_size for rows in self.rows)
        return sum(-(-rows // self.batch_size) for rows in self.rows)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield an epoch's batches."""
        # A generator for each epoch: whoever resumes there needs no other state.
        random = None if self.seed is None else np.random.default_rng((self.seed, number))
        shards = range(len(self.shards)) if random is None else random.permutation(len(self.shards))
        place = 0
        for shard in shards:
            order = np.arange(self.rows[shard])
            if random is not None:
                random.shuffle(order)
            arrays = self.shards[shard]()
            for start in range(0, len(order), self.batch_size):
                chosen = order[start : start + self.batch_size]
                if self.drop_last and len(chosen) < self.batch_size:
                    break
                values = {name: array[chosen] for name, array in arrays.items()}
                yield fit_batch(f"{number}/{place}", values, self.ports)
                place += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IterableData:
    """Batches that a caller's own iterable gives; each epoch iterates anew.

    Parameters
    ----------
    batches : iterable
        Of mappings of name to array, or of pairs of an input, or a mapping of inputs, and a label.
    ports : DataPorts
    """

    batches: Iterable[object]
    ports: DataPorts

    def count(self) -> int | None:
        """Return how many batches an epoch has, if the iterable tells."""
        try:
            return len(self.batches)  # type: ignore[arg-type]  # not every iterable has a length
        except TypeError:
            return None

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield an epoch's batches, in the order of the iterable."""
        for place, given in enumerate(self.batches):
            yield fit_batch(f"{number}/{place}", name_values(given, self.ports), self.ports)


def name_values(given: object, ports: DataPorts) -> dict[str, Array]:
    """Turn what an iterable gave into named arrays.

    Raises
    ------
    UsageError
        It is neither a mapping nor a pair.
    """
    if isinstance(given, Mapping):
        return {str(name): np.asarray(value) for name, value in given.items()}
    if isinstance(given, tuple | list) and len(given) == 2:  # noqa: PLR2004 - a pair
        inputs, label = given
        if not isinstance(inputs, Mapping):
            inputs = {ports.inputs[0].name: inputs}
        return {**{n: np.asarray(v) for n, v in inputs.items()}, LABEL_NAMES[0]: np.asarray(label)}
    raise UsageError(
        "Each batch must be a mapping of names to arrays, or a pair of inputs and labels; it is"
        f" {type(given).__name__}."
    )


def match_names(names: Iterable[str], ports: DataPorts) -> dict[str, str]:
    """Map what the stages are fed to the names of the data.

    Returns
    -------
    dict of str to str
        Model inputs, and ``label``. A single input may have any name.

    Raises
    ------
    UsageError
        An array is missing.
    """
    there = list(names)
    label = next((name for name in LABEL_NAMES if name in there), None)
    if label is None:
        raise UsageError(
            f"The data has no labels: none of {', '.join(LABEL_NAMES)} is among"
            f" {', '.join(there) or 'nothing'}."
        )
    others = [name for name in there if name != label]
    if len(ports.inputs) == 1 and ports.inputs[0].name not in there and len(others) == 1:
        return {ports.inputs[0].name: others[0], LABEL_NAMES[0]: label}
    for spec in ports.inputs:
        if spec.name not in there:
            raise UsageError(
                f"The data has no array {spec.name!r}, which the model takes; it has"
                f" {', '.join(there)}."
            )
    return {**{spec.name: spec.name for spec in ports.inputs}, LABEL_NAMES[0]: label}


def fit_batch(batch_id: str, values: Mapping[str, Array], ports: DataPorts) -> Batch:
    """Give arrays the types that the stages take, and check their shapes.

    Raises
    ------
    UsageError
        An array is missing, its shape does not fit, or a label names no class.
    """
    found = match_names(values, ports)
    label = _fit(values[found[LABEL_NAMES[0]]], ports.label)
    if ports.has_classes:
        _check_classes(label, ports.classes)
    return Batch(
        id=batch_id,
        inputs={spec.name: _fit(values[found[spec.name]], spec) for spec in ports.inputs},
        label=label,
    )


def _check_classes(label: Array, classes: int | None) -> None:
    """Refuse labels that name no class; the runtime would count negative ones from the end."""
    if not label.size:
        return
    least, most = int(label.min()), int(label.max())
    if least < 0 or (classes is not None and most >= classes):
        upto = "" if classes is None else f" to {classes - 1}"
        raise UsageError(
            f"The labels go from {least} to {most}, and the classes are numbered from 0{upto}."
        )


def check_shape(name: str, shape: Sequence[int], spec: TensorSpec) -> None:
    """Refuse examples of another shape than the model takes, whatever their number.

    Raises
    ------
    UsageError
    """
    if not spec.shape:
        return
    if not _fits(shape[1:], spec.shape[1:]) or not shape:
        raise UsageError(
            f"The array {name!r} has the shape {list(shape)}, and the model takes"
            f" {list(spec.shape)}."
        )


def check_labels(label: Array, ports: DataPorts) -> None:
    """Refuse labels that are no numbers of the right kind, or name no class.

    Raises
    ------
    UsageError
    """
    fitted = _cast(label, ports.label)
    if ports.has_classes:
        _check_classes(fitted, ports.classes)


def _fit(value: Array, spec: TensorSpec) -> Array:
    """Give one array its type and check its shape."""
    if spec.shape is not None and not _fits(value.shape, spec.shape):
        raise UsageError(
            f"A batch of {spec.name!r} has the shape {list(value.shape)}, and the model takes"
            f" {list(spec.shape)}."
        )
    return _cast(value, spec)


def _fits(shape: Sequence[int], wanted: Sequence[Dim]) -> bool:
    """Tell whether a shape is one that was asked for; dims with a name may have any size."""
    return len(shape) == len(wanted) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(wanted, shape, strict=True)
    )


def _cast(value: Array, spec: TensorSpec) -> Array:
    """Give an array the type that the model takes, if that loses nothing but precision."""
    if value.dtype.name == spec.dtype:
        return np.ascontiguousarray(value)
    if value.dtype.kind not in _NUMBERS:
        raise UsageError(
            f"The values of {spec.name!r} are of the type {value.dtype}, and the model takes"
            f" {spec.dtype}; give numbers."
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what is lost is looked for here
        made = np.ascontiguousarray(value, dtype=spec.dtype)
    if made.dtype.kind in _WHOLE and not np.array_equal(made, value):
        raise UsageError(
            f"The values of {spec.name!r} are of the type {value.dtype}, and some are no whole"
            f" numbers that {spec.dtype}, which the model takes, can hold."
        )
    return made
