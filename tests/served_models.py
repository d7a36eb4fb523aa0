"""Served models made by hand, and raw sockets that speak to a server of them."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnxsplit.errors import ModelError
from onnxsplit.graph import TensorSpec
from onnxsplit.runtime.http_limits import HttpLimits
from onnxsplit.runtime.http_server import HttpOptions, HttpServer
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.repository import ModelRepository
from onnxsplit.runtime.service import InferenceService, ServiceOptions
from onnxsplit.runtime.session_models import check_handshake
from onnxsplit.runtime.tensor_checks import check_inputs
from onnxsplit.runtime.tls import TlsFiles

Answer = tuple[int, Mapping[str, str], bytes]

X = TensorSpec(name="x", dtype="float32", shape=("n", 3))
Y = TensorSpec(name="y", dtype="float32", shape=("n", 3))


@dataclass(slots=True, kw_only=True)
class Doubler:
    """Doubles ``x``; waits at a gate, if there is one, and fails on 13."""

    name: str = "m"
    gate: threading.Event | None = None
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    is_closed: bool = False

    @property
    def metadata(self) -> ModelMetadata:
        return ModelMetadata(
            name=self.name, inputs=(X,), outputs=(Y,), parameters={"tier": "server"}
        )

    def infer(self, request: InferRequest) -> InferResponse:
        self.entered.release()
        check_handshake(request, self.metadata)
        check_inputs(self.name, request.inputs, (X,))
        if self.gate is not None:
            assert self.gate.wait(30)
        x = request.inputs["x"]
        if (x == 13).any():
            raise ModelError("It does not like 13.")
        if (x == 14).any():
            raise ZeroDivisionError
        return InferResponse(
            model=self.name,
            version="1",
            id=request.id,
            outputs={"y": x * 2},
            parameters={"compute_seconds": 0.5},
        )

    def close(self) -> None:
        self.is_closed = True


@contextmanager
def serve_models(
    *models: ServedModel,
    limits: HttpLimits | None = None,
    workers: int = 2,
    queue: int = 8,
    tls: TlsFiles | None = None,
    token: str | None = None,
) -> Iterator[tuple[HttpServer, InferenceService]]:
    """Serve models on a free port of this machine."""
    service = InferenceService(
        ModelRepository(models), ServiceOptions(workers=workers, queue=queue)
    )
    settings = HttpOptions(port=0, limits=limits or HttpLimits(), tls=tls, token=token)
    with service, HttpServer(service, settings) as server:
        yield server, service


def ask(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 20,
) -> Answer:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


def ask_json(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """Send one request, and parse the answer."""
    status, _, content = ask(port, path, method=method, body=body, headers=headers)
    return status, json.loads(content)


def infer_json(port: int, rows: list[list[float]], model: str = "m") -> tuple[int, Any]:
    """Have a model run on JSON."""
    tensor = {"name": "x", "datatype": "FP32", "shape": list(np.shape(rows)), "data": rows}
    body = json.dumps({"inputs": [tensor]}).encode()
    return ask_json(port, f"/v2/models/{model}/infer", method="POST", body=body)


def send_raw(port: int, data: bytes, *, ends: bool = False) -> bytes:
    """Send bytes, perhaps end the sending, and read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(data)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
