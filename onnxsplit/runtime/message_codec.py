"""Inference requests and responses as HTTP bodies of the Open Inference Protocol, version 2.

Source: Open Inference Protocol, "Inference Request JSON Object" and "Inference Response JSON
Object", with the "Binary Tensor Data Extension". Tensors are copied neither when
written nor when read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxsplit.errors import ProtocolError, RequestError
from onnxsplit.runtime.bodies import Body, divide
from onnxsplit.runtime.json_heads import (
    parse_json,
    read_objects,
    read_parameters,
    read_text,
    write_json,
)
from onnxsplit.runtime.messages import InferRequest, InferResponse
from onnxsplit.runtime.tensor_lists import read_tensors, write_tensors

_ALL_BINARY = "binary_data_output"
_ONE_BINARY = "binary_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """A request, and how its sender wants the outputs written.

    Parameters
    ----------
    request : InferRequest
    all_binary : bool
        Whether outputs travel as bytes unless said otherwise.
    binary : mapping of str to bool
        What was said of single outputs.
    """

    request: InferRequest
    all_binary: bool
    binary: Mapping[str, bool]

    def is_binary(self, output: str) -> bool:
        """Tell whether an output is wanted as bytes rather than in the JSON."""
        return self.binary.get(output, self.all_binary)


def encode_request(request: InferRequest, *, binary: bool = True) -> Body:
    """Write a request.

    Parameters
    ----------
    request : InferRequest
        Its model and version belong into the URL.
    binary : bool
        Whether tensors travel as bytes, there and back, rather than in the JSON.

    Raises
    ------
    UnsupportedModelError
        The protocol has no name for an element type.
    ProtocolError
        JSON has no way to write a value.
    """
    entries, buffers = write_tensors(request.inputs, lambda _: binary)
    parameters = {**request.parameters, **({_ALL_BINARY: True} if binary else {})}
    head = {
        **({"id": request.id} if request.id else {}),
        **({"parameters": parameters} if parameters else {}),
        "inputs": entries,
        **({"outputs": _write_wanted(request, binary=binary)} if request.outputs else {}),
    }
    return Body.of(write_json(head), buffers)


def _write_wanted(request: InferRequest, *, binary: bool) -> list[dict[str, Any]]:
    """Name the wanted outputs; Triton heeds what is said of each, not what is said of all."""
    form = {"parameters": {_ONE_BINARY: True}} if binary else {}
    return [{"name": name, **form} for name in request.outputs]


def decode_request(
    data: bytes | bytearray | memoryview,
    *,
    head_bytes: int | None,
    model: str,
    version: str = "",
) -> ReceivedRequest:
    """Read a request.

    Parameters
    ----------
    data : bytes-like
        The body; the arrays are views of it, so it must not change.
    head_bytes : int or None
        What the header ``Inference-Header-Content-Length`` says; None without it.
    model, version : str
        From the URL.

    Raises
    ------
    RequestError
        It is malformed, with the status 400.
    """
    try:
        head, binary = divide(data, head_bytes)
        document = parse_json(head, "request")
        parameters = read_parameters(document, "request")
        wanted = read_objects(document, "outputs", "request")
        return ReceivedRequest(
            all_binary=_pop_truth(parameters, _ALL_BINARY, default=False),
            binary={
                entry["name"]: choice
                for entry in wanted
                if (choice := _read_choice(entry)) is not None
            },
            request=InferRequest(
                model=model,
                version=version,
                id=read_text(document, "id", "request", ""),
                inputs=read_tensors(read_objects(document, "inputs", "request"), binary),
                outputs=tuple(entry["name"] for entry in wanted),
                parameters=parameters,
            ),
        )
    except ProtocolError as error:
        raise RequestError(str(error), status=400) from error


def encode_response(
    response: InferResponse, is_binary: Callable[[str], bool] = lambda _: True
) -> Body:
    """Write a response.

    Parameters
    ----------
    response : InferResponse
    is_binary : callable
        Whether an output travels as bytes rather than in the JSON.

    Raises
    ------
    UnsupportedModelError
        The protocol has no name for an element type.
    ProtocolError
        JSON has no way to write a value.
    """
    entries, buffers = write_tensors(response.outputs, is_binary)
    head = {
        "model_name": response.model,
        **({"model_version": response.version} if response.version else {}),
        **({"id": response.id} if response.id else {}),
        **({"parameters": dict(response.parameters)} if response.parameters else {}),
        "outputs": entries,
    }
    return Body.of(write_json(head), buffers)


def decode_response(
    data: bytes | bytearray | memoryview, *, head_bytes: int | None
) -> InferResponse:
    """Read a response; arguments as of `decode_request`.

    Raises
    ------
    ProtocolError
        It is malformed.
    """
    head, binary = divide(data, head_bytes)
    document = parse_json(head, "response")
    return InferResponse(
        model=read_text(document, "model_name", "response"),
        version=read_text(document, "model_version", "response", ""),
        id=read_text(document, "id", "response", ""),
        outputs=read_tensors(read_objects(document, "outputs", "response"), binary),
        parameters=read_parameters(document, "response"),
    )


def _read_choice(entry: Mapping[str, Any]) -> bool | None:
    """Return whether a wanted output is to be binary, if its entry says so."""
    what = f"output {entry['name']!r}"
    parameters = read_parameters(entry, what)
    for name in ("classification", "shared_memory_region"):
        if name in parameters:
            raise ProtocolError(f"The {what} asks for {name}, which is not supported.")
    if _ONE_BINARY not in parameters:
        return None
    return _pop_truth(dict(parameters), _ONE_BINARY, default=False)


def _pop_truth(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    """Take a truth value out of parameters."""
    value = parameters.pop(name, default)
    if not isinstance(value, bool):
        raise ProtocolError(f"The parameter {name!r} must be true or false.")
    return value
