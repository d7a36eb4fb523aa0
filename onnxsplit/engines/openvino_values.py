"""Values on their way into OpenVINO and out of it."""

import importlib
from typing import TYPE_CHECKING

import numpy as np

from onnxsplit.engines.narrow import NARROW_TYPES
from onnxsplit.engines.port import Array, Value
from onnxsplit.errors import ModelError, UnsupportedModelError
from onnxsplit.graph import TensorSpec

if TYPE_CHECKING:
    import openvino

_BFLOAT16 = "bfloat16"
_INT32 = np.iinfo(np.int32)
_INT32_BYTES = 4


def to_native(value: Value, spec: TensorSpec, device: str) -> "openvino.Tensor":
    """Hand an array to OpenVINO, without a copy where that is safe.

    Parameters
    ----------
    value : array
    spec : TensorSpec
        Of the input.
    device : str

    Raises
    ------
    ModelError
        It is of another element type than the model's input, or holds integers that the device
        would cut off.
    UnsupportedModelError
        OpenVINO has no such element type, or the value is no dense tensor.
    """
    ov = importlib.import_module("openvino")
    if not isinstance(value, np.ndarray | np.generic):
        raise UnsupportedModelError(
            f"OpenVINO can't take the input {spec.name!r}: it is no dense tensor."
        )
    array = np.asarray(value, order="C")
    _check(array, spec, device)
    if spec.dtype == _BFLOAT16:
        return ov.Tensor(array.view(np.uint16), list(array.shape), ov.Type.bf16)
    if array.dtype.kind in "iu":
        # onnxruntime gives C's long long, which OpenVINO does not know by that name.
        array = array.view(np.dtype(array.dtype.name))
    shares = bool(array.flags.writeable and array.size) and array.dtype.kind not in "OUS"
    return ov.Tensor(array, shared_memory=shares)


def from_native(array: Array, dtype: str) -> Array:
    """Return an output as an array of its own element type.

    Raises
    ------
    UnsupportedModelError
        It is of a type that comes out of OpenVINO as bits only.
    """
    if dtype == _BFLOAT16:
        return array.view(NARROW_TYPES[dtype].numpy)
    if dtype in NARROW_TYPES:
        raise UnsupportedModelError(f"OpenVINO can't return values of the type {dtype}.")
    return array


def _check(array: Array, spec: TensorSpec, device: str) -> None:
    """Refuse element types that do not fit, and integers that would be cut off in silence."""
    is_text = array.dtype.kind in "OUS"
    if not is_text and array.dtype.name != spec.dtype:
        raise ModelError(
            f"The input {spec.name!r} is {array.dtype.name}, and the model takes {spec.dtype}."
        )
    if spec.dtype in NARROW_TYPES and spec.dtype != _BFLOAT16:
        raise UnsupportedModelError(f"OpenVINO can't take values of the type {spec.dtype}.")
    is_wide = array.dtype.kind in "iu" and array.dtype.itemsize >= _INT32_BYTES
    if device == "CPU" and is_wide and array.size:
        least, most = int(array.min()), int(array.max())
        if least < _INT32.min or most > _INT32.max:
            raise ModelError(
                f"The input {spec.name!r} holds integers beyond 32 bits (from {least} to {most}),"
                " which OpenVINO's CPU device cuts off; run the model on onnxruntime."
            )
