"""The Open Inference Protocol, version 2, over HTTP: a plain ASGI application.

Source: Open Inference Protocol, "HTTP/REST"; its binary-data extension; Triton's index of the model
repository.
"""

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version as find_release

from onnxsplit.errors import OnnxSplitError, ProtocolError, RequestError
from onnxsplit.runtime import compression
from onnxsplit.runtime.bodies import HEAD_LENGTH, Body, read_length
from onnxsplit.runtime.http_bodies import BodyData, ClientGoneError
from onnxsplit.runtime.http_exchanges import (
    Exchange,
    Receive,
    Reply,
    Scope,
    Send,
)
from onnxsplit.runtime.http_limits import BodyBudget, HttpLimits
from onnxsplit.runtime.message_codec import decode_request, encode_response
from onnxsplit.runtime.metadata_codec import write_metadata
from onnxsplit.runtime.metrics import CONTENT_TYPE
from onnxsplit.runtime.service import InferenceService, find_status

_LOGGER = logging.getLogger(__name__)

_MODEL = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?"
_UNAUTHORIZED, _NOT_FOUND, _NOT_ALLOWED, _UNSUPPORTED, _UNAVAILABLE = 401, 404, 405, 415, 503
_BUG = 500

Handler = Callable[..., Awaitable[Reply]]


