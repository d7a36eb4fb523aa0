"""A transport over HTTP/1.1: one warm connection to one server."""

import http.client
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

from onnxsplit.errors import ProtocolError, RequestError, TransportError, UsageError
from onnxsplit.runtime import compression
from onnxsplit.runtime.bodies import Body
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.deadlines import Deadline, DeadlineSocket
from onnxsplit.runtime.exchanges import Exchange
from onnxsplit.runtime.exported_facts import read_facts
from onnxsplit.runtime.http_address import HttpAddress
from onnxsplit.runtime.http_answers import (
    LARGEST_RESPONSE_BYTES,
    HttpAnswer,
    find_head,
    read_sentence,
    receive_body,
)
from onnxsplit.runtime.http_failures import explain_refusal, translate_failures
from onnxsplit.runtime.message_codec import decode_response, encode_request
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata, Parameter
from onnxsplit.runtime.metadata_codec import read_metadata
from onnxsplit.runtime.tcp_figures import TcpFigures, read_tcp_figures

READY_SECONDS = 2.0
DESCRIBE_SECONDS = 15.0
_OK = 200
_NO_BODY = Body(buffers=())


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBody(Body):
    """A compressed body; its head's length is that before it was."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers that describe it."""
        described = Body(buffers=self.buffers, head_bytes=self.head_bytes).headers
        return {**described, "Content-Encoding": compression.ZSTD}


