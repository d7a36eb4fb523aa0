"""Rewrite a model so that it computes in float16, by onnxruntime's own converter."""

import onnx
from onnx import external_data_helper
from onnxruntime.transformers import float16

from onnxsplit.errors import ModelError, UnsupportedModelError

_MOST_SERIALIZED_BYTES = 2_000_000_000


def halve_precision(proto: onnx.ModelProto, base_folder: str | None) -> onnx.ModelProto:
    """Return a model with float16 weights and operators.

    Parameters
    ----------
    proto : onnx.ModelProto
        Is not changed.
    base_folder : str or None
        Where its external data lies; all of it is read.

    Returns
    -------
    onnx.ModelProto
        Takes and gives what the model takes and gives: casts stand at its ends. Operators that
        have no float16 form stay as they are. Its nodes may be in no topological order.

    Raises
    ------
    ModelError
        The external data can't be read.
    UnsupportedModelError
        The model can't be converted, or has more than 2 GB.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    try:
        if base_folder is not None:
            external_data_helper.load_external_data_for_model(whole, base_folder)
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"The model's external data can't be read: {error}.") from error
    if whole.ByteSize() > _MOST_SERIALIZED_BYTES:
        raise UnsupportedModelError(
            "A stage of more than 2 GB can't be converted to fp16; cut the model elsewhere."
        )
    try:
        converted: onnx.ModelProto = float16.convert_float_to_float16(whole, keep_io_types=True)
    except (RuntimeError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise UnsupportedModelError(
            f"The stage can't be converted to fp16: {str(error).splitlines()[0]}."
        ) from error
    return converted
