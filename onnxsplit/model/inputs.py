"""Inputs for a model: drawn to fit its types, or read from ``.npz`` files."""

import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx

from onnxsplit.errors import ModelError, UnsupportedModelError, UsageError, suggest
from onnxsplit.graph import TensorSpec
from onnxsplit.model.loading import LoadedModel
from onnxsplit.model.sizes import read_input_specs

Array = npt.NDArray[Any]

_DEFAULT_INDEX_LIMIT = 2
"""Unknown integers are drawn from 0 and 1: in range for nearly anything that they might index."""

_UNBOUNDED = 2**40
"""Stands for no limit."""

_IMAGE_RANK = 3

_WIDEST_DRAW = 16
"""Bytes of the widest number that is drawn for a byte of the input."""

_PASSES = frozenset(
    {"Cast", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that hand an index on to the operator that looks it up."""

_SIZE_INPUTS: Mapping[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1,),
    "Reshape": (1,),
    "Tile": (1,),
    "TopK": (1,),
}
"""Inputs that hold sizes; ones are valid wherever anything is."""


def draw_inputs(
    model: LoadedModel, specs: Mapping[str, TensorSpec], *, seed: int
) -> dict[str, Array]:
    """Draw random inputs that fit a model's types.

    Parameters
    ----------
    model : LoadedModel
    specs : mapping of str to TensorSpec
        Concrete input shapes.
    seed : int

    Returns
    -------
    dict of str to ndarray
        Floats are normal; integers that index a table lie within it; masks are mostly ones;
        integers that are sizes are ones; other integers are 0 or 1.

    Raises
    ------
    UnsupportedModelError
        An input is a sequence, an optional or a map, which can't be drawn; give ``--inputs``.
    ModelError
        An input does not fit into memory.
    """
    rng = np.random.default_rng(seed)
    uses = _Uses.of(model.proto.graph)
    return {name: _draw_within_memory(spec, rng, uses) for name, spec in specs.items()}


def read_batches(path: Path, model: LoadedModel) -> tuple[dict[str, Array], ...]:
    """Read one or several sets of inputs from an ``.npz`` file.

    Parameters
    ----------
    path : Path
        Arrays named as the inputs; or ``name@0``, ``name@1``, ... for several sets.
    model : LoadedModel

    Raises
    ------
    UsageError
        The file can't be read, or an array is missing, unknown, or of another type or shape.
    """
    return tuple(check_feeds(feeds, model, str(path)) for feeds in read_sets(path, str(path)))


def read_sets(archive: Path | BinaryIO, name: str) -> list[dict[str, Array]]:
    """Read one or several sets of arrays from an ``.npz`` archive; what they mean is not checked.

    Parameters
    ----------
    archive : Path or binary file
        Plain names, or ``name@0``, ``name@1``, ... for several sets. A file must allow seeking.
    name : str
        How an error calls it.

    Raises
    ------
    UsageError
        It can't be read, holds pickled objects, or mixes both ways of naming.
    """
    arrays = _read_arrays(archive, name)
    numbers = sorted({name.rpartition("@")[2] for name in arrays if "@" in name}, key=_as_number)
    if not numbers:
        return [arrays]
    if any("@" not in key for key in arrays):
        raise UsageError(f"{name} mixes arrays with and without '@'; use one way.")
    return [
        {key.rpartition("@")[0]: array for key, array in arrays.items() if key.endswith(f"@{n}")}
        for n in numbers
    ]


def check_feeds(feeds: Mapping[str, Array], model: LoadedModel, source: str) -> dict[str, Array]:
    """Check that arrays are just the model's inputs, in name, type and shape.

    Raises
    ------
    UsageError
        One is missing, unknown, or of another type or shape.
    """
    specs = read_input_specs(model)
    for name in feeds:
        if name not in specs:
            raise UsageError(f"{source}: the model has no input {name!r}. {suggest(name, specs)}")
    for name, spec in specs.items():
        if name not in feeds:
            raise UsageError(f"{source}: there is no array for the input {name!r}.")
        _check_array(feeds[name], spec, source)
    return {name: feeds[name] for name in specs}


def _check_array(array: Array, spec: TensorSpec, source: str) -> None:
    """Check one array against the input's declared type."""
    if spec.kind != "tensor":
        return
    wanted = numpy_dtype(spec.dtype)
    if wanted is not None and array.dtype != wanted and spec.dtype != "string":
        raise UsageError(
            f"{source}: the array {spec.name!r} is {array.dtype}, and the input is {spec.dtype};"
            f" convert it with .astype({str(wanted)!r})."
        )
    if spec.shape is None:
        return
    fits = len(spec.shape) == array.ndim and all(
        not isinstance(dim, int) or dim == size
        for dim, size in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        shown = ",".join("?" if dim is None else str(dim) for dim in spec.shape)
        raise UsageError(
            f"{source}: the array {spec.name!r} has the shape {list(array.shape)}, and the input"
            f" is [{shown}]."
        )


def _read_arrays(archive: Path | BinaryIO, name: str) -> dict[str, Array]:
    """Read all arrays of an ``.npz`` archive; pickled objects are refused."""
    try:
        arrays = np.load(archive, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise UsageError(f"{name} holds one array; save named ones with numpy.savez.")
        with arrays:
            return {key: arrays[key] for key in arrays.files}
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {name}.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        # numpy takes whatever it does not know for a pickle, and would tell how to trust it.
        reason = "it is no archive, or holds objects" if "pickle" in str(error) else str(error)
        raise UsageError(
            f"{name} can't be read as .npz ({reason}); save plain arrays with numpy.savez."
        ) from error


def _as_number(text: str) -> int:
    """Read the number after ``@``."""
    if not text.isdecimal():
        raise UsageError(f"The set {text!r} is no number; name arrays like 'image@0', 'image@1'.")
    return int(text)


def numpy_dtype(dtype: str | None) -> np.dtype[Any] | None:
    """Return the numpy dtype of an ONNX element type, or None if it is not known."""
    if dtype is None:
        return None
    if dtype == "string":
        return np.dtype(object)
    narrow = getattr(ml_dtypes, _ml_name(dtype), None)
    try:
        found: np.dtype[Any] = np.dtype(dtype if narrow is None else narrow)
    except TypeError:
        return None
    return found


def _ml_name(dtype: str) -> str:
    """Return ml_dtypes' spelling, which has an underscore in the narrow floats."""
    if dtype.startswith(("float8", "float4")):
        return f"{dtype[:6]}_{dtype[6:]}"
    return dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class _Uses:
    """What reads each value, and the shapes of the tables that may be indexed.

    Parameters
    ----------
    readers : mapping of str to list of (node, place)
    tables : mapping of str to tuple of int
    """

    readers: Mapping[str, list[tuple[onnx.NodeProto, int]]]
    tables: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> Self:
        """Index a graph."""
        readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        for node in graph.node:
            for place, name in enumerate(node.input):
                readers.setdefault(name, []).append((node, place))
        return cls(
            readers=readers,
            tables={tensor.name: tuple(tensor.dims) for tensor in graph.initializer},
        )

    def follow(self, name: str) -> Iterator[tuple[onnx.NodeProto, int]]:
        """Yield the uses of a value, also behind operators that only hand it on."""
        pending, seen = [name], {name}
        while pending:
            for node, place in self.readers.get(pending.pop(), ()):
                yield node, place
                if node.op_type in _PASSES and place == 0:
                    pending.extend(value for value in node.output if value not in seen)
                    seen.update(node.output)

    def index_limit(self, name: str) -> int:
        """Return below which number an integer must stay to be a valid index everywhere."""
        limits = [_UNBOUNDED]
        for node, place in self.follow(name):
            if node.op_type == "Gather" and place == 1 and node.input[0] in self.tables:
                axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 0)
                limits.append(self.tables[node.input[0]][axis])
            elif node.op_type == "EmbedLayerNormalization" and place in {0, 1}:
                limits.append(self.tables.get(node.input[2 + 2 * place], (1,))[0])
        limit = min(limits)
        return limit if limit < _UNBOUNDED else _DEFAULT_INDEX_LIMIT

    def is_size(self, name: str) -> bool:
        """Tell whether a value is read as a size."""
        return any(place in _SIZE_INPUTS.get(node.op_type, ()) for node, place in self.follow(name))


def _draw_within_memory(spec: TensorSpec, rng: np.random.Generator, uses: _Uses) -> Array:
    """Draw one input, or say which one is too large."""
    # numpy has an error of its own for what no machine can address, so it is not asked.
    if (spec.size_bytes or 0) <= sys.maxsize // _WIDEST_DRAW:
        with suppress(MemoryError):
            return _draw(spec, rng, uses)
    shape = ",".join(str(dim) for dim in spec.shape or ())
    raise ModelError(
        f"The input {spec.name!r} at {shape} does not fit into memory; if its dims are free, give"
        " smaller ones with --dim or --shape."
    )


def _draw(spec: TensorSpec, rng: np.random.Generator, uses: _Uses) -> Array:
    """Draw one input."""
    dtype = numpy_dtype(spec.dtype)
    shape = tuple(dim for dim in spec.shape or () if isinstance(dim, int))
    if spec.kind != "tensor" or dtype is None:
        raise UnsupportedModelError(
            f"The input {spec.name!r} is {_word_kind(spec)}, which can't be drawn;"
            " give inputs with --inputs FILE.npz."
        )
    if "mask" in spec.name.lower():
        return _draw_mask(shape).astype(dtype)
    if spec.dtype == "string":
        return rng.integers(0, 10, shape).astype(str).astype(object)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5  # noqa: PLR2004 - a fair coin
    if dtype.kind in "iu" or "int" in dtype.name:
        return _draw_integers(spec, shape, rng, uses).astype(dtype)
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def _word_kind(spec: TensorSpec) -> str:
    """Say what an input is that is no dense tensor of a known type."""
    if spec.kind == "tensor":
        return f"of the element type {spec.dtype}"
    return {"optional": "an optional", "unknown": "of an unknown type"}.get(
        spec.kind, f"a {spec.kind.replace('_', ' ')}"
    )


def _draw_integers(
    spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator, uses: _Uses
) -> Array:
    """Draw integers: bytes of an image, sizes, or indices."""
    if uses.is_size(spec.name):
        return np.ones(shape, dtype=np.int64)
    if spec.dtype in {"uint8", "int8"} and len(shape) >= _IMAGE_RANK:
        low, high = (0, 256) if spec.dtype == "uint8" else (-128, 128)
        return rng.integers(low, high, shape)
    return rng.integers(0, max(1, uses.index_limit(spec.name)), shape)


def _draw_mask(shape: tuple[int, ...]) -> Array:
    """Make a mask of ones whose last tenth along the last axis is zeros."""
    mask = np.ones(shape, dtype=np.int64)
    if shape and shape[-1] > 1:
        mask[..., shape[-1] - max(1, shape[-1] // 10) :] = 0
    return mask
