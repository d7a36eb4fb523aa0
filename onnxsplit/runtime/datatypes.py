"""Element types by the names that the Open Inference Protocol gives them.

Source: Open Inference Protocol, version 2, "Tensor Data Types". BF16 is the name that servers in
use gave to what that table lacks; the 8-bit floats, the 4-bit types and complex numbers have none.
"""

import functools
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import ProtocolError, UnsupportedModelError, suggest

BYTES = "BYTES"
BF16 = "BF16"

DATATYPE_OF: Mapping[str, str] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "bfloat16": BF16,
    "string": BYTES,
}
"""ONNX's own dtype names, as in `onnxsplit.graph`, to the protocol's."""

DTYPE_OF: Mapping[str, str] = {datatype: dtype for dtype, datatype in DATATYPE_OF.items()}
"""The protocol's names to ONNX's own."""

_NUMPY_OF: Mapping[str, "np.dtype[np.generic]"] = {
    **{
        datatype: np.dtype(dtype).newbyteorder("<")
        for dtype, datatype in DATATYPE_OF.items()
        if datatype not in {BYTES, BF16}
    },
    BF16: np.dtype(ml_dtypes.bfloat16),
    BYTES: np.dtype(object),
}


_STRING_KINDS = frozenset("OSTU")
"""Kinds of numpy types that may hold strings."""


def find_numpy_dtype(datatype: str) -> "np.dtype[np.generic]":
    """Return the numpy type of a datatype as it travels, little-endian; of BYTES, ``object``.

    Raises
    ------
    ProtocolError
        The protocol has no such datatype.
    """
    try:
        return _NUMPY_OF[datatype]
    except KeyError:
        raise ProtocolError(
            f"The protocol has no datatype {datatype!r}. {suggest(datatype, _NUMPY_OF)}"
        ) from None


def find_datatype(name: str, array: Array) -> str:
    """Return the datatype of an array.

    Parameters
    ----------
    name : str
        The tensor's name, for the error.
    array : array

    Raises
    ------
    UnsupportedModelError
        The protocol has no name for its element type.
    """
    return name_datatype(name, _name_dtype(array.dtype))


@functools.cache
def _name_dtype(dtype: "np.dtype[Any]") -> str:
    """Return ONNX's name of a numpy type; numpy takes long to tell it."""
    return "string" if dtype.kind in _STRING_KINDS else dtype.name


def name_datatype(name: str, dtype: str | None) -> str:
    """Return the protocol's name of an element type; arguments and errors as `find_datatype`."""
    if dtype is None or dtype not in DATATYPE_OF:
        raise UnsupportedModelError(
            f"The tensor {name!r} has the element type {dtype or 'unknown'}, for which the Open"
            " Inference Protocol has no name; cut the model where another type crosses."
        )
    return DATATYPE_OF[dtype]
