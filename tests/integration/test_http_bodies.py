"""Large bodies go past the parser, and everything must be as if they did not."""

import http.client
import json
import random
import socket
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from onnxsplit.engines.port import Array
from onnxsplit.runtime.http_connections import guard_connections
from onnxsplit.runtime.http_limits import HttpLimits
from onnxsplit.runtime.message_codec import decode_response, encode_request
from onnxsplit.runtime.messages import InferRequest
from tests.served_models import Doubler, infer_json, read_all, serve_models

INFER = "/v2/models/m/infer"
ROWS = [[1.0, 2.0, 3.0]]
SIZES = [2**16 // 12, 2**17 // 12, 2**20 // 12, 2**20 // 12 + 1, 2**21 // 12, 300_000]
QUICK = HttpLimits(
    request_bytes=4_000_000,
    waiting_bytes=5_000_000,
    body_seconds=0.3,
    least_bytes_per_second=5_000_000,
    linger_seconds=0.3,
)


@pytest.fixture(name="port", scope="module")
def _serve() -> Iterator[int]:
    with serve_models(Doubler()) as (server, _):
        yield server.port


def _make_rows(count: int) -> Array:
    return np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)


def _write(rows: Array) -> bytes:
    """Write a request as it goes over the wire."""
    body = encode_request(InferRequest(model="m", inputs={"x": rows}))
    lines = [f"{name}: {value}" for name, value in body.headers.items()]
    head = "\r\n".join([f"POST {INFER} HTTP/1.1", "Host: h", *lines, "", ""])
    return head.encode() + b"".join(body.buffers)


def _read(connection: socket.socket) -> Array:
    """Read one answer, and nothing of what follows it."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    data = response.read()
    assert response.status == 200, data
    length = int(response.headers["Inference-Header-Content-Length"])
    return decode_response(data, head_bytes=length).outputs["y"]


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def _send_pieces(connection: socket.socket, data: bytes, places: Sequence[int]) -> None:
    """Send data in pieces, with a moment between them."""
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        connection.sendall(data[start:end])
        time.sleep(0.001)


@pytest.mark.parametrize("seed", range(4))
def test_bodies_of_all_sizes_arrive_however_they_are_cut(port: int, seed: int) -> None:
    rng = random.Random(seed)
    with _connect(port) as connection:
        for count in rng.sample([*SIZES, 1, 100], 8):
            rows = _make_rows(count)
            data = _write(rows)
            places = sorted(rng.sample(range(1, len(data)), min(rng.randrange(6), len(data) - 1)))
            _send_pieces(connection, data, places)
            np.testing.assert_array_equal(_read(connection), rows * 2)


@pytest.mark.parametrize("counts", [(300_000, 1, 200_000, 1), (1, 20_000, 20_000, 20_000)])
def test_requests_that_follow_a_large_one_at_once_wait_for_their_turn(
    port: int, counts: tuple[int, ...]
) -> None:
    rows = [_make_rows(count) for count in counts]
    with _connect(port) as connection:
        connection.sendall(b"".join(map(_write, rows[:2])))
        for place, expected in enumerate(rows):
            np.testing.assert_array_equal(_read_exactly(connection), expected * 2)
            if place == 0:
                connection.sendall(b"".join(map(_write, rows[2:])))


def _read_exactly(connection: socket.socket) -> Array:
    """Read one answer byte by byte up to its body, so that the next one's stay where they are."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    lines = [line.partition(": ") for line in head.decode().lower().split("\r\n")]
    headers = {name: value for name, _, value in lines}
    data = b""
    while len(data) < int(headers["content-length"]):
        data += connection.recv(int(headers["content-length"]) - len(data))
    assert head.startswith(b"HTTP/1.1 200"), data
    length = int(headers["inference-header-content-length"])
    return decode_response(data, head_bytes=length).outputs["y"]


def test_servers_in_one_process_receive_into_memory_of_their_own() -> None:
    one, other = guard_connections(QUICK), guard_connections(QUICK)
    assert not np.shares_memory(np.asarray(one.scratch), np.asarray(other.scratch))


def test_nonsense_behind_a_large_body_is_refused_after_the_answer(port: int) -> None:
    rows = _make_rows(300_000)
    with _connect(port) as connection:
        connection.sendall(_write(rows) + b"\x00nonsense\r\n\r\n")
        np.testing.assert_array_equal(_read_exactly(connection), rows * 2)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_a_large_body_that_stops_is_given_up_and_its_bytes_are_free_again() -> None:
    data = _write(_make_rows(300_000))
    with serve_models(Doubler(), limits=QUICK) as (server, _):
        for _ in range(3):  # two of them would be more than may be held
            with _connect(server.port) as connection:
                connection.sendall(data[:2_500_000])
                answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 408"), answer
            assert b"too slowly" in answer
        assert infer_json(server.port, ROWS)[0] == 200


def test_a_client_that_leaves_within_a_large_body_holds_nothing() -> None:
    data = _write(_make_rows(300_000))
    with serve_models(Doubler(), limits=QUICK) as (server, _):
        for size in (100_000, 1_500_000, 3_000_000) * 2:
            with _connect(server.port) as connection:
                connection.sendall(data[:size])
        deadline = time.monotonic() + 20
        while not _send(server.port, data).startswith(b"HTTP/1.1 200"):  # it has yet to see them go
            assert time.monotonic() < deadline


def _send(port: int, data: bytes) -> bytes:
    """Send a request whose connection is closed then, and read the beginning of its answer."""
    with _connect(port) as connection:
        connection.sendall(data)
        return connection.recv(100)


def test_a_large_body_beyond_the_budget_is_refused_and_read_to_its_end() -> None:
    data = _write(_make_rows(300_000))
    with serve_models(Doubler(), limits=QUICK) as (server, _):
        with _connect(server.port) as first, _connect(server.port) as second:
            first.sendall(data[:3_400_000])
            time.sleep(0.1)
            second.sendall(data)
            assert read_all(second).startswith(b"HTTP/1.1 429")
        assert infer_json(server.port, ROWS)[0] == 200


def test_a_large_body_that_is_slow_but_keeps_coming_is_taken() -> None:
    rows = _make_rows(300_000)
    data = _write(rows)
    with serve_models(Doubler(), limits=QUICK) as (server, _), _connect(server.port) as connection:
        for place in range(0, len(data), 360_000):  # 11 parts, 0.7 s: more than body_seconds
            connection.sendall(data[place : place + 360_000])
            time.sleep(0.06)
        np.testing.assert_array_equal(_read(connection), rows * 2)
