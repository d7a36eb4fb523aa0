"""A tensor's elements as the numbers, truth values and strings of a JSON list."""

import math
from itertools import chain
from typing import Any

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import ProtocolError
from onnxsplit.runtime.datatypes import BYTES, DTYPE_OF, find_numpy_dtype

_FLOATS = ("FP", "BF")


def write_list(name: str, array: Array, datatype: str) -> list[Any]:
    """Return an array's elements, flat and in row-major order.

    Raises
    ------
    ProtocolError
        JSON has no way to write one of them.
    """
    flat = array.reshape(-1)
    if datatype == BYTES:
        return [_write_string(name, element) for element in flat.tolist()]
    if not datatype.startswith(_FLOATS):
        return list(flat.tolist())
    values: Array = flat.astype(np.float64)
    if not np.isfinite(values).all():
        raise ProtocolError(
            f"Tensor {name!r} holds values that are not finite, which JSON can't write; ask for it"
            " as binary data."
        )
    return list(values.tolist())


def read_list(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Array:
    """Return the array that a list holds, flat or nested as its shape is.

    Raises
    ------
    ProtocolError
        It holds more or fewer elements than the shape takes, or one that is no value of this type.
    """
    dtype = find_numpy_dtype(datatype)
    values = _flatten(name, shape, data)
    if len(values) != math.prod(shape):
        raise ProtocolError(
            f"Tensor {name!r} of shape {list(shape)} takes {math.prod(shape)} elements, and"
            f" {len(values)} were sent."
        )
    _check_elements(name, datatype, values)
    array: Array = np.empty(len(values), dtype)
    try:
        with np.errstate(over="ignore"):
            array[:] = values
    except OverflowError:
        raise _complain(name, datatype) from None
    if datatype.startswith(_FLOATS) and not np.isfinite(array.astype(np.float64)).all():
        raise _complain(name, datatype)
    return array.reshape(shape)


def _flatten(name: str, shape: tuple[int, ...], data: object) -> list[Any]:
    """Take the nesting away, level by level, if there is one."""
    if not isinstance(data, list):
        raise ProtocolError(f"The data of tensor {name!r} must be a list.")
    values: list[Any] = data
    if not any(isinstance(value, list) for value in values):
        return values
    for place, dim in enumerate(shape[1:], start=1):
        if not all(isinstance(value, list) and len(value) == dim for value in values):
            raise ProtocolError(
                f"The data of tensor {name!r} is nested in another way than its shape"
                f" {list(shape)}: dim {place} does not hold {dim} each time."
            )
        values = list(chain.from_iterable(values))
    return values


def _check_elements(name: str, datatype: str, values: list[Any]) -> None:
    """Refuse elements of a wrong type or out of range."""
    kinds = set(map(type, values))
    if datatype == BYTES:
        allowed: set[type] = {str}
    elif datatype == "BOOL":
        allowed = {bool}
    elif datatype.startswith(_FLOATS):
        allowed = {int, float}
    else:
        allowed = {int}
    if not kinds <= allowed:
        raise _complain(name, datatype)
    if datatype == BYTES and not all(map(_is_text, values)):
        raise _complain(name, datatype)
    if allowed == {int} and values:
        limits = np.iinfo(DTYPE_OF[datatype])
        if min(values) < limits.min or max(values) > limits.max:
            raise _complain(name, datatype)


def _complain(name: str, datatype: str) -> ProtocolError:
    """Say that an element is not of the datatype."""
    return ProtocolError(f"The data of tensor {name!r} holds what is no value of {datatype}.")


def _is_text(value: str) -> bool:
    """Tell whether a string has an encoding; halves of surrogate pairs have none."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _write_string(name: str, element: object) -> str:
    """Write one string; bytes must be UTF-8."""
    if not isinstance(element, bytes):
        return str(element)
    try:
        return element.decode()
    except UnicodeDecodeError:
        raise ProtocolError(
            f"Tensor {name!r} holds bytes that are no UTF-8, which JSON can't write; ask for it as"
            " binary data."
        ) from None
