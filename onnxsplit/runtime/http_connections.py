"""Connections of the HTTP server: uvicorn's, with a clock on the headers and errors in JSON.

What is large of a body goes straight into the memory where it stays, past the parser, which would
copy it five times.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from onnxsplit.errors import UsageError
from onnxsplit.runtime.http_bodies import DIRECT_BODY, ClientGoneError, FilledBody
from onnxsplit.runtime.http_limits import HttpLimits

try:
    import h11
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
except ImportError as error:
    raise UsageError('Serving over HTTP needs uvicorn: pip install "onnxsplit[serve]".') from error

_MOST_WAITING_BYTES = 2**20
_SCRATCH_BYTES = 2**16


class _PatientFlow(FlowControl):
    """Stops reading when a good part of a body waits for the application, and not before.

    uvicorn stops with every 64 KiB, and asks the system to stop and to go on each time: half as
    much again for a body of megabytes.

    Parameters
    ----------
    transport : asyncio.Transport
    is_behind : callable
        Whether the application has much to read, or nothing that may be read goes on.
    """

    def __init__(self, transport: asyncio.Transport, is_behind: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._is_behind = is_behind

    def pause_reading(self) -> None:
        """Stop reading, if that is of use."""
        if self._is_behind():
            super().pause_reading()


class GuardedConnection(H11Protocol, asyncio.BufferedProtocol):
    """One connection; `guard_connections` says within which limits.

    uvicorn bounds how long a connection rests, but not how long a request's headers take; a client
    that sends a byte now and then would hold it for ever.
    """

    limits: HttpLimits
    scratch: memoryview
    _filled: FilledBody | None = None
    _is_past_parser = False
    _early = b""
    _timer: asyncio.TimerHandle | None = None
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn
        """Begin to wait for a request, unless there are too many connections."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, DIRECT_BODY: self.fill}
        self.flow = _PatientFlow(transport, self._is_behind)
        # asyncio sets this only on sockets that name their protocol; without it a response waits
        # 40 ms between its headers and its body.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "The server has too many connections; try again later.")
            return
        self._start_timer()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Say where the next bytes go; the scratch is for one call of one connection at a time."""
        return self.scratch if self._filled is None else self._filled.rest

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that have come: into a body's memory, or by the parser."""
        body = self._filled
        if body is None:
            self.data_received(bytes(self.scratch[:nbytes]))
        elif body.count(nbytes):
            self._filled = None
            self.cycle.more_body = len(body.rest) > 0
            self.cycle.message_event.set()

    async def fill(self, body: FilledBody, seconds: float) -> None:
        """Receive a body straight into its memory; see `http_bodies.DirectReceive`."""
        self._is_past_parser, self._filled = True, body
        self.flow.resume_reading()
        event = self.cycle.message_event
        timer = self.loop.call_later(seconds, event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()
            event.clear()
            self._filled = None
        if self.cycle.more_body and self.cycle.disconnected:
            raise ClientGoneError

    def data_received(self, data: bytes) -> None:
        """Take bytes; from the first to the last header's, the clock runs."""
        if self._is_past_parser:
            self._take_early(data)
            return
        if self._timer is None and self._awaits_request():
            self._start_timer()
        super().data_received(data)
        if not self._awaits_request():
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Go on to the next request, with a new parser if the old one never saw this body's end."""
        if not self._is_past_parser:
            super().on_response_complete()
            return
        early, self._early, self._is_past_parser = self._early, b"", False
        self.conn = h11.Connection(h11.SERVER)
        super().on_response_complete()
        if early and not self.transport.is_closing():
            self.data_received(early)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_timer()
        self._stop_patience()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Give the client its time to take what waits to be sent."""
        super().pause_writing()
        self._start_patience()

    def resume_writing(self) -> None:
        """Go on: it has taken most of it."""
        self._stop_patience()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that rests, whether its client takes the last bytes or not."""
        super().timeout_keep_alive_handler()
        self._start_patience()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the protocol's own form of an error."""
        self._refuse(400, msg)

    def _take_early(self, data: bytes) -> None:
        """Keep what follows a body until it is answered, and drop what is left of a refused one."""
        if not self.cycle.more_body:
            self._early += data
            self.flow.pause_reading()

    def _is_behind(self) -> bool:
        """Tell whether reading on would pile up what the application does not read yet."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or not cycle.more_body or len(cycle.body) > _MOST_WAITING_BYTES

    def _awaits_request(self) -> bool:
        """Tell whether no request is being answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return cycle is None or cycle.response_complete

    def _start_timer(self) -> None:
        """Give the client its time for the headers."""
        self._timer = self.loop.call_later(self.limits.header_seconds, self._give_up)

    def _stop_timer(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_patience(self) -> None:
        """Give the client its time to read."""
        self._stop_patience()
        self._patience = self.loop.call_later(self.limits.send_seconds, self.transport.abort)

    def _stop_patience(self) -> None:
        """Stop the clock of a client that reads."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        """Close a connection whose client is too slow."""
        self._refuse(408, "The request's headers did not arrive in time.")

    def _refuse(self, status: int, message: str) -> None:
        """Answer an error, if an answer may still begin, and close the connection."""
        if self.transport.is_closing():
            return
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            content = json.dumps({"error": message}).encode()
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(content))),
                ("Connection", "close"),
            ]
            events = (
                h11.Response(
                    status_code=status,
                    headers=headers,
                    reason=HTTPStatus(status).phrase.encode(),
                ),
                h11.Data(data=content),
                h11.EndOfMessage(),
            )
            for event in events:
                self.transport.write(self.conn.send(event))
        self.transport.close()
        self._start_patience()


def guard_connections(limits: HttpLimits) -> type[GuardedConnection]:
    """Return the class of connections with these limits, as uvicorn wants it."""
    # Another server's thread would write into a scratch that all of them shared.
    own = {"limits": limits, "scratch": memoryview(bytearray(_SCRATCH_BYTES))}
    return type("LimitedConnection", (GuardedConnection,), own)
