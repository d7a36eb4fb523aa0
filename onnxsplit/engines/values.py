"""Values on their way into onnxruntime and out of it."""

import ctypes
import re
from typing import Any

import numpy as np
import onnxruntime

from onnxsplit.engines.narrow import NARROW_TYPES, find_narrow, pack, packed_bytes, unpack
from onnxsplit.engines.port import Array, Value
from onnxsplit.engines.trace import read_dtype


def convert(value: Value) -> Any:  # noqa: ANN401 - arrays, lists, None or onnxruntime's OrtValue
    """Convert an input to what onnxruntime takes."""
    if isinstance(value, np.ndarray) and find_narrow(value) is not None:
        return box(value)
    return list(value) if isinstance(value, tuple) else value


def box(value: Any) -> onnxruntime.OrtValue:  # noqa: ANN401 - an array or an OrtValue
    """Hand an array to onnxruntime; narrow element types are copied bit by bit."""
    if isinstance(value, onnxruntime.OrtValue):
        return value
    narrow = find_narrow(value)
    if narrow is None:
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(value, order="C"))
    boxed = onnxruntime.OrtValue.ortvalue_from_shape_and_type(value.shape, narrow.onnx, "cpu")
    packed = pack(value, narrow)
    ctypes.memmove(boxed.data_ptr(), packed.ctypes.data, packed.nbytes)
    return boxed


def unbox(value: onnxruntime.OrtValue) -> Array:
    """Copy a dense tensor out of onnxruntime."""
    dtype = re.sub(r"^tensor\((\w+)\)$", r"\1", value.data_type())
    narrow = NARROW_TYPES.get(read_dtype(dtype))
    if narrow is None:
        array: Array = value.numpy()
        return array
    shape = tuple(value.shape())
    size = packed_bytes(narrow, shape)
    packed = np.frombuffer(ctypes.string_at(value.data_ptr(), size), dtype=np.uint8).copy()
    return unpack(packed, narrow, shape)
