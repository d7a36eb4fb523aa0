"""External data: read it in chunks, and write it into one file where it can be mapped to memory."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import onnx

from onnxsplit.errors import ModelError
from onnxsplit.graph import ITEM_BYTES, ModelIdentity
from onnxsplit.model.dtypes import DTYPE_NAMES
from onnxsplit.model.loading import (
    LoadedModel,
    locate_external_data,
    read_external_reference,
)

CHUNK_BYTES = 4 * 2**20
PAGE_BYTES = 4096
GRANULARITY_BYTES = 65536
"""Offsets of large tensors are multiples of this, the coarsest unit that systems map memory in."""
LARGE_BYTES = 2**20


def measure_external(tensor: onnx.TensorProto) -> int:
    """Return the bytes of a tensor whose data lies outside the model.

    Raises
    ------
    ModelError
        Neither the reference nor the element type tells.
    """
    _, _, length = read_external_reference(tensor)
    if length is not None:
        return length
    dtype = DTYPE_NAMES.get(tensor.data_type)
    if dtype is None or dtype not in ITEM_BYTES:
        raise ModelError(f"The external data of {tensor.name!r} has no length.")
    return math.ceil(math.prod(tensor.dims) * ITEM_BYTES[dtype])


def read_chunks(tensor: onnx.TensorProto, base_folder: Path | None) -> Iterator[bytes]:
    """Yield a tensor's external data piece by piece.

    Raises
    ------
    ModelError
        The file is missing, too short, outside the model's folder, or can't be read.
    """
    location, offset, _ = read_external_reference(tensor)
    owner = LoadedModel(proto=onnx.ModelProto(), base_folder=base_folder, identity=ModelIdentity())
    path = locate_external_data(owner, tensor)
    remaining = measure_external(tensor)
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while remaining and (chunk := file.read(min(CHUNK_BYTES, remaining))):
                remaining -= len(chunk)
                yield chunk
    except OSError as error:
        raise ModelError(
            f"The weights {tensor.name!r} in {location!r} can't be read: {error.strerror}."
        ) from error
    if remaining:
        raise ModelError(
            f"The external data file {location!r} ends {remaining} bytes before the end of"
            f" {tensor.name!r}; it was cut short or belongs to another model."
        )


class DataWriter:
    """Writes tensors into one file and makes them refer to it; a context manager.

    The file is made with the first tensor. Tensors that share their source or, in memory, their
    content share their place.

    Parameters
    ----------
    path : Path
    base_folder : Path or None
        Where the tensors' present external data lies.
    """

    def __init__(self, path: Path, base_folder: Path | None) -> None:
        self._file = path.open("xb")
        self._name = path.name
        self._base_folder = base_folder
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._places: dict[tuple[str, int, int], int] = {}
        self._contents: dict[bytes, int] = {}

    def move(self, tensor: onnx.TensorProto) -> None:
        """Write a tensor's data to the file, and change the tensor to refer to it.

        Raises
        ------
        ModelError
            Its present external data can't be read.
        OSError
            The file can't be written.
        """
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            location, offset, _ = read_external_reference(tensor)
            length = measure_external(tensor)
            source = (location, offset, length)
            if source not in self._places:
                self._places[source] = self._write(read_chunks(tensor, self._base_folder), length)
            place = self._places[source]
        else:
            length = len(tensor.raw_data)
            content = hashlib.sha256(tensor.raw_data).digest()
            if content not in self._contents:
                self._contents[content] = self._write(iter([tensor.raw_data]), length)
            place = self._contents[content]
            tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in (("location", self._name), ("offset", place), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))

    def close(self) -> str:
        """Close the file and return the sha256 of what it holds."""
        self._file.close()
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, chunks: Iterator[bytes], length: int) -> int:
        """Append data at the next aligned offset, and return the offset."""
        alignment = GRANULARITY_BYTES if length >= LARGE_BYTES else PAGE_BYTES
        self._append(bytes(-self._size_bytes % alignment))
        place = self._size_bytes
        for chunk in chunks:
            self._append(chunk)
        return place

    def _append(self, content: bytes) -> None:
        """Write and hash."""
        self._file.write(content)
        self._hash.update(content)
        self._size_bytes += len(content)
