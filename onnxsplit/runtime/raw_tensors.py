"""A tensor's elements as raw bytes: little-endian, row-major, strings with their lengths.

Source: "Binary Tensor Data Extension" of the Open Inference Protocol; nothing is copied where the
bytes in memory are those that travel.
"""

import math
import struct
from collections.abc import Sequence

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import ProtocolError
from onnxsplit.runtime.datatypes import BYTES, find_numpy_dtype

_LENGTH = struct.Struct("<I")
_LARGEST_RANK = 32
"""What every numpy release takes."""

_LARGEST_BYTES = 2**62


def check_shape(name: str, shape: object) -> tuple[int, ...]:
    """Read a shape as JSON holds it.

    Raises
    ------
    ProtocolError
        It is no list of whole numbers that are not negative, or far too large.
    """
    if not isinstance(shape, list) or len(shape) > _LARGEST_RANK:
        raise ProtocolError(
            f"The shape of tensor {name!r} must be a list of at most {_LARGEST_RANK} dims."
        )
    for dim in shape:
        if type(dim) is not int or dim < 0:
            raise ProtocolError(
                f"The shape of tensor {name!r} holds {dim!r}; dims are whole numbers from 0 on."
            )
    if math.prod(dim or 1 for dim in shape) * 16 > _LARGEST_BYTES:
        raise ProtocolError(f"The shape {shape} of tensor {name!r} is larger than any memory.")
    return tuple(shape)


def write_raw(array: Array, datatype: str) -> memoryview:
    """Return an array's bytes as they travel; a view of its own memory where that is possible."""
    if datatype == BYTES:
        return memoryview(_write_strings(array))
    dtype = find_numpy_dtype(datatype)
    plain = np.ascontiguousarray(array, dtype=dtype)
    return plain.reshape(-1).view(np.uint8).data


def read_raw(name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Array:
    """Return the array whose bytes travelled; a view of them where they are aligned.

    Parameters
    ----------
    name : str
        The tensor's name, for errors.
    datatype : str
    shape : tuple of int
    data : memoryview of bytes
        All of the tensor's, and nothing else.

    Raises
    ------
    ProtocolError
        There are more or fewer bytes than the shape takes, or they are no values of this type.
    """
    if datatype == BYTES:
        return _fill_objects(_read_strings(name, math.prod(shape), data), shape)
    dtype = find_numpy_dtype(datatype)
    needed = math.prod(shape) * dtype.itemsize
    if len(data) != needed:
        raise ProtocolError(
            f"Tensor {name!r} of shape {list(shape)} and datatype {datatype} takes {needed} bytes,"
            f" and {len(data)} were sent."
        )
    if not needed:
        return np.zeros(shape, dtype)
    array: Array = np.ndarray(shape, dtype, buffer=data)
    if datatype == "BOOL" and int(array.view(np.uint8).max()) > 1:
        raise ProtocolError(f"Tensor {name!r} of datatype BOOL holds bytes other than 0 and 1.")
    return array if array.flags.aligned else array.copy()


def encode_text(element: object) -> bytes:
    """Return a string's UTF-8.

    Raises
    ------
    ProtocolError
        It is no string, or one without an encoding.
    """
    if not isinstance(element, str):
        raise ProtocolError(
            f"An array of objects holds {type(element).__name__}; only strings travel in one."
        )
    try:
        return element.encode()
    except UnicodeEncodeError:
        raise ProtocolError(
            f"The string {element!a} has no encoding, so it can't travel."
        ) from None


def _write_strings(array: Array) -> bytes:
    """Write each string as its length, in four bytes, and its UTF-8."""
    parts = []
    for element in array.reshape(-1).tolist():
        content = element if isinstance(element, bytes) else encode_text(element)
        parts += [_LENGTH.pack(len(content)), content]
    return b"".join(parts)


def _read_strings(name: str, count: int, data: memoryview) -> list[str]:
    """Read as many strings as the shape holds, and no more."""
    strings: list[str] = []
    place = 0
    for _ in range(count):
        start = place + _LENGTH.size
        place = start + (_LENGTH.unpack_from(data, place)[0] if start <= len(data) else 0)
        if max(start, place) > len(data):
            raise ProtocolError(
                f"Tensor {name!r} holds {count} strings, and its bytes end within number"
                f" {len(strings) + 1}."
            )
        try:
            strings.append(str(data[start:place], "utf-8"))
        except UnicodeDecodeError:
            raise ProtocolError(
                f"Tensor {name!r} holds a string, number {len(strings) + 1}, that is no UTF-8."
            ) from None
    if place != len(data):
        raise ProtocolError(
            f"Tensor {name!r} holds {count} strings, and {len(data) - place} bytes follow them."
        )
    return strings


def _fill_objects(values: Sequence[str], shape: tuple[int, ...]) -> Array:
    """Put strings into an array of objects, as onnxruntime takes them."""
    array: Array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)
