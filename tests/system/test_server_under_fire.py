"""Thousands of requests that no client should send, to a server in a process of its own."""

import json
import random
import socket
from pathlib import Path

import numpy as np
import pytest

import onnxsplit as osp
from onnxsplit.runtime.message_codec import encode_request
from onnxsplit.runtime.messages import InferRequest
from samples.networks import build_reduced
from tests.served_models import ask, read_all
from tests.system.test_serve_command import Process, start

PATHS = ("/v2/models/lenet/infer", "/v2/models/lenet/versions/1/infer", "/v2/models/no/infer")
NONSENSE = (b"NaN", b"-1", b"1e9", b"0x10", b"", b"99999999999999999999", b"\xff", b"[]", b"null")


@pytest.fixture(name="bundle", scope="module")
def _cut(tmp_path_factory: pytest.TempPathFactory) -> osp.Bundle:
    folder = tmp_path_factory.mktemp("fire") / "lenet.split"
    return osp.cut(build_reduced("lenet"), folder, measure=0, verify=False)


def _make_valid(bundle: osp.Bundle) -> tuple[bytes, int]:
    """Return the body of a request that is right, and the length of its head."""
    stage = bundle.manifest.stages[-1]
    inputs = {
        spec.name: np.zeros([int(dim or 0) for dim in spec.shape or ()], np.float32)
        for spec in stage.inputs
    }
    body = encode_request(InferRequest(model="lenet", inputs=inputs))
    assert body.head_bytes is not None
    return b"".join(body.buffers), body.head_bytes


def _spoil(data: bytes, rng: random.Random) -> bytes:
    """Change, drop or put in some bytes."""
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(spoilt) + 1)
        match rng.randrange(4):
            case 0:
                spoilt[place : place + rng.randint(1, 30)] = b""
            case 1:
                spoilt[place:place] = rng.randbytes(rng.randint(1, 30))
            case 2:
                spoilt[place : place + 1] = bytes([rng.randrange(256)])
            case _:
                spoilt[place:place] = rng.choice(NONSENSE)
    return bytes(spoilt)


def _make_request(body: bytes, head_bytes: int, rng: random.Random) -> bytes:
    """Make a request with something wrong: its body, a header, its address, or all of its bytes."""
    kind = rng.randrange(5)
    length = str(len(body)).encode()
    head = str(head_bytes).encode()
    path = PATHS[0]
    if kind == 0:
        body = _spoil(body[:head_bytes], rng) + body[head_bytes:]
        length = str(len(body)).encode()
    elif kind == 1:
        length, head = rng.choice([(rng.choice(NONSENSE), head), (length, rng.choice(NONSENSE))])
    elif kind == 2:
        path = rng.choice(PATHS[2:])
    elif kind == 3:
        body = body[: rng.randrange(len(body))]  # and the header says more
    request = b"".join(
        [
            f"POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n".encode(),
            b"Content-Length: " + length + b"\r\n",
            b"Inference-Header-Content-Length: " + head + b"\r\n\r\n",
            body,
        ]
    )
    return _spoil(request, rng) if kind == 4 else request


def _send(port: int, request: bytes) -> bytes:
    """Send a request, end the sending, and read what comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # refused before all of it was read
            return b""
        return read_all(connection)


def _read_memory_bytes(process: Process) -> int:
    """Return what the server holds of the machine's memory."""
    pages = Path(f"/proc/{process.popen.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


def _fire(process: Process, bundle: osp.Bundle, rng: random.Random, shots: int) -> int:
    """Send wrong requests, look at each answer, and count the refusals."""
    body, head_bytes = _make_valid(bundle)
    refused = 0
    for _ in range(shots):
        answer = _send(process.port, _make_request(body, head_bytes, rng))
        if not answer:
            continue  # broken off in its middle, so that there is nobody to answer
        status, content = _read_first(answer)
        assert status == 200 or 400 <= status < 500, answer
        if status != 200:
            assert json.loads(content)["error"], answer
            refused += 1
    return refused


def _read_first(answer: bytes) -> tuple[int, bytes]:
    """Read the first answer; spoilt bytes may be two requests."""
    head, _, content = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    (length,) = [line.partition(":")[2] for line in lines if line.startswith("content-length:")]
    return int(lines[0].split(" ")[1]), content[: int(length)]


def _check_alive(process: Process, bundle: osp.Bundle) -> None:
    body, head_bytes = _make_valid(bundle)
    headers = {"Inference-Header-Content-Length": str(head_bytes)}
    status, _, content = ask(process.port, PATHS[0], method="POST", body=body, headers=headers)
    assert status == 200, content
    assert process.popen.poll() is None


def test_wrong_requests_are_refused_and_the_server_stays_up(bundle: osp.Bundle) -> None:
    with start(bundle.folder) as process:
        assert _fire(process, bundle, random.Random(1), shots=400) > 150
        _check_alive(process, bundle)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2])
def test_ten_thousand_wrong_requests_leave_the_memory_flat(bundle: osp.Bundle, seed: int) -> None:
    rng = random.Random(seed)
    with start(bundle.folder) as process:
        _fire(process, bundle, rng, shots=2000)  # until all is loaded and pools are warm
        before = _read_memory_bytes(process)
        assert _fire(process, bundle, rng, shots=10_000) > 4000
        _check_alive(process, bundle)
        assert _read_memory_bytes(process) < before + 8 * 2**20
