import json
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from onnxsplit.errors import ProtocolError, RequestError, UnsupportedModelError
from onnxsplit.graph import TensorSpec
from onnxsplit.runtime.bodies import read_length
from onnxsplit.runtime.message_codec import (
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.metadata_codec import read_metadata, write_metadata

TRIPLE = {"name": "x", "datatype": "UINT8", "shape": [3], "data": [1, 2, 3]}


def _decode(head: object, binary: bytes = b"", *, head_bytes: int | None = -1) -> InferRequest:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    if head_bytes == -1:
        head_bytes = len(text) if binary else None
    return decode_request(text + binary, head_bytes=head_bytes, model="m").request


def _tensor(**changes: object) -> dict[str, Any]:
    entry = {**TRIPLE, **changes}
    return {"inputs": [{key: value for key, value in entry.items() if value is not None}]}


def _binary(size: object, **changes: object) -> dict[str, Any]:
    return _tensor(data=None, parameters={"binary_data_size": size}, **changes)


def test_the_protocols_own_example_of_binary_data_is_read() -> None:
    # Bytes as the extension's page describes them: a BOOL tensor of 3 and a UINT8 one of 2 by 2.
    head = {
        "id": "42",
        "inputs": [
            {
                "name": "input0",
                "shape": [2, 2],
                "datatype": "UINT32",
                "parameters": {"binary_data_size": 16},
            },
            {
                "name": "input1",
                "shape": [3],
                "datatype": "BOOL",
                "parameters": {"binary_data_size": 3},
            },
        ],
        "outputs": [{"name": "output0", "parameters": {"binary_data": True}}, {"name": "output1"}],
    }
    text = json.dumps(head).encode()
    body = text + struct.pack("<IIII", 1, 2, 3, 4) + b"\x01\x00\x01"
    received = decode_request(body, head_bytes=len(text), model="m", version="7")
    request = received.request
    assert (request.model, request.version, request.id) == ("m", "7", "42")
    np.testing.assert_array_equal(request.inputs["input0"], [[1, 2], [3, 4]], strict=False)
    np.testing.assert_array_equal(request.inputs["input1"], [True, False, True])
    assert request.outputs == ("output0", "output1")
    assert received.is_binary("output0")
    assert not received.is_binary("output1")


def test_a_request_is_written_as_the_protocol_says() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    request = InferRequest(
        model="m", id="a", inputs={"x": array}, outputs=("y",), parameters={"sequence_id": 7}
    )
    body = encode_request(request)
    sent = b"".join(body.buffers)
    assert body.head_bytes is not None
    assert json.loads(sent[: body.head_bytes]) == {
        "id": "a",
        "parameters": {"sequence_id": 7, "binary_data_output": True},
        "inputs": [
            {
                "name": "x",
                "datatype": "FP32",
                "shape": [2, 3],
                "parameters": {"binary_data_size": 24},
            }
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    assert sent[body.head_bytes :] == struct.pack("<6f", *range(6))
    assert body.headers["Content-Length"] == str(len(sent))
    assert body.headers["Inference-Header-Content-Length"] == str(body.head_bytes)


def test_tensors_are_neither_copied_when_written_nor_when_read() -> None:
    array = np.arange(1000, dtype=np.float32)
    body = encode_request(InferRequest(model="m", inputs={"x": array}))
    assert np.shares_memory(np.frombuffer(body.buffers[1], np.uint8), array)
    sent = b"".join(body.buffers)
    read = decode_request(sent, head_bytes=body.head_bytes, model="m").request.inputs["x"]
    assert np.shares_memory(read, np.frombuffer(sent, np.uint8))
    assert read.flags.aligned


def test_a_tensor_that_lies_askew_is_aligned_by_a_copy() -> None:
    head = json.dumps(_binary(8, datatype="FP64", shape=[1])).encode()
    head += b" " * ((9 - len(head)) % 8)  # one beyond a multiple of 8
    body = head + struct.pack("<d", 2.5)
    read = decode_request(body, head_bytes=len(head), model="m").request.inputs["x"]
    assert read.flags.aligned
    assert read.tolist() == [2.5]


def test_plain_json_is_read_flat_and_nested() -> None:
    nested = _decode(_tensor(datatype="FP32", shape=[2, 2], data=[[1, 2.5], [3, 4]]))
    flat = _decode(_tensor(datatype="FP32", shape=[2, 2], data=[1, 2.5, 3, 4]))
    np.testing.assert_array_equal(
        nested.inputs["x"], np.array([[1, 2.5], [3, 4]], np.float32), strict=True
    )
    np.testing.assert_array_equal(flat.inputs["x"], nested.inputs["x"], strict=True)


def test_strings_travel_both_ways() -> None:
    words = np.array(["", "grün", "日本"], dtype=object)
    for binary in (True, False):
        body = encode_request(InferRequest(model="m", inputs={"w": words}), binary=binary)
        sent = b"".join(body.buffers)
        read = decode_request(sent, head_bytes=body.head_bytes, model="m").request.inputs["w"]
        assert read.tolist() == words.tolist()
        assert read.dtype == object


@pytest.mark.parametrize(
    ("head", "binary", "complaint"),
    [
        (b"", b"", "no JSON"),
        (b"[]", b"", "must be a JSON object"),
        (b"\xff", b"", "no JSON"),
        (b'{"inputs": [], "inputs": []}', b"", "more than once"),
        (b"[" * 100_000, b"", "no JSON|too deep"),
        (b'{"inputs": NaN}', b"", "no number"),
        (b'{"id": 1e999, "inputs": []}', b"", "too large"),
        ({"inputs": {}}, b"", "list of objects"),
        ({"inputs": [1]}, b"", "list of objects"),
        ({"inputs": [{}]}, b"", "'name'"),
        ({"inputs": [TRIPLE, TRIPLE]}, b"", "more than once"),
        ({"id": 5, "inputs": [TRIPLE]}, b"", "'id'"),
        ({"parameters": [], "inputs": [TRIPLE]}, b"", "'parameters'"),
        ({"parameters": {"a": None}, "inputs": [TRIPLE]}, b"", "parameter 'a'"),
        ({"parameters": {"binary_data_output": 1}, "inputs": [TRIPLE]}, b"", "true or false"),
        ({"inputs": [TRIPLE], "outputs": [{"name": "y"}] * 2}, b"", "more than once"),
        (
            {
                "inputs": [TRIPLE],
                "outputs": [{"name": "y", "parameters": {"classification": 3}}],
            },
            b"",
            "classification",
        ),
        (_tensor(datatype="FLOAT"), b"", "no datatype 'FLOAT'"),
        (_tensor(datatype=None), b"", "'datatype'"),
        (_tensor(shape="3"), b"", "list of at most"),
        (_tensor(shape=[-3]), b"", "whole numbers"),
        (_tensor(shape=[True]), b"", "whole numbers"),
        (_tensor(shape=[3.0]), b"", "whole numbers"),
        (_tensor(shape=[1] * 33), b"", "at most 32"),
        (_tensor(shape=[2**62, 2**62]), b"", "larger than any memory"),
        (_tensor(shape=[0, 2**80], data=[]), b"", "larger than any memory"),
        (_tensor(data=[1, 2]), b"", "takes 3 elements"),
        (_tensor(data=[[1, 2], [3]], shape=[2, 2]), b"", "nested"),
        (_tensor(data=[1, [2], 3]), b"", "UINT8"),
        (_tensor(data=[1, 2, 256]), b"", "no value of UINT8"),
        (_tensor(data=[1, 2, -1]), b"", "no value of UINT8"),
        (_tensor(data=[1, 2, 3.5]), b"", "no value of UINT8"),
        (_tensor(data=[1, 2, True]), b"", "no value of UINT8"),
        (_tensor(data="123"), b"", "must be a list"),
        (_tensor(data=[1, 0, 1], datatype="BOOL"), b"", "no value of BOOL"),
        (_tensor(data=[1, 0, 1e39], datatype="FP32"), b"", "no value of FP32"),
        (_tensor(data=[1, 0, 1e39], datatype="BF16"), b"", "no value of BF16"),
        (_tensor(data=[1, 0, 10**400], datatype="FP64"), b"", "no value of FP64"),
        (_tensor(data=["a", "b", "\ud800"], datatype="BYTES"), b"", "no value of BYTES"),
        (_tensor(data=None), b"", "either 'data' or"),
        (_tensor(parameters={"binary_data_size": 3}), b"abc", "either 'data' or"),
        (_tensor(data=None, parameters={"shared_memory_region": "r"}), b"", "shared memory"),
        (_binary(3), b"", "holds only 0 more"),
        (_binary(4), b"abcd", "takes 3 bytes"),
        (_binary(3), b"abcd", "belong to no tensor"),
        (_binary(-3), b"abc", "whole number"),
        (_binary(3.0), b"abc", "whole number"),
        (_binary("3"), b"abc", "whole number"),
        (_binary(True), b"abc", "whole number"),  # noqa: FBT003 - a value in JSON
        (_binary(3, datatype="BOOL"), b"\x00\x01\x02", "other than 0 and 1"),
        (_binary(3, datatype="BYTES", shape=[1]), b"abc", "bytes end within"),
        (_binary(4, datatype="BYTES", shape=[1]), b"\xff\xff\xff\xff", "bytes end within"),
        (_binary(5, datatype="BYTES", shape=[1]), b"\x01\x00\x00\x00\xff", "no UTF-8"),
        (_binary(5, datatype="BYTES", shape=[1]), b"\x00\x00\x00\x00a", "bytes follow"),
        (_binary(4, datatype="BYTES", shape=[2**50]), b"\x00\x00\x00\x00", "bytes end within"),
    ],
)
def test_a_malformed_request_is_refused_in_one_sentence(
    head: object, binary: bytes, complaint: str
) -> None:
    with pytest.raises(RequestError, match=complaint) as caught:
        _decode(head, binary)
    assert caught.value.status == 400


@pytest.mark.parametrize("head_bytes", [10_000, -5])
def test_a_head_longer_than_the_body_is_refused(head_bytes: int) -> None:
    with pytest.raises(RequestError, match="Inference-Header-Content-Length"):
        _decode({"inputs": [TRIPLE]}, head_bytes=head_bytes)


@pytest.mark.parametrize("text", ["", "NaN", "-1", "1.5", "+3", " 3", "³", "9" * 19, "0x10"])
def test_lengths_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="whole number"):
        read_length(text, "Content-Length")


def test_an_element_type_without_a_name_is_refused() -> None:
    odd = np.zeros(3, dtype=np.complex64)
    with pytest.raises(UnsupportedModelError, match="'z' has the element type complex64"):
        encode_request(InferRequest(model="m", inputs={"z": odd}))
    spec = TensorSpec(name="z", dtype="float8e4m3fn", shape=(3,))
    with pytest.raises(UnsupportedModelError, match="'z' has the element type float8e4m3fn"):
        write_metadata(ModelMetadata(name="m", inputs=(spec,), outputs=()))


def test_values_that_json_lacks_are_refused_as_json_and_sent_as_bytes() -> None:
    response = InferResponse(model="m", outputs={"y": np.array([1, np.nan], np.float32)})
    with pytest.raises(ProtocolError, match="'y' holds values that are not finite"):
        encode_response(response, lambda _: False)
    body = encode_response(response)
    read = decode_response(b"".join(body.buffers), head_bytes=body.head_bytes)
    np.testing.assert_array_equal(read.outputs["y"], response.outputs["y"])


def test_objects_that_are_no_strings_do_not_travel() -> None:
    with pytest.raises(ProtocolError, match="only strings"):
        encode_request(InferRequest(model="m", inputs={"x": np.array([None], dtype=object)}))


def test_bfloat16_travels_bit_by_bit() -> None:
    array = np.array([1.5, -2, 3e38], dtype=ml_dtypes.bfloat16)
    body = encode_response(InferResponse(model="m", outputs={"y": array}))
    assert b"".join(body.buffers).endswith(array.tobytes())
    read = decode_response(b"".join(body.buffers), head_bytes=body.head_bytes)
    np.testing.assert_array_equal(read.outputs["y"], array, strict=True)


def test_metadata_travel_with_symbolic_dims_as_minus_one() -> None:
    metadata = ModelMetadata(
        name="m",
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 3, None)),),
        outputs=(TensorSpec(name="y", dtype="string", shape=()),),
        parameters={"tier": "server"},
    )
    document = write_metadata(metadata)
    assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3, -1]}]
    read = read_metadata(json.dumps(document).encode())
    assert read.inputs == (TensorSpec(name="x", dtype="float32", shape=(None, 3, None)),)
    assert read.outputs == metadata.outputs
    assert read.parameters == metadata.parameters


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3},
        {"versions": "1"},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]},
        {"inputs": [{"name": "x", "datatype": "FP31", "shape": [2]}]},
    ],
)
def test_malformed_metadata_are_refused(change: dict[str, Any]) -> None:
    document = {"name": "m", "versions": ["1"], "platform": "p", "inputs": [], "outputs": []}
    with pytest.raises(ProtocolError):
        read_metadata(json.dumps({**document, **change}).encode())
