"""One HTTP request and its reply, over the ASGI interface."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from onnxsplit.errors import ProtocolError, RequestError
from onnxsplit.runtime.bodies import read_length
from onnxsplit.runtime.http_limits import BodyBudget, HttpLimits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_TOO_LARGE, _TOO_SLOW = 413, 408
_LONGEST_ERROR = 600
_LOOKS = 10
"""How often, within the time that any body has, it is given more for what has come."""

_JOINED_BYTES = 2**16
"""Smaller bodies are sent in one piece."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is sent back.

    Parameters
    ----------
    status : int
    headers : mapping of str to str
        ``Content-Length`` is added.
    buffers : sequence of bytes or memoryview
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    buffers: tuple[bytes | memoryview, ...] = ()

    @classmethod
    def of_json(cls, document: Any, *, status: int = 200) -> "Reply":  # noqa: ANN401 - any JSON
        """Reply with JSON."""
        content = json.dumps(document, separators=(",", ":")).encode()
        return cls(status=status, headers={"Content-Type": "application/json"}, buffers=(content,))

    @classmethod
    def of_error(
        cls, message: str, status: int, headers: Mapping[str, str] | None = None
    ) -> "Reply":
        """Reply with an error, as the protocol writes it."""
        if len(message) > _LONGEST_ERROR:
            message = f"{message[:_LONGEST_ERROR]} ..."
        reply = cls.of_json({"error": message}, status=status)
        return cls(
            status=status, headers={**reply.headers, **(headers or {})}, buffers=reply.buffers
        )


class Exchange:
    """One request that came in, and the way to answer it.

    Parameters
    ----------
    scope, receive, send
        As ASGI gives them.
    limits : HttpLimits
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: HttpLimits) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._is_read = False
        self._is_slow = False
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }

    async def read_body(self, budget: BodyBudget) -> bytes | bytearray:
        """Read the body; what it takes of the budget is left to the caller to give back.

        Raises
        ------
        RequestError
            It is too large (413), too slow (408), or too much with what else is held (429).
        ClientGoneError
            The client is gone.
        """
        self._check_length()
        body: bytes | bytearray = b""
        loop = asyncio.get_running_loop()
        start = looked = loop.time()
        try:
            async with asyncio.timeout_at(start + self._limits.body_seconds) as patience:
                while not self._is_read:
                    chunk = await self._read_chunk()
                    if len(body) + len(chunk) > self._limits.request_bytes:
                        self._refuse_size()
                    budget.take(len(chunk))
                    body = _append(body, chunk)
                    if loop.time() > looked + self._limits.body_seconds / _LOOKS:
                        looked = loop.time()
                        patience.reschedule(start + self._limits.allow_seconds(len(body)))
        except BaseException as error:
            budget.give_back(len(body))
            if isinstance(error, TimeoutError):
                self._is_slow = True
                raise RequestError(
                    f"The body arrives too slowly: {len(body)} bytes until now.", status=_TOO_SLOW
                ) from error
            raise
        return body

    async def answer(self, reply: Reply) -> None:
        """Send the reply."""
        size = sum(map(len, reply.buffers))
        headers = {**reply.headers, "Content-Length": str(size), **self._trace()}
        lingers = not self._is_read and not self._may_stay()
        if lingers:
            headers["Connection"] = "close"
        *parts, last = _join(reply.buffers, size)
        await self._send_start(reply.status, headers)
        for part in parts:
            await self._send_part(part)
        await self._send_part(last, is_last=not lingers)
        if lingers:
            await self._linger()
            await self._send_part(b"", is_last=True)

    async def _send_start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status and the headers."""
        lines = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})

    async def _send_part(self, data: bytes | memoryview, *, is_last: bool = False) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": not is_last})

    async def _read_chunk(self) -> bytes:
        """Read the next part of the body."""
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        self._is_read = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    async def _linger(self) -> None:
        """Read on for a while and drop it, or the client could not read the reply."""
        try:
            async with asyncio.timeout(self._limits.linger_seconds):
                while not self._is_read:
                    await self._read_chunk()
        except (TimeoutError, ClientGoneError):
            return

    def _check_length(self) -> None:
        """Refuse a body by the length that its header tells."""
        text = self.headers.get("content-length")
        if text is None:
            return
        try:
            length = read_length(text, "Content-Length")
        except ProtocolError as error:
            raise RequestError(str(error)) from error
        if length > self._limits.request_bytes:
            self._refuse_size()

    def _refuse_size(self) -> None:
        """Refuse a body that is too large."""
        raise RequestError(
            f"The body is larger than the {self._limits.request_bytes} bytes that are allowed;"
            " send less at once, or raise --max-request-bytes of the server.",
            status=_TOO_LARGE,
        )

    def _may_stay(self) -> bool:
        """Tell whether a connection can be kept whose request's body was not read to its end."""
        if "expect" in self.headers or "transfer-encoding" in self.headers or self._is_slow:
            return False
        length = self.headers.get("content-length", "0")
        return length.isdecimal() and int(length) <= self._limits.request_bytes

    def _trace(self) -> dict[str, str]:
        """Return the caller's trace context, if it is one (W3C Trace Context, level 1)."""
        trace = self.headers.get("traceparent", "")
        return {"traceparent": trace} if _TRACEPARENT.fullmatch(trace) else {}


def _append(body: bytes | bytearray, chunk: bytes) -> bytes | bytearray:
    """Add a part to a body; the only part is not copied."""
    if not body:
        return chunk
    if isinstance(body, bytes):
        body = bytearray(body)
    body += chunk
    return body


def _join(buffers: tuple[bytes | memoryview, ...], size: int) -> tuple[bytes | memoryview, ...]:
    """Join small parts into one."""
    return (b"".join(buffers),) if size <= _JOINED_BYTES else buffers
