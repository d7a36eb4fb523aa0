"""Inference requests and responses as messages of the gRPC form."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from onnxsplit.engines.port import Array
from onnxsplit.errors import ProtocolError, RequestError
from onnxsplit.graph import TensorSpec
from onnxsplit.runtime.datatypes import (
    BYTES,
    DTYPE_OF,
    find_datatype,
    find_numpy_dtype,
    name_datatype,
)
from onnxsplit.runtime.grpc_schema import Message, load_messages
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata, Parameter
from onnxsplit.runtime.raw_tensors import check_shape, read_raw, write_raw

_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""Where the elements of a tensor stand that does not travel as bytes; 16-bit floats always do."""
_INT64_LIMIT = 2**63
_ANY = -1


def write_request(request: InferRequest) -> Message:
    """Write a request; its tensors travel as bytes.

    Raises
    ------
    UnsupportedModelError
        The protocol has no name for an element type.
    ProtocolError
        A string or a parameter can't be written.
    """
    message = load_messages()["ModelInferRequest"](
        model_name=request.model, model_version=request.version, id=request.id
    )
    _write_parameters(message.parameters, request.parameters)
    _write_tensors(message.inputs, message.raw_input_contents, request.inputs)
    for name in request.outputs:
        message.outputs.add(name=name)
    return message


def read_request(message: Message) -> InferRequest:
    """Read a request.

    Raises
    ------
    RequestError
        It is malformed, with the status 400.
    """
    try:
        _check_outputs(message)
        return InferRequest(
            model=message.model_name,
            version=message.model_version,
            id=message.id,
            inputs=_read_tensors(message.inputs, message.raw_input_contents),
            outputs=tuple(output.name for output in message.outputs),
            parameters=_read_parameters(message.parameters),
        )
    except ProtocolError as error:
        raise RequestError(str(error), status=400) from error


def _check_outputs(message: Message) -> None:
    """Refuse what is asked of outputs beyond their names."""
    for output in message.outputs:
        if output.parameters:
            raise ProtocolError(
                f"Output {output.name!r} is asked for with parameters, which are not supported."
            )


def write_response(response: InferResponse) -> Message:
    """Write a response; errors as of `write_request`."""
    message = load_messages()["ModelInferResponse"](
        model_name=response.model, model_version=response.version, id=response.id
    )
    _write_parameters(message.parameters, response.parameters)
    _write_tensors(message.outputs, message.raw_output_contents, response.outputs)
    return message


def read_response(message: Message) -> InferResponse:
    """Read a response; ProtocolError if it is malformed."""
    return InferResponse(
        model=message.model_name,
        version=message.model_version,
        id=message.id,
        outputs=_read_tensors(message.outputs, message.raw_output_contents),
        parameters=_read_parameters(message.parameters),
    )


def write_metadata(metadata: ModelMetadata) -> Message:
    """Write what a model takes and gives; unknown dims are -1, an unknown rank is ``[-1]``."""
    message = load_messages()["ModelMetadataResponse"](
        name=metadata.name, versions=metadata.versions, platform=metadata.platform
    )
    _write_parameters(message.parameters, metadata.parameters)
    for field, specs in ((message.inputs, metadata.inputs), (message.outputs, metadata.outputs)):
        for spec in specs:
            shape = [dim if isinstance(dim, int) else _ANY for dim in spec.shape or (None,)]
            field.add(
                name=spec.name,
                datatype=name_datatype(spec.name, spec.dtype),
                shape=[] if spec.shape == () else shape,
            )
    return message


def read_metadata(message: Message) -> ModelMetadata:
    """Read what a model takes and gives; ProtocolError if it is malformed."""
    return ModelMetadata(
        name=message.name,
        versions=tuple(message.versions),
        platform=message.platform,
        inputs=tuple(map(_read_spec, message.inputs)),
        outputs=tuple(map(_read_spec, message.outputs)),
        parameters=_read_parameters(message.parameters),
    )


def _read_spec(entry: Message) -> TensorSpec:
    """Read one input or output of a model."""
    find_numpy_dtype(entry.datatype)
    dims = tuple(None if dim == _ANY else int(dim) for dim in entry.shape)
    if any(dim is not None and dim < 0 for dim in dims):
        raise ProtocolError(f"The shape {list(entry.shape)} of {entry.name!r} has negative dims.")
    return TensorSpec(name=entry.name, dtype=DTYPE_OF[entry.datatype], shape=dims)


