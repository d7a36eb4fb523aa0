"""Servers that say what a test tells them to, byte for byte, and transports without a network."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Self

import numpy as np

from onnxsplit.errors import TransportError
from onnxsplit.runtime.exchanges import Exchange
from onnxsplit.runtime.message_codec import encode_response
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata

Script = Callable[[socket.socket], None]

PATIENCE_SECONDS = 10.0


class ScriptedServer:
    """Accepts one connection after the other, and plays one script on each."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self._scripts = list(scripts)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_SECONDS)
        self.accepted = 0
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _play(self) -> None:
        for script in self._scripts:
            with suppress(OSError):
                connection, _ = self._socket.accept()
                self.accepted += 1
                connection.settimeout(PATIENCE_SECONDS)
                with connection, suppress(OSError):
                    script(connection)
        self.done.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        self._socket.close()
        self._thread.join(PATIENCE_SECONDS)


def read_request(connection: socket.socket) -> bytes:
    """Read one HTTP request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionResetError
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    ]
    while len(body) < (lengths[0] if lengths else 0):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def write_answer(outputs: Mapping[str, object], *, extra: bytes = b"") -> bytes:
    """Write a whole HTTP response of inference."""
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    body = encode_response(InferResponse(model="m", outputs=arrays))
    lines = "".join(f"{name}: {value}\r\n" for name, value in body.headers.items())
    return b"HTTP/1.1 200 OK\r\n" + lines.encode() + extra + b"\r\n" + b"".join(body.buffers)


def write_refusal(status: int, sentence: str) -> bytes:
    """Write a whole HTTP response that refuses."""
    body = json.dumps({"error": sentence}).encode()
    return f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def answering(*answers: bytes) -> Script:
    """Answer requests on one connection one by one, then close it."""

    def play(connection: socket.socket) -> None:
        for answer in answers:
            read_request(connection)
            connection.sendall(answer)

    return play


@contextmanager
def serve_scripts(*scripts: Script) -> Iterator[ScriptedServer]:
    """Run a scripted server."""
    with ScriptedServer(scripts) as server:
        yield server


class FakeTransport:
    """Answers by a function, without a network; keeps what it was asked."""

    def __init__(
        self,
        answer: Callable[[InferRequest], InferResponse],
        metadata: ModelMetadata,
        *,
        is_up: Callable[[], bool] = lambda: True,
    ) -> None:
        self._answer = answer
        self._metadata = metadata
        self._is_up = is_up
        self.requests: list[InferRequest] = []
        self.timeouts: list[float | None] = []
        self.is_closed = False

    @property
    def exchange(self) -> Exchange | None:
        return Exchange(
            encode_seconds=0.001,
            wait_seconds=0.01,
            decode_seconds=0.001,
            sent_bytes=100,
            received_bytes=10,
            is_fresh=False,
        )

    def infer(
        self, request: InferRequest, *, timeout_seconds: float | None = None
    ) -> InferResponse:
        self.requests.append(request)
        self.timeouts.append(timeout_seconds)
        self._check()
        return self._answer(request)

    def describe_model(self, model: str, version: str = "") -> ModelMetadata:
        del model, version
        self._check()
        return self._metadata

    def is_ready(self, model: str = "") -> bool:
        del model
        return self._is_up()

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check(self) -> None:
        if not self._is_up():
            message = "The server can't be reached."
            raise TransportError(message)
