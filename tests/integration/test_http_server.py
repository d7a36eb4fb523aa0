import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from onnxsplit.errors import UsageError
from onnxsplit.runtime import compression
from onnxsplit.runtime.http_limits import HttpLimits
from onnxsplit.runtime.http_server import HttpOptions, HttpServer
from onnxsplit.runtime.message_codec import decode_response, encode_request
from onnxsplit.runtime.messages import InferRequest
from onnxsplit.runtime.metadata_codec import read_metadata
from onnxsplit.runtime.service import InferenceService
from tests.served_models import (
    Doubler,
    ask,
    ask_json,
    infer_json,
    read_all,
    send_raw,
    serve_models,
)

ROWS = [[1.0, 2.0, 3.0]]
INFER = "/v2/models/m/infer"
QUICK = HttpLimits(
    request_bytes=100_000,
    waiting_bytes=150_000,
    header_seconds=0.3,
    body_seconds=0.3,
    least_bytes_per_second=10_000,
    linger_seconds=0.3,
)


@pytest.fixture(name="port", scope="module")
def _serve() -> Iterator[int]:
    with serve_models(Doubler(), limits=QUICK) as (server, _):
        yield server.port


def _encode(array: object, **options: object) -> tuple[bytes, dict[str, str]]:
    request = InferRequest(model="m", inputs={"x": np.array(array, np.float32)}, **options)  # type: ignore[arg-type] # tests' own keywords
    body = encode_request(request)
    return b"".join(body.buffers), dict(body.headers)


def test_binary_data_go_in_and_come_back(port: int) -> None:
    body, headers = _encode(ROWS, id="7")
    status, found, content = ask(port, INFER, method="POST", body=body, headers=headers)
    assert status == 200
    response = decode_response(content, head_bytes=int(found["Inference-Header-Content-Length"]))
    np.testing.assert_array_equal(response.outputs["y"], np.array(ROWS, np.float32) * 2)
    assert (response.model, response.version, response.id) == ("m", "1", "7")
    assert response.parameters == {"compute_seconds": 0.5}


def test_a_client_that_knows_json_alone_is_answered_in_json(port: int) -> None:
    status, document = infer_json(port, ROWS)
    assert status == 200
    assert document["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2.0, 4.0, 6.0]}
    ]


def test_the_server_tells_about_itself_and_its_models(port: int) -> None:
    status, document = ask_json(port, "/v2")
    assert status == 200
    assert document["name"] == "onnxsplit"
    assert "binary_tensor_data" in document["extensions"]
    status, _, content = ask(port, "/v2/models/m/versions/1")
    assert status == 200
    assert read_metadata(content).inputs[0].shape == (None, 3)
    assert ask_json(port, "/v2/health/live") == (200, {"live": True})
    assert ask_json(port, "/v2/health/ready") == (200, {"ready": True})
    assert ask_json(port, "/v2/models/m/ready") == (200, {"name": "m", "ready": True})
    index = ask_json(port, "/v2/repository/index", method="POST", body=b"{}")
    assert index == (200, [{"name": "m", "version": "1", "state": "READY"}])


@pytest.mark.parametrize(
    ("path", "method", "status", "complaint"),
    [
        ("/", "GET", 404, "nothing at /"),
        ("/v2/models/m/infer", "GET", 405, "takes POST"),
        ("/v2/models/n", "GET", 404, "No model 'n' is served here"),
        ("/v2/models/n/infer", "POST", 404, "No model 'n' is served here"),
        ("/v2/models/m/versions/2/infer", "POST", 404, "no version '2'"),
        ("/v2/models/m/versions/2/ready", "GET", 404, "no version '2'"),
        ("/v2/models/%00%ff/infer", "POST", 404, "No model"),
    ],
)
def test_wrong_addresses_are_told_apart(
    port: int, path: str, method: str, status: int, complaint: str
) -> None:
    found, document = ask_json(port, path, method=method, body=b"{}")
    assert found == status
    assert complaint in document["error"]