class HttpApplication:
    """Answers HTTP requests by a service.

    Parameters
    ----------
    service : InferenceService
    limits : HttpLimits
    token : str or None
        The bearer token that requests must show, except those for the server's health.
    """

    def __init__(
        self, service: InferenceService, limits: HttpLimits, *, token: str | None = None
    ) -> None:
        self._service = service
        self._limits = limits
        self._token = token
        self._budget = BodyBudget(limits.waiting_bytes)
        self._compresses = compression.is_available()
        self._routes: tuple[tuple[re.Pattern[str], str, Handler], ...] = (
            (re.compile(f"{_MODEL}/infer"), "POST", self._infer),
            (re.compile(_MODEL), "GET", self._describe_model),
            (re.compile(f"{_MODEL}/ready"), "GET", self._tell_model_ready),
            (re.compile("/v2/?"), "GET", self._describe_server),
            (re.compile("/v2/health/live"), "GET", self._tell_live),
            (re.compile("/v2/health/ready"), "GET", self._tell_ready),
            (re.compile("/v2/repository/index"), "POST", self._list_models),
            (re.compile("/metrics"), "GET", self._tell_metrics),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is."""
        exchange = Exchange(scope, receive, send, self._limits)
        try:
            reply = await self._reply(exchange)
            await exchange.answer(reply)
        except ClientGoneError:
            return

    async def _reply(self, exchange: Exchange) -> Reply:
        """Find the reply to a request; errors are replies too."""
        try:
            return await self._route(exchange)
        except ClientGoneError:
            raise
        except Exception as error:
            status = find_status(error)
            if isinstance(error, OnnxSplitError):
                return Reply.of_error(str(error), status)
            if isinstance(error, MemoryError):
                return Reply.of_error("The server has not enough memory for this.", status)
            _LOGGER.exception("a request failed by a bug")
            return Reply.of_error("The server failed; its log tells why.", _BUG)

    async def _route(self, exchange: Exchange) -> Reply:
        """Find who answers."""
        allowed = []
        for pattern, method, handler in self._routes:
            match = pattern.fullmatch(exchange.path)
            if match and exchange.method == method:
                if not self._may(exchange):
                    return _refuse_stranger()
                return await handler(exchange, **_read_names(match))
            allowed += [method] * (match is not None)
        if allowed:
            message = f"{exchange.path} takes {allowed[0]}, not {exchange.method}."
            return Reply.of_error(message, _NOT_ALLOWED, {"Allow": allowed[0]})
        return Reply.of_error(f"There is nothing at {exchange.path}.", _NOT_FOUND)

    def _may(self, exchange: Exchange) -> bool:
        """Tell whether a request shows the token, in a time that tells nothing about it."""
        if self._token is None or exchange.path.startswith("/v2/health/"):
            return True
        scheme, _, shown = exchange.headers.get("authorization", "").partition(" ")
        matches = hmac.compare_digest(shown.strip().encode(), self._token.encode())
        return scheme.lower() == "bearer" and matches

    async def _infer(self, exchange: Exchange, model: str, version: str) -> Reply:
        """Run a model."""
        try:
            self._service.check(model, version)
            head_bytes, is_compressed = _read_form(exchange.headers)
            data = await exchange.read_body(self._budget)
        except RequestError as error:
            self._service.count_refusal(model, error.status)
            raise
        wants_zstd = self._compresses and compression.accepts_zstd(
            exchange.headers.get("accept-encoding", "")
        )

        def work() -> Reply:
            content = self._decompress(data) if is_compressed else data
            received = decode_request(content, head_bytes=head_bytes, model=model, version=version)
            response = self._service.infer(received.request)
            try:
                body = encode_response(response, received.is_binary)
            except ProtocolError as error:
                raise RequestError(str(error)) from error
            return self._write(body, zstd=wants_zstd)

        try:
            return await asyncio.wrap_future(self._service.submit(model, version, work))
        finally:
            self._budget.give_back(len(data))

    def _decompress(self, data: BodyData) -> bytes:
        """Decompress a body."""
        return compression.decompress(data, self._limits.request_bytes)

    def _write(self, body: Body, *, zstd: bool) -> Reply:
        """Write a body, compressed if that is wanted."""
        headers = dict(body.headers)
        if self._compresses:
            headers["Accept-Encoding"] = compression.ZSTD
        if not zstd or body.size_bytes < compression.LEAST_BYTES:
            return Reply(headers=headers, buffers=body.buffers)
        headers["Content-Encoding"] = compression.ZSTD
        return Reply(headers=headers, buffers=(compression.compress(body.buffers),))

    async def _describe_server(self, _: Exchange) -> Reply:
        """Tell who this is."""
        extensions = ["binary_tensor_data", "sequence", "model_repository(index)"]
        document = {
            "name": "onnxsplit",
            "version": find_release("onnxsplit"),
            "extensions": [*extensions, *["zstd"] * self._compresses],
        }
        return Reply.of_json(document)

    async def _describe_model(self, _: Exchange, model: str, version: str) -> Reply:
        """Tell what a model takes and gives."""
        served = self._service.repository.find(model, version)
        reply = Reply.of_json(write_metadata(served.metadata))
        if not self._compresses:
            return reply
        headers = {**reply.headers, "Accept-Encoding": compression.ZSTD}
        return Reply(headers=headers, buffers=reply.buffers)

    async def _list_models(self, exchange: Exchange) -> Reply:
        """List the models."""
        data = await exchange.read_body(self._budget)
        self._budget.give_back(len(data))
        state = "READY" if self._service.is_ready() else "UNAVAILABLE"
        return Reply.of_json(
            [
                {"name": served.metadata.name, "version": version, "state": state}
                for served in self._service.repository
                for version in served.metadata.versions
            ]
        )

    async def _tell_live(self, _: Exchange) -> Reply:
        """Tell that the server runs."""
        return Reply.of_json({"live": True})

    async def _tell_ready(self, _: Exchange) -> Reply:
        """Tell whether the server takes requests."""
        return _tell(is_ready=self._service.is_ready())

    async def _tell_model_ready(self, _: Exchange, model: str, version: str) -> Reply:
        """Tell whether a model takes requests."""
        return _tell(is_ready=self._service.is_ready(model, version), model=model)

    async def _tell_metrics(self, _: Exchange) -> Reply:
        """Tell what was done until now."""
        text = self._service.metrics.write().encode()
        return Reply(headers={"Content-Type": CONTENT_TYPE}, buffers=(text,))


def _read_names(match: re.Match[str]) -> dict[str, str]:
    """Read the model's name and version out of a path."""
    return {name: value or "" for name, value in match.groupdict().items()}


def _read_form(headers: Mapping[str, str]) -> tuple[int | None, bool]:
    """Read where the JSON head ends, and whether the body is compressed."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    known = ("identity", *[compression.ZSTD] * compression.is_available())
    if coding not in known:
        raise RequestError(
            f"The content coding {coding!r} is not supported; send {' or '.join(known)}.",
            status=_UNSUPPORTED,
        )
    text = headers.get(HEAD_LENGTH.lower())
    try:
        head_bytes = None if text is None else read_length(text, HEAD_LENGTH)
    except ProtocolError as error:
        raise RequestError(str(error)) from error
    return head_bytes, coding == compression.ZSTD


def _tell(*, is_ready: bool, **facts: str) -> Reply:
    """Tell about readiness."""
    document = {**({"name": facts["model"]} if "model" in facts else {}), "ready": is_ready}
    return Reply.of_json(document, status=200 if is_ready else _UNAVAILABLE)


def _refuse_stranger() -> Reply:
    """Ask for the token."""
    message = "This server asks for a token; send the header 'Authorization: Bearer TOKEN'."
    return Reply.of_error(message, _UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
