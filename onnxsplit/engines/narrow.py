"""Element types that numpy lacks, as arrays of ml_dtypes on our side and as bits on the engine's.

onnxruntime keeps two 4-bit elements in a byte, the first in the low half, and four 2-bit elements
likewise (ONNX, "Onnx TensorProto", int4 and uint4); ml_dtypes keeps one element in a byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from onnxsplit.engines.port import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowType:
    """One element type that numpy lacks.

    Parameters
    ----------
    numpy : numpy.dtype
        The ml_dtypes type.
    onnx : int
        The number of the element type in ``TensorProto.DataType``.
    bits : int
        Size of one element.
    """

    numpy: np.dtype[np.generic]
    onnx: int
    bits: int


NARROW_TYPES: Mapping[str, NarrowType] = {
    name: NarrowType(numpy=np.dtype(getattr(ml_dtypes, numpy)), onnx=number, bits=bits)
    for name, numpy, number, bits in (
        ("bfloat16", "bfloat16", 16, 16),
        ("float8e4m3fn", "float8_e4m3fn", 17, 8),
        ("float8e4m3fnuz", "float8_e4m3fnuz", 18, 8),
        ("float8e5m2", "float8_e5m2", 19, 8),
        ("float8e5m2fnuz", "float8_e5m2fnuz", 20, 8),
        ("uint4", "uint4", 21, 4),
        ("int4", "int4", 22, 4),
        ("float4e2m1", "float4_e2m1fn", 23, 4),
        ("float8e8m0", "float8_e8m0fnu", 24, 8),
        ("uint2", "uint2", 25, 2),
        ("int2", "int2", 26, 2),
    )
    if hasattr(ml_dtypes, numpy)
}
"""By ONNX's own names in lower case; the newest ones depend on the version of ml_dtypes."""

_BY_NUMPY = {narrow.numpy: narrow for narrow in NARROW_TYPES.values()}


def find_narrow(array: Array) -> NarrowType | None:
    """Return the narrow type of an array, or None if numpy knows its type."""
    return _BY_NUMPY.get(array.dtype)


def pack(array: Array, narrow: NarrowType) -> Array:
    """Return the bytes that the engine keeps for an array, in C order."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if narrow.bits >= 8:  # noqa: PLR2004 - bits of a byte
        return flat
    per_byte = 8 // narrow.bits
    mask = (1 << narrow.bits) - 1
    padded = np.zeros(-(-flat.size // per_byte) * per_byte, dtype=np.uint8)
    padded[: flat.size] = flat & mask
    shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(narrow.bits)
    packed: Array = np.bitwise_or.reduce(padded.reshape(-1, per_byte) << shifts, axis=1)
    return packed.astype(np.uint8)


def unpack(packed: Array, narrow: NarrowType, shape: tuple[int, ...]) -> Array:
    """Return the array whose bytes the engine keeps."""
    if narrow.bits >= 8:  # noqa: PLR2004 - bits of a byte
        return packed.view(narrow.numpy).reshape(shape)
    per_byte = 8 // narrow.bits
    shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(narrow.bits)
    spread = (packed[:, None] >> shifts) & np.uint8((1 << narrow.bits) - 1)
    elements = spread.reshape(-1)[: int(np.prod(shape, dtype=np.int64))]
    if narrow.numpy.name.startswith("int"):
        elements = _extend_sign(elements, narrow.bits)
    restored: Array = elements.view(narrow.numpy).reshape(shape)
    return restored


def _extend_sign(elements: Array, bits: int) -> Array:
    """Copy the sign bit of each element into the upper bits of its byte."""
    shift = np.int8(8 - bits)
    extended: Array = (elements.view(np.int8) << shift) >> shift
    return extended


def packed_bytes(narrow: NarrowType, shape: tuple[int, ...]) -> int:
    """Return how many bytes the engine keeps for a shape."""
    return -(-int(np.prod(shape, dtype=np.int64)) * narrow.bits // 8)