@pytest.mark.parametrize(
    ("head", "binary", "complaint"),
    [
        ({"inputs": []}, b"", "needs the input 'x'"),
        ({"inputs": [("z", "FP32", [1, 3], 12)]}, bytes(12), "no input 'z'"),
        ({"inputs": [("x", "FP64", [1, 3], 24)]}, bytes(24), "FP32 (float32), and FP64"),
        ({"inputs": [("x", "FP32", [3], 12)]}, bytes(12), "shape [n, 3], and [3]"),
        ({"inputs": [("x", "FP32", [1, 3], 12)]}, bytes(11), "holds only 11 more"),
        ({"inputs": [("x", "FP32", [1, 3], "NaN")]}, bytes(12), "whole number"),
        ({"inputs": [("x", "FP32", [-1, 3], 12)]}, bytes(12), "from 0 on"),
        (
            {"inputs": [("x", "FP32", [1, 3], 12)]},
            struct.pack("<3f", 13, 0, 0),
            "It does not like 13",
        ),
        (
            {"inputs": [("x", "FP32", [1, 3], 12)], "parameters": {"tier": "edge"}},
            bytes(12),
            "meant for tier 'edge'",
        ),
    ],
)
def test_wrong_requests_are_refused_in_one_sentence(
    port: int,
    head: dict[str, list[tuple[str, str, list[int], object]]],
    binary: bytes,
    complaint: str,
) -> None:
    entries = [
        {
            "name": name,
            "datatype": datatype,
            "shape": shape,
            "parameters": {"binary_data_size": size},
        }
        for name, datatype, shape, size in head["inputs"]
    ]
    text = json.dumps({**head, "inputs": entries}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, document = ask_json(port, INFER, method="POST", body=text + binary, headers=headers)
    assert status == (409 if "meant for" in complaint else 400)
    assert complaint in document["error"]


def test_a_bug_within_a_model_is_no_bug_of_the_connection(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    status, document = infer_json(port, [[14.0, 0, 0]])
    assert (status, document) == (500, {"error": "The server failed; its log tells why."})
    assert "ZeroDivisionError" in caplog.text
    assert infer_json(port, ROWS)[0] == 200


@pytest.mark.parametrize("text", ["NaN", "-1", "1e3", "99999999999999999999", ""])
def test_lengths_that_are_none_are_refused(port: int, text: str) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: h\r\n"
    for header in ("Content-Length", "Inference-Header-Content-Length"):
        length = "" if header == "Content-Length" else "Content-Length: 2\r\n"
        answer = send_raw(port, f"{head}{length}{header}: {text}\r\n\r\n{{}}".encode(), ends=True)
        assert b" 400 " in answer.split(b"\r\n")[0]
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_json_and_closed(port: int, data: bytes) -> None:
    answer = send_raw(port, data)
    if answer:  # a request that failed while it was answered is just closed
        assert b" 400 " in answer.split(b"\r\n")[0]
        assert "error" in json.loads(answer.partition(b"\r\n\r\n")[2])
    assert infer_json(port, ROWS)[0] == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = f"POST {INFER} HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n"
        connection.sendall(head.encode())
        answer = read_all(connection)
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert b"--max-request-bytes" in answer


def test_a_body_without_a_length_is_read_up_to_the_limit(port: int) -> None:
    body, headers = _encode([[1.0, 2.0, 3.0]] * 5000)
    assert len(body) < QUICK.request_bytes
    del headers["Content-Length"]
    pieces = [body[place : place + 7000] for place in range(0, len(body), 7000)]
    for count, status in ((1, 200), (3, 413)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", INFER, iter(pieces * count), headers, encode_chunked=True)
        assert connection.getresponse().status == status
        connection.close()


def test_a_client_that_does_not_read_its_response_is_given_up() -> None:
    limits = HttpLimits(send_seconds=0.2)
    body, headers = _encode(np.zeros((2_000_000, 3)))
    with serve_models(Doubler(), limits=limits) as (server, service):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            lines = [f"{name}: {value}" for name, value in headers.items()]
            head = "\r\n".join([f"POST {INFER} HTTP/1.1", "Host: h", *lines, "", ""])
            connection.sendall(head.encode() + body)
            deadline = time.monotonic() + 20
            while service.metrics.read("nv_inference_request_success", model="m") < 1:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(1)  # reading nothing
            assert len(read_all(connection)) < len(body)
        assert infer_json(server.port, ROWS)[0] == 200


def test_more_bodies_than_may_be_held_are_refused() -> None:
    gate = threading.Event()
    model = Doubler(gate=gate)
    body, headers = _encode([[1.0, 2.0, 3.0]] * 8000)
    with serve_models(model, limits=QUICK) as (server, _):
        first = threading.Thread(
            target=ask,
            args=(server.port, INFER),
            kwargs={"method": "POST", "body": body, "headers": headers},
        )
        first.start()
        assert model.entered.acquire(timeout=20)
        status, document = ask_json(server.port, INFER, method="POST", body=body, headers=headers)
        gate.set()
        first.join()
        assert status == 429
        assert "try again later" in document["error"]
        assert ask(server.port, INFER, method="POST", body=body, headers=headers)[0] == 200


def test_headers_that_trickle_are_given_up(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"POST /v2 HTTP/1.1\r\nHost:")
        answer = read_all(connection)
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert "error" in json.loads(answer.partition(b"\r\n\r\n")[2])


def test_a_connection_that_sends_nothing_is_closed(port: int) -> None:
    assert b" 408 " in send_raw(port, b"")


def test_a_body_that_trickles_is_given_up(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = f"POST {INFER} HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n{{"
        connection.sendall(head.encode())
        answer = read_all(connection)
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b"too slowly" in answer


def test_a_slow_body_that_keeps_coming_is_taken() -> None:
    body, headers = _encode(ROWS * 600)
    with serve_models(Doubler(), limits=QUICK) as (server, _):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.putrequest("POST", INFER)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        for place in range(0, len(body), 1500):  # 5 parts, and 0.5 s in all: more than body_seconds
            connection.send(body[place : place + 1500])
            time.sleep(0.1)
        assert connection.getresponse().status == 200
        connection.close()


def test_a_body_that_breaks_off_leaves_the_server_as_it_was(port: int) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\nabc"
    assert send_raw(port, head.encode(), ends=True) == b""
    assert infer_json(port, ROWS)[0] == 200


def test_a_refused_request_leaves_its_connection_usable(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    body, headers = _encode(ROWS * 3000)
    connection.request("POST", "/v2/models/n/infer", body, headers)
    answer = connection.getresponse()
    assert answer.status == 404
    answer.read()
    connection.request("POST", INFER, body, headers)
    assert connection.getresponse().status == 200
    connection.close()


def test_too_many_connections_are_refused() -> None:
    limits = HttpLimits(connections=2)
    with serve_models(Doubler(), limits=limits) as (server, _):
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        assert b" 503 " in send_raw(server.port, b"")
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 20
        while not _is_answered(server.port):
            assert time.monotonic() < deadline


def _is_answered(port: int) -> bool:
    try:
        return infer_json(port, ROWS)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_many_clients_at_once_get_what_they_asked_for(port: int) -> None:
    faults: list[object] = []

    def ask_often(first: float) -> None:
        for place in range(20):
            value = first + place / 64
            status, document = infer_json(port, [[value, 0, -value]])
            if status != 200 or document["outputs"][0]["data"] != [2 * value, 0, -2 * value]:
                faults.append((value, status, document))

    threads = [threading.Thread(target=ask_often, args=(100.0 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_full_queue_is_told() -> None:
    gate = threading.Event()
    model = Doubler(gate=gate)
    with serve_models(model, workers=1, queue=1) as (server, service):
        threads = [threading.Thread(target=infer_json, args=(server.port, ROWS)) for _ in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while service.pending < 2:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        status, document = infer_json(server.port, ROWS)
        gate.set()
        for thread in threads:
            thread.join()
        assert status == 429
        assert "2 requests wait or run" in document["error"]
        assert infer_json(server.port, ROWS)[0] == 200
    assert model.is_closed


def test_draining_refuses_what_comes_and_answers_what_came() -> None:
    gate = threading.Event()
    model = Doubler(gate=gate)
    answers: list[int] = []
    with serve_models(model) as (server, service):
        running = threading.Thread(target=lambda: answers.append(infer_json(server.port, ROWS)[0]))
        running.start()
        assert model.entered.acquire(timeout=20)
        assert not service.drain(0.01)
        assert ask_json(server.port, "/v2/health/ready") == (503, {"ready": False})
        assert ask_json(server.port, "/v2/models/m/ready")[0] == 503
        assert ask_json(server.port, "/v2/health/live")[0] == 200
        assert infer_json(server.port, ROWS)[0] == 503
        gate.set()
        assert service.drain(20)
        running.join()
    assert answers == [200]


def test_metrics_count_what_was_done() -> None:
    with serve_models(Doubler()) as (server, _):
        for _ in range(3):
            infer_json(server.port, ROWS)
        infer_json(server.port, [[13.0, 0, 0]])
        infer_json(server.port, ROWS, model="nobody")
        body, headers = _encode(ROWS, parameters={"device_seconds": 0.25, "network_seconds": 2})
        ask(server.port, INFER, method="POST", body=body, headers=headers)
        status, found, content = ask(server.port, "/metrics")
    text = content.decode()
    assert status == 200
    assert found["Content-Type"].startswith("text/plain; version=0.0.4")
    for line in (
        'nv_inference_request_success{model="m"} 4',
        'nv_inference_request_failure{model="m",reason="400"} 1',
        'nv_inference_request_failure{model="",reason="404"} 1',
        'nv_inference_count{model="m"} 4',
        'nv_inference_compute_infer_duration_us{model="m"} 2000000',
        'nv_inference_pending_request_count{model="m"} 0',
        'onnxsplit_server_seconds{model="m"} 2',
        'onnxsplit_device_seconds{model="m"} 0.25',
        'onnxsplit_network_seconds{model="m"} 2',
    ):
        assert line in text.splitlines(), text


def test_the_callers_trace_comes_back(port: int) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for sent, expected in ((trace, trace), ("nonsense", None)):
        _, headers, _ = ask(port, "/v2/health/live", headers={"traceparent": sent})
        assert headers.get("traceparent") == expected


def test_only_those_who_show_the_token_are_answered() -> None:
    with serve_models(Doubler(), token="open sesame") as (server, _):  # noqa: S106 - a made-up one
        for shown in ("", "Bearer", "Bearer wrong", "Basic open sesame", "Bearer open sesam\xe9"):
            status, headers, content = ask(
                server.port, "/v2/models/m", headers={"Authorization": shown}
            )
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "token" in json.loads(content)["error"]
        right = {"Authorization": "Bearer open sesame"}
        assert ask(server.port, "/v2/models/m", headers=right)[0] == 200
        assert ask(server.port, "/v2/health/ready")[0] == 200
        assert ask(server.port, "/metrics")[0] == 401


def test_compressed_bodies_are_taken_and_given_where_both_agree(port: int) -> None:
    body, headers = _encode(ROWS * 500)
    packed = compression.compress([body])
    headers.update({"Content-Encoding": "zstd", "Accept-Encoding": "zstd"})
    headers["Content-Length"] = str(len(packed))
    status, found, content = ask(port, INFER, method="POST", body=packed, headers=headers)
    assert status == 200
    assert found["Content-Encoding"] == "zstd"
    plain = compression.decompress(content, 10**6)
    head_bytes = int(found["Inference-Header-Content-Length"])
    response = decode_response(plain, head_bytes=head_bytes)
    np.testing.assert_array_equal(response.outputs["y"], np.array(ROWS * 500, np.float32) * 2)
    headers["Accept-Encoding"] = "gzip"
    _, found, _ = ask(port, INFER, method="POST", body=packed, headers=headers)
    assert "Content-Encoding" not in found


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", b"abc", 415),
        ("zstd", b"abc", 400),
        ("zstd", compression.compress([bytes(10**7)]), 413),
        ("zstd", compression.compress([b"{}"]) + b"more", 400),
        ("zstd", compression.compress([bytes(5000)])[:-4], 400),
    ],
)
def test_spoilt_compressed_bodies_are_refused(
    port: int, coding: str, body: bytes, status: int
) -> None:
    headers = {"Content-Encoding": coding}
    found, document = ask_json(port, INFER, method="POST", body=body, headers=headers)
    assert found == status
    assert document["error"]


def test_a_taken_port_is_one_clear_error(port: int) -> None:
    with serve_models(Doubler()) as (_, service), pytest.raises(UsageError, match="--port"):
        _start(service, port)


def _start(service: InferenceService, port: int) -> HttpServer:
    return HttpServer(service, HttpOptions(port=port))