def _write_tensors(entries: Message, contents: Message, tensors: Mapping[str, Array]) -> None:
    """Write tensors: a description each, and their bytes in the same order."""
    for name, array in tensors.items():
        datatype = find_datatype(name, array)
        entries.add(name=name, datatype=datatype, shape=array.shape)
        contents.append(bytes(write_raw(array, datatype)))


def _read_tensors(entries: Sequence[Message], contents: Sequence[bytes]) -> dict[str, Array]:
    """Read tensors from their bytes, where there are any, else from their lists."""
    if contents and len(contents) != len(entries):
        raise ProtocolError(
            f"{len(entries)} tensors are described and {len(contents)} are there as bytes."
        )
    tensors: dict[str, Array] = {}
    for place, entry in enumerate(entries):
        if entry.name in tensors:
            raise ProtocolError(f"Tensor {entry.name!r} is given more than once.")
        if entry.parameters:
            raise ProtocolError(
                f"Tensor {entry.name!r} has parameters, such as shared memory, that are not"
                " supported; send its bytes."
            )
        shape = check_shape(entry.name, [int(dim) for dim in entry.shape])
        if not contents:
            tensors[entry.name] = _read_list(entry, shape)
        elif entry.HasField("contents"):
            raise ProtocolError(f"Tensor {entry.name!r} is given both as bytes and as a list.")
        else:
            data = memoryview(contents[place])
            tensors[entry.name] = read_raw(entry.name, entry.datatype, shape, data)
    return tensors


def _read_list(entry: Message, shape: tuple[int, ...]) -> Array:
    """Read the elements of a tensor that stand in a list of their type."""
    dtype = find_numpy_dtype(entry.datatype)
    field = _CONTENTS.get(entry.datatype)
    if field is None:
        raise ProtocolError(f"Tensor {entry.name!r} of datatype {entry.datatype} must be bytes.")
    for other, _ in entry.contents.ListFields():
        if other.name != field:
            raise ProtocolError(f"Tensor {entry.name!r} must have its elements in {field}.")
    values = list(getattr(entry.contents, field))
    if len(values) != math.prod(shape):
        raise ProtocolError(
            f"Tensor {entry.name!r} of shape {list(shape)} takes {math.prod(shape)} elements, and"
            f" {len(values)} were sent."
        )
    if entry.datatype == BYTES:
        values = _decode_strings(entry.name, values)
    _check_range(entry.name, dtype, values)
    array: Array = np.empty(len(values), dtype)
    array[:] = values
    return array.reshape(shape)


def _check_range(name: str, dtype: "np.dtype[np.generic]", values: Sequence[int]) -> None:
    """Refuse whole numbers that their type can't hold."""
    if dtype.kind not in "iu" or not values:
        return
    limits = np.iinfo(dtype.name)
    if min(values) < limits.min or max(values) > limits.max:
        raise ProtocolError(f"Tensor {name!r} holds numbers that {dtype.name} can't hold.")


def _decode_strings(name: str, values: Iterable[bytes]) -> list[str]:
    """Decode strings."""
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        raise ProtocolError(f"Tensor {name!r} holds a string that is no UTF-8.") from None


def _write_parameters(field: Message, parameters: Mapping[str, Parameter]) -> None:
    """Write parameters, each as the type that it has."""
    for name, value in parameters.items():
        match value:
            case bool():
                field[name].bool_param = value
            case int() if -_INT64_LIMIT <= value < _INT64_LIMIT:
                field[name].int64_param = value
            case int() if 0 <= value < 2 * _INT64_LIMIT:
                field[name].uint64_param = value
            case int():
                raise ProtocolError(f"The parameter {name!r} does not fit into 64 bits.")
            case float():
                field[name].double_param = value
            case str():
                field[name].string_param = value


def _read_parameters(field: Mapping[str, Message]) -> dict[str, Parameter]:
    """Read parameters; those without a value are left out."""
    return {
        name: getattr(value, chosen)
        for name, value in field.items()
        if (chosen := value.WhichOneof("choice")) is not None
    }
