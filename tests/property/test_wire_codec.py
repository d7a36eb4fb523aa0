import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnxsplit.engines.port import Array
from onnxsplit.errors import RequestError
from onnxsplit.runtime.message_codec import (
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from onnxsplit.runtime.messages import InferRequest, InferResponse, Parameter

# Written down from the protocol's table, apart from the code's own.
STRUCTS = {
    "BOOL": (np.bool_, "?"),
    "UINT8": (np.uint8, "B"),
    "UINT16": (np.uint16, "H"),
    "UINT32": (np.uint32, "I"),
    "UINT64": (np.uint64, "Q"),
    "INT8": (np.int8, "b"),
    "INT16": (np.int16, "h"),
    "INT32": (np.int32, "i"),
    "INT64": (np.int64, "q"),
    "FP16": (np.float16, "e"),
    "FP32": (np.float32, "f"),
    "FP64": (np.float64, "d"),
}
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@st.composite
def make_arrays(draw: st.DrawFn) -> Array:
    """Draw an array of any type and layout that can travel."""
    shape = draw(SHAPES)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from([*STRUCTS, "BF16", "BYTES"]))
    if kind == "BYTES":
        words = np.empty(shape, dtype=object)
        for place in np.ndindex(shape):
            words[place] = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=3))
        return words
    if kind == "BOOL":
        array: Array = generator.random(shape) < 0.5
    elif kind.startswith(("FP", "BF")):
        dtype = ml_dtypes.bfloat16 if kind == "BF16" else STRUCTS[kind][0]
        array = generator.normal(size=shape).astype(dtype)
    else:
        limits = np.iinfo(STRUCTS[kind][0])
        array = generator.integers(
            limits.min, limits.max, size=shape, dtype=STRUCTS[kind][0], endpoint=True
        )
    layout = draw(st.sampled_from(["plain", "transposed", "strided", "swapped"]))
    if layout == "transposed":
        return array.T
    if layout == "strided" and array.ndim:
        return array[::2]
    if layout == "swapped" and kind != "BF16":
        return array.astype(array.dtype.newbyteorder(">"))
    return array


TENSORS = st.dictionaries(NAMES, make_arrays(), max_size=4)
PARAMETERS = st.dictionaries(
    st.sampled_from(["sequence_id", "priority", "β"]),
    st.booleans() | st.integers(-(2**63), 2**63) | st.floats(-1e9, 1e9) | NAMES,
)


def _compare(sent: Mapping[str, Array], read: Mapping[str, Array]) -> None:
    assert list(read) == list(sent)
    for name, array in sent.items():
        assert read[name].dtype == array.dtype.newbyteorder("=")
        assert read[name].shape == array.shape
        assert read[name].tolist() == array.tolist()


@given(
    inputs=TENSORS,
    parameters=PARAMETERS,
    outputs=st.lists(NAMES, unique=True, max_size=2),
    binary=st.booleans(),
)
def test_a_request_is_read_as_it_was_written(
    *, inputs: dict[str, Array], parameters: dict[str, Parameter], outputs: list[str], binary: bool
) -> None:
    request = InferRequest(
        model="m", id="7", inputs=inputs, outputs=tuple(outputs), parameters=parameters
    )
    body = encode_request(request, binary=binary)
    sent = b"".join(body.buffers)
    assert len(sent) == body.size_bytes
    received = decode_request(sent, head_bytes=body.head_bytes, model="m")
    _compare(inputs, received.request.inputs)
    assert received.request.outputs == request.outputs
    assert received.request.parameters == parameters
    assert received.request.id == "7"
    assert received.all_binary is binary


@given(outputs=TENSORS, parameters=PARAMETERS, binary=st.booleans())
def test_a_response_is_read_as_it_was_written(
    *, outputs: dict[str, Array], parameters: dict[str, Parameter], binary: bool
) -> None:
    response = InferResponse(model="m", version="2", outputs=outputs, parameters=parameters)
    body = encode_response(response, lambda _: binary)
    read = decode_response(b"".join(body.buffers), head_bytes=body.head_bytes)
    _compare(outputs, read.outputs)
    assert (read.model, read.version, read.parameters) == ("m", "2", parameters)


@given(st.sampled_from(sorted(STRUCTS)), SHAPES, st.data())
def test_binary_data_are_those_that_struct_packs(
    datatype: str, shape: tuple[int, ...], data: st.DataObject
) -> None:
    dtype, code = STRUCTS[datatype]
    count = math.prod(shape)
    if datatype == "BOOL":
        values: list[Any] = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    elif datatype.startswith("FP"):
        values = data.draw(st.lists(st.integers(-99, 99), min_size=count, max_size=count))
    else:
        limits = np.iinfo(dtype)
        numbers = st.integers(int(limits.min), int(limits.max))
        values = data.draw(st.lists(numbers, min_size=count, max_size=count))
    array: Array = np.array(values, dtype=dtype).reshape(shape)
    body = encode_request(InferRequest(model="m", inputs={"x": array}))
    sent = b"".join(body.buffers)
    assert body.head_bytes is not None
    [entry] = json.loads(sent[: body.head_bytes])["inputs"]
    assert entry["datatype"] == datatype
    assert entry["shape"] == list(shape)
    assert sent[body.head_bytes :] == struct.pack(f"<{count}{code}", *values)


@given(TENSORS, st.binary(max_size=6), st.data())
def test_a_spoilt_request_is_read_or_refused_and_never_fails_otherwise(
    inputs: dict[str, Array], noise: bytes, data: st.DataObject
) -> None:
    body = encode_request(InferRequest(model="m", inputs=inputs))
    sent = b"".join(body.buffers)
    start = data.draw(st.integers(0, len(sent)))
    end = data.draw(st.integers(start, min(len(sent), start + 6)))
    head_bytes = data.draw(st.none() | st.integers(0, len(sent) + 9) | st.just(body.head_bytes))
    spoilt = sent[:start] + noise + sent[end:]
    try:
        decode_request(spoilt, head_bytes=head_bytes, model="m")
    except RequestError as error:
        assert error.status == 400  # noqa: PT017 - most spoilt requests are refused, some are valid
