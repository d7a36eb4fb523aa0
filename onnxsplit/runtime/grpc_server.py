"""A server of the Open Inference Protocol over gRPC, with gRPC's own health service."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hmac import compare_digest
from importlib.metadata import version
from typing import Self

from google.protobuf.message import DecodeError

from onnxsplit.errors import OnnxSplitError, RequestError, UsageError
from onnxsplit.runtime import grpc_messages as messages
from onnxsplit.runtime.grpc_library import grpc
from onnxsplit.runtime.grpc_schema import (
    HEALTH_SERVICE,
    INFERENCE_SERVICE,
    NOT_SERVING,
    SERVING,
    Message,
    load_messages,
)
from onnxsplit.runtime.grpc_statuses import EXACT_STATUS, choose_code
from onnxsplit.runtime.service import InferenceService, find_status
from onnxsplit.runtime.tls import TlsFiles

Handler = Callable[[Message], Message]

_HIGHEST_PORT = 65535
_GRACE_SECONDS = 5.0
_SPARE_CALLS = 8
"""For questions, and for requests that are told that there is no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcOptions:
    """Where and to whom a gRPC server speaks.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        0 for any that is free.
    tls : TlsFiles or None
        Speak TLS.
    token : str or None
        Bearer token that calls must show, except those for the server's health.
    message_bytes : int
        Largest message that it takes. gRPC holds as many as the service has room for, and a few
        more, before anybody can refuse them: that many times this is the memory it may take.

    Raises
    ------
    UsageError
        There is no such port.
    """

    host: str = "127.0.0.1"
    port: int = 8001
    tls: TlsFiles | None = None
    token: str | None = field(default=None, repr=False)
    message_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        """Refuse ports that no machine has."""
        if not 0 <= self.port <= _HIGHEST_PORT:
            raise UsageError(f"--grpc-port {self.port}: ports go from 0 to {_HIGHEST_PORT}.")


class GrpcServer:
    """Serves a service over gRPC from its construction until it is stopped.

    Parameters
    ----------
    service : InferenceService
        Not taken over.
    options : GrpcOptions

    Raises
    ------
    UsageError
        The address can't be listened on.
    """

    def __init__(self, service: InferenceService, options: GrpcOptions) -> None:
        self._service = service
        self._options = options
        calls = service.limit + _SPARE_CALLS
        self._server = grpc.server(
            ThreadPoolExecutor(calls, thread_name_prefix="onnxsplit-grpc"),
            handlers=[self._list_inference_handlers(), self._list_health_handlers()],
            options=[
                ("grpc.max_receive_message_length", options.message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=calls,
        )
        self._port = _bind(self._server, options)
        self._server.start()

    @property
    def url(self) -> str:
        """Where it is reached."""
        scheme = "grpc" if self._options.tls is None else "grpcs"
        return f"{scheme}://{_write_host(self._options.host)}:{self._port}"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    def stop(self) -> None:
        """Answer what was begun, close all connections and end; stopping twice is allowed."""
        self._server.stop(_GRACE_SECONDS).wait()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop it."""
        self.stop()

    def _list_inference_handlers(self) -> "grpc.GenericRpcHandler[bytes, bytes]":
        """Return the inference service."""
        handlers = {
            "ServerLive": self._tell_live,
            "ServerReady": self._tell_ready,
            "ModelReady": self._tell_model_ready,
            "ServerMetadata": self._describe_server,
            "ModelMetadata": self._describe_model,
            "ModelInfer": self._infer,
        }
        return grpc.method_handlers_generic_handler(
            INFERENCE_SERVICE,
            {
                name: _wrap(f"{name}Request", handler, self._check_token)
                for name, handler in handlers.items()
            },
        )

    def _list_health_handlers(self) -> "grpc.GenericRpcHandler[bytes, bytes]":
        """Return the health service; orchestrators ask it without a token."""
        return grpc.method_handlers_generic_handler(
            HEALTH_SERVICE, {"Check": _wrap("HealthCheckRequest", self._check_health, None)}
        )

    def _check_token(self, context: grpc.ServicerContext) -> None:
        """Refuse callers without the token."""
        if self._options.token is None:
            return
        given = dict(context.invocation_metadata()).get("authorization", "")
        shown = given.encode() if isinstance(given, str) else given
        if not compare_digest(shown, f"Bearer {self._options.token}".encode()):
            raise RequestError("The server asks for a token; give the right one.", status=401)

    def _tell_live(self, _: Message) -> Message:
        """Answer that the server is there."""
        return load_messages()["ServerLiveResponse"](live=True)

    def _tell_ready(self, _: Message) -> Message:
        """Answer whether the server takes requests."""
        return load_messages()["ServerReadyResponse"](ready=self._service.is_ready())

    def _tell_model_ready(self, question: Message) -> Message:
        """Answer whether a model takes requests."""
        ready = self._service.is_ready(question.name, question.version)
        return load_messages()["ModelReadyResponse"](ready=ready)

    def _describe_server(self, _: Message) -> Message:
        """Say who serves."""
        return load_messages()["ServerMetadataResponse"](
            name="onnxsplit", version=version("onnxsplit"), extensions=[]
        )

    def _describe_model(self, question: Message) -> Message:
        """Say what a model takes and gives."""
        model = self._service.repository.find(question.name, question.version)
        return messages.write_metadata(model.metadata)

    def _infer(self, question: Message) -> Message:
        """Run a request on a worker."""

        def work() -> Message:
            return messages.write_response(self._service.infer(messages.read_request(question)))

        return self._service.submit(question.model_name, question.model_version, work).result()

    def _check_health(self, question: Message) -> Message:
        """Answer for the whole server, for the inference service, or for a model."""
        model = "" if question.service == INFERENCE_SERVICE else question.service
        status = SERVING if self._service.is_ready(model) else NOT_SERVING
        return load_messages()["HealthCheckResponse"](status=status)


def _wrap(
    name: str, handler: Handler, check: Callable[[grpc.ServicerContext], None] | None
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """Make a method: bytes are parsed here, so that what is malformed is the caller's fault."""

    def answer(data: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            if check is not None:
                check(context)
            reply: bytes = handler(_parse(name, data)).SerializeToString()
        except Exception as error:  # noqa: BLE001 - whatever fails, the server stays
            status = find_status(error)
            context.set_trailing_metadata(((EXACT_STATUS, str(status)),))
            context.abort(choose_code(status), _explain(error, status))
        return reply

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=bytes, response_serializer=bytes
    )


def _parse(name: str, data: bytes) -> Message:
    """Parse a message."""
    try:
        return load_messages()[name].FromString(data)
    except DecodeError:
        raise RequestError(f"The message is no {name}.", status=400) from None


def _explain(error: Exception, status: int) -> str:
    """Return what a caller is told; of bugs, nothing but that there was one."""
    if isinstance(error, OnnxSplitError):
        return str(error)
    return f"The server failed ({type(error).__name__}, status {status})."


def _bind(server: grpc.Server, options: GrpcOptions) -> int:
    """Listen, with TLS if that is asked for; return the port."""
    address = f"{_write_host(options.host)}:{options.port}"
    try:
        if options.tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, _make_credentials(options.tls))
    except RuntimeError as error:
        raise UsageError(
            f"Can't listen on {options.host} port {options.port}; choose others with --host and"
            " --grpc-port."
        ) from error


def _make_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Read the certificates."""
    authority = tls.client_authority
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        None if authority is None else authority.read_bytes(),
        require_client_auth=authority is not None,
    )


def _write_host(host: str) -> str:
    """Write a host as URLs do."""
    return f"[{host}]" if ":" in host else host