class HttpTransport:
    """A connection that stays open between requests; see `onnxsplit.runtime.ports.Transport`.

    It is opened with the first request, and anew after a failure. One request at a time.

    Parameters
    ----------
    url : str
        ``http://host[:port][/prefix]``, or ``https://`` with TLS.
    security : ClientSecurity, optional
    compress : bool
        Let bodies travel as Zstandard, once the server has said that it takes that.

    Raises
    ------
    UsageError
        The URL is none of these, a certificate can't be read, or the extra is not installed.
    """

    def __init__(
        self, url: str, security: ClientSecurity | None = None, *, compress: bool = False
    ) -> None:
        security = security or ClientSecurity()
        self._address = HttpAddress.parse(url)
        if security.needs_tls and not self._address.is_secure:
            raise UsageError(f"Certificates are for https://, and the server is {url}.")
        self._context = security.open_context() if self._address.is_secure else None
        token = security.token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if compress:
            if not compression.is_available():
                raise UsageError('Compression needs zstandard: pip install "onnxsplit[zstd]".')
            self._headers["Accept-Encoding"] = compression.ZSTD
        self._compresses = compress
        self._server_takes_zstd = False
        self._connection: http.client.HTTPConnection | None = None
        self._socket: DeadlineSocket | None = None
        self._exchange: Exchange | None = None
        self._was_answered = False

    @property
    def exchange(self) -> Exchange | None:
        """What the last request that was answered took."""
        return self._exchange

    def infer(
        self, request: InferRequest, *, timeout_seconds: float | None = None
    ) -> InferResponse:
        """Send one request and wait for its response; errors as of the port."""
        start = time.perf_counter()
        body = encode_request(request)
        path = f"{self._address.find_model(request.model, request.version)}/infer"
        encoded = time.perf_counter()
        is_fresh = not self._is_open
        sent = self._pack(body)
        answer = self._ask("POST", path, sent, timeout_seconds)
        received = time.perf_counter()
        with self._judging():
            response = decode_response(answer.data, head_bytes=find_head(answer.headers))
        self._exchange = Exchange(
            encode_seconds=encoded - start,
            wait_seconds=received - encoded,
            decode_seconds=time.perf_counter() - received,
            sent_bytes=sent.size_bytes,
            received_bytes=answer.size_bytes,
            is_fresh=is_fresh,
        )
        return response.arrange(request.outputs)

    def describe_model(self, model: str, version: str = "") -> ModelMetadata:
        """Ask what a model takes and gives."""
        path = self._address.find_model(model, version)
        answer = self._ask("GET", path, _NO_BODY, DESCRIBE_SECONDS)
        with self._judging():
            metadata = read_metadata(answer.data)
        if metadata.parameters:
            return metadata
        return replace(metadata, parameters=self._ask_facts(path))

    def _ask_facts(self, path: str) -> dict[str, Parameter]:
        """Ask Triton which half a model is; empty where the server has no configurations."""
        try:
            answer = self._ask("GET", f"{path}/config", _NO_BODY, DESCRIBE_SECONDS)
        except RequestError:
            return {}
        with self._judging():
            return read_facts(answer.data)

    def is_ready(self, model: str = "") -> bool:
        """Ask whether the server, or one of its models, takes requests; False if out of reach."""
        health = f"{self._address.prefix}/v2/health"
        path = self._address.find_model(model) if model else health
        try:
            self._ask("GET", f"{path}/ready", _NO_BODY, READY_SECONDS)
        except TransportError:
            return False
        return True

    def read_tcp_figures(self) -> TcpFigures | None:
        """Return what the system knows of the connection; None without one, or if it is silent."""
        return None if self._socket is None else read_tcp_figures(self._socket.native)

    def close(self) -> None:
        """Close the connection; closing twice is allowed."""
        connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        """Return the transport itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the connection."""
        self.close()

    @property
    def _is_open(self) -> bool:
        """Whether a connection is open, as far as is known here."""
        return self._connection is not None and self._connection.sock is not None

    def _ask(self, method: str, path: str, body: Body, timeout_seconds: float | None) -> HttpAnswer:
        """Send a request and receive its response; whatever fails closes the connection."""
        deadline = Deadline.after(timeout_seconds)
        try:
            if not self._is_open:
                self._connect(deadline)
            with translate_failures(self._address, hint=self._guess_why_lost()):
                answer = self._exchange_messages(method, path, body, deadline)
        except BaseException:
            self.close()  # or the next request would read this one's response
            raise
        self._was_answered = True
        answer = self._unpack(answer)
        if answer.status != _OK:
            raise explain_refusal(self._address, answer.status, read_sentence(answer.data))
        return answer

    def _guess_why_lost(self) -> str:
        """Say what a server may want that hangs up before it ever answered."""
        if self._was_answered:
            return ""
        if self._context is None:
            return " If it speaks TLS, write https://."
        return " If it asks for a certificate, give one that it knows (--tls-cert)."

    def _pack(self, body: Body) -> Body:
        """Compress a body, where the server takes that and it is worth it."""
        if not self._server_takes_zstd or body.size_bytes < compression.LEAST_BYTES:
            return body
        packed = compression.compress(body.buffers)
        if len(packed) >= body.size_bytes:
            return body
        return PackedBody(buffers=(packed,), head_bytes=body.head_bytes)

    def _unpack(self, answer: HttpAnswer) -> HttpAnswer:
        """Decompress a body, and take note of what the server takes."""
        if self._compresses:
            takes = answer.headers.get("accept-encoding", "")
            self._server_takes_zstd = compression.accepts_zstd(takes)
        coding = answer.headers.get("content-encoding", "identity").lower()
        if coding == "identity":
            return answer
        with self._judging():
            if coding != compression.ZSTD or not self._compresses:
                raise ProtocolError(f"It is encoded as {coding!r}, which was not asked for.")
            try:
                data = compression.decompress(answer.data, LARGEST_RESPONSE_BYTES)
            except RequestError as error:
                raise ProtocolError(str(error)) from error
        return replace(answer, data=data)

    def _connect(self, deadline: Deadline) -> None:
        """Open the connection."""
        address = self._address
        self.close()
        with translate_failures(address, is_connecting=True):
            remaining = deadline.remaining_seconds
            native = socket.create_connection((address.host, address.port), remaining)
            try:
                native.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context is not None:
                    native = self._context.wrap_socket(native, server_hostname=address.host)
            except BaseException:
                native.close()
                raise
        self._socket = DeadlineSocket(native)
        self._connection = http.client.HTTPConnection(address.host, address.port)
        self._connection.sock = self._socket

    def _exchange_messages(
        self, method: str, path: str, body: Body, deadline: Deadline
    ) -> HttpAnswer:
        """Send a request over the open connection, and receive the response."""
        connection, connected = self._connection, self._socket
        if connection is None or connected is None:
            raise ConnectionResetError
        connected.deadline = deadline
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {**self._headers, **(body.headers if body.buffers else {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body.buffers)
        connected.flush()
        with connection.getresponse() as response:
            data = receive_body(response)
            headers = dict(response.headers)
        return HttpAnswer(
            status=response.status,
            headers={name.lower(): value for name, value in headers.items()},
            data=data,
            size_bytes=len(data),
        )

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Close the connection if what came over it makes no sense, and say whose it was."""
        try:
            yield
        except ProtocolError as error:
            self.close()
            raise ProtocolError(f"{self._address} answered wrongly. {error}") from error
