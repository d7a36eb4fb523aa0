"""A transport over gRPC: one warm channel to one server."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from onnxsplit.errors import ProtocolError, RequestError, TransportError, UsageError
from onnxsplit.runtime import grpc_messages as messages
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.exchanges import Exchange
from onnxsplit.runtime.grpc_library import grpc
from onnxsplit.runtime.grpc_schema import INFERENCE_SERVICE, Message, load_messages
from onnxsplit.runtime.grpc_statuses import explain_failure
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata, Parameter

Result = TypeVar("Result")

DEFAULT_PORT = 8001
UNLIMITED = -1
"""What gRPC takes for no limit; the server has limits of its own."""
READY_SECONDS = 2.0
DESCRIBE_SECONDS = 15.0
_FIRST_BACKOFF_MS, _LONGEST_BACKOFF_MS = 100, 1000
"""gRPC itself would let two minutes pass before it looks whether a server is back."""


class GrpcTransport:
    """A connection that stays open between requests; see `onnxsplit.runtime.ports.Transport`.

    Parameters
    ----------
    url : str
        ``grpc://host[:port]``, or ``grpcs://`` with TLS.
    security : ClientSecurity, optional

    Raises
    ------
    UsageError
        The URL is none of these, or a certificate can't be read.
    """

    def __init__(self, url: str, security: ClientSecurity | None = None) -> None:
        security = security or ClientSecurity()
        self._url = url
        address, is_secure = parse_address(url)
        if security.needs_tls and not is_secure:
            raise UsageError(f"Certificates are for grpcs://, and the server is {url}.")
        options = [
            ("grpc.enable_http_proxy", 0),  # over HTTP the environment's proxies are not asked
            ("grpc.max_receive_message_length", UNLIMITED),
            ("grpc.max_send_message_length", UNLIMITED),
            ("grpc.initial_reconnect_backoff_ms", _FIRST_BACKOFF_MS),
            ("grpc.min_reconnect_backoff_ms", _FIRST_BACKOFF_MS),
            ("grpc.max_reconnect_backoff_ms", _LONGEST_BACKOFF_MS),
        ]
        self._channel = (
            grpc.secure_channel(address, _make_credentials(security), options)
            if is_secure
            else grpc.insecure_channel(address, options)
        )
        token = security.token
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._exchange: Exchange | None = None
        self._has_asked = False

    @property
    def exchange(self) -> Exchange | None:
        """What the last request that was answered took; gRPC writes the bytes within the wait."""
        return self._exchange

    def infer(
        self, request: InferRequest, *, timeout_seconds: float | None = None
    ) -> InferResponse:
        """Send one request and wait for its response; errors as of the port."""
        start = time.perf_counter()
        question = messages.write_request(request)
        encoded = time.perf_counter()
        answer = self._call("ModelInfer", question, "ModelInferResponse", timeout_seconds)
        received = time.perf_counter()
        response = self._read(messages.read_response, answer)
        self._exchange = Exchange(
            encode_seconds=encoded - start,
            wait_seconds=received - encoded,
            decode_seconds=time.perf_counter() - received,
            sent_bytes=question.ByteSize(),
            received_bytes=answer.ByteSize(),
            is_fresh=not self._has_asked,
        )
        self._has_asked = True
        return response.arrange(request.outputs)

    def describe_model(self, model: str, version: str = "") -> ModelMetadata:
        """Ask what a model takes and gives."""
        question = load_messages()["ModelMetadataRequest"](name=model, version=version)
        answer = self._call("ModelMetadata", question, "ModelMetadataResponse", DESCRIBE_SECONDS)
        metadata = self._read(messages.read_metadata, answer)
        if metadata.parameters:
            return metadata
        return replace(metadata, parameters=self._ask_facts(model, version))

    def _ask_facts(self, model: str, version: str) -> dict[str, Parameter]:
        """Ask Triton which half a model is; empty where the server has no configurations."""
        question = load_messages()["ModelConfigRequest"](name=model, version=version)
        try:
            answer = self._call("ModelConfig", question, "ModelConfigResponse", DESCRIBE_SECONDS)
        except RequestError:
            return {}
        parameters = answer.config.parameters
        return {name: entry.string_value for name, entry in parameters.items()}

    def is_ready(self, model: str = "") -> bool:
        """Ask whether the server, or one of its models, takes requests; False if out of reach."""
        method = "ModelReady" if model else "ServerReady"
        question = load_messages()[f"{method}Request"](**({"name": model} if model else {}))
        with suppress(TransportError):
            answer = self._call(method, question, f"{method}Response", READY_SECONDS)
            return bool(answer.ready)
        return False

    def close(self) -> None:
        """Close the channel; closing twice is allowed."""
        self._channel.close()

    def __enter__(self) -> Self:
        """Return the transport itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the channel."""
        self.close()

    def _call(
        self, method: str, question: Message, answer: str, timeout_seconds: float | None
    ) -> Message:
        """Call one method; every failure becomes one of ours."""
        call = self._channel.unary_unary(
            f"/{INFERENCE_SERVICE}/{method}",
            request_serializer=type(question).SerializeToString,
            response_deserializer=bytes,
        )
        try:
            reply = call(question, timeout=timeout_seconds, metadata=self._metadata)
            return load_messages()[answer].FromString(reply)
        except grpc.RpcError as error:
            raise explain_failure(error, self._url) from error
        except DecodeError as error:
            raise ProtocolError(f"{self._url} answered what is no {answer}.") from error
        except ValueError as error:  # a closed channel
            raise TransportError(f"The connection to {self._url} is closed.") from error

    def _read(self, read: Callable[[Message], Result], answer: Message) -> Result:
        """Read an answer, and say whose it was if it makes no sense."""
        try:
            return read(answer)
        except ProtocolError as error:
            raise ProtocolError(f"{self._url} answered wrongly. {error}") from error


def parse_address(url: str) -> tuple[str, bool]:
    """Return a URL's host and port, and whether it wants TLS.

    Raises
    ------
    UsageError
        It is no URL of gRPC.

    Examples
    --------
    >>> parse_address("grpcs://example.org")
    ('example.org:8001', True)
    """
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}.") from error
    if parts.scheme not in {"grpc", "grpcs"} or not parts.hostname or parts.path.strip("/"):
        raise UsageError(f"{url!r} must be like grpc://host:{DEFAULT_PORT}, or grpcs:// with TLS.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}", parts.scheme == "grpcs"


def _make_credentials(security: ClientSecurity) -> grpc.ChannelCredentials:
    """Read the certificates, after the standard library has checked them."""
    security.open_context()
    authorities, key, certificate = (
        None if path is None else _read_file(path)
        for path in (security.authorities, security.key, security.certificate)
    )
    return grpc.ssl_channel_credentials(authorities, key, certificate)


def _read_file(path: Path) -> bytes:
    """Read a certificate or key."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from error
