"""One HTTP request and its reply, over the ASGI interface."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from onnxsplit.errors import ProtocolError, RequestError
from onnxsplit.runtime.bodies import read_length
from onnxsplit.runtime.http_bodies import (
    DIRECT_BODY,
    BodyData,
    ClientGoneError,
    DirectReceive,
    IncomingBody,
)
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
        self._is_direct = False
        self._fill: DirectReceive | None = scope.get("state", {}).get(DIRECT_BODY)
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }

    async def read_body(self, budget: BodyBudget) -> BodyData:
        """Read the body; what it takes of the budget is left to the caller to give back.

        Raises
        ------
        RequestError
            It is too large (413), too slow (408), or too much with what else is held (429).
        ClientGoneError
            The client is gone.
        """
        body = IncomingBody(budget, self._check_length())
        loop = asyncio.get_running_loop()
        start = looked = loop.time()
        try:
            async with asyncio.timeout_at(start + self._limits.body_seconds) as patience:
                while not self._is_read:
                    await self._read_more(body)
                    if loop.time() > looked + self._look_seconds:
                        looked = loop.time()
                        patience.reschedule(start + self._limits.allow_seconds(body.size_bytes))
        except BaseException as error:
            budget.give_back(body.size_bytes)
            if isinstance(error, TimeoutError):
                self._is_slow = True
                raise RequestError(
                    f"The body arrives too slowly: {body.size_bytes} bytes until now.",
                    status=_TOO_SLOW,
                ) from error
            raise
        return body.data

    @property
    def _look_seconds(self) -> float:
        """After how long a body is given more time for what has come."""
        return self._limits.body_seconds / _LOOKS

    async def _read_more(self, body: IncomingBody) -> None:
        """Read more of a body: past the parser, once its beginning is there and much is missing."""
        if self._fill is not None and body.is_direct:
            self._is_direct = True
            self._is_read = await body.receive(self._fill, self._look_seconds)
            return
        chunk = await self._read_chunk()
        if body.size_bytes + len(chunk) > self._limits.request_bytes:
            self._refuse_size()
        body.append(chunk)

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

    def _check_length(self) -> int | None:
        """Return the length of the body that its header tells, unless it is too large."""
        text = self.headers.get("content-length")
        if text is None:
            return None
        try:
            length = read_length(text, "Content-Length")
        except ProtocolError as error:
            raise RequestError(str(error)) from error
        if length > self._limits.request_bytes:
            self._refuse_size()
        return None if "transfer-encoding" in self.headers else length

    def _refuse_size(self) -> None:
        """Refuse a body that is too large."""
        raise RequestError(
            f"The body is larger than the {self._limits.request_bytes} bytes that are allowed;"
            " send less at once, or raise --max-request-bytes of the server.",
            status=_TOO_LARGE,
        )

    def _may_stay(self) -> bool:
        """Tell whether a connection can be kept whose request's body was not read to its end."""
        if "expect" in self.headers or "transfer-encoding" in self.headers:
            return False
        if self._is_slow or self._is_direct:
            return False
        length = self.headers.get("content-length", "0")
        return length.isdecimal() and int(length) <= self._limits.request_bytes

    def _trace(self) -> dict[str, str]:
        """Return the caller's trace context, if it is one (W3C Trace Context, level 1)."""
        trace = self.headers.get("traceparent", "")
        return {"traceparent": trace} if _TRACEPARENT.fullmatch(trace) else {}


def _join(buffers: tuple[bytes | memoryview, ...], size: int) -> tuple[bytes | memoryview, ...]:
    """Join small parts into one."""
    return (b"".join(buffers),) if size <= _JOINED_BYTES else buffers
