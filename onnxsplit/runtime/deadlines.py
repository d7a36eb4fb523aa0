"""Deadlines that hold for a whole exchange, however slowly the bytes trickle."""

import io
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from onnxsplit.errors import LinkTimeoutError

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """A moment until which something must be done.

    Parameters
    ----------
    end_seconds : float or None
        By the clock; None for no limit.
    clock : callable
        Seconds from any beginning.
    """

    end_seconds: float | None
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(
        cls, seconds: float | None, clock: Callable[[], float] = time.monotonic
    ) -> "Deadline":
        """Return a deadline so many seconds from now."""
        return cls(end_seconds=None if seconds is None else clock() + seconds, clock=clock)

    @property
    def remaining_seconds(self) -> float | None:
        """What is left of it; None for no limit.

        Raises
        ------
        LinkTimeoutError
            It has passed.
        """
        if self.end_seconds is None:
            return None
        left = self.end_seconds - self.clock()
        if left <= 0:
            raise LinkTimeoutError("The time that was given for the request has passed.")
        return left


class DeadlineSocket:
    """A connected socket that keeps to a deadline, as `http.client` uses sockets.

    A socket's own timeout holds for a single call, so that a server which sends a byte now and
    then is never late; here each call gets what is left.

    Parameters
    ----------
    native : socket
        Taken over.
    """

    def __init__(self, native: socket.socket) -> None:
        self.native = native
        self.deadline = Deadline(end_seconds=None)
        self._pending: list[Buffer] = []
        self._readers = 0
        self._is_closed = False

    def sendall(self, data: Buffer) -> None:
        """Keep data until `flush`, so that a head and its body leave at once."""
        self._pending.append(data)

    def flush(self) -> None:
        """Send all that was kept; nothing is copied."""
        pending = [memoryview(data) for data in self._pending if len(data)]
        self._pending.clear()
        self.native.settimeout(self.deadline.remaining_seconds)
        # TLS knows no scattered buffers.
        sent = 0 if isinstance(self.native, ssl.SSLSocket) else self.native.sendmsg(pending)
        for data in pending:
            if sent < len(data):
                self.native.settimeout(self.deadline.remaining_seconds)
                self.native.sendall(data[sent:])
            sent = max(0, sent - len(data))

    def receive_into(self, buffer: Buffer) -> int:
        """Receive what is there into a buffer, and return how much that was."""
        self.native.settimeout(self.deadline.remaining_seconds)
        return self.native.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a reader of what comes in."""
        if mode != "rb":
            raise ValueError(mode)
        self._readers += 1
        return io.BufferedReader(_Incoming(self))

    def close(self) -> None:
        """Close the connection as soon as no reader is open."""
        self._is_closed = True
        self._close_unused()

    def release(self) -> None:
        """Count a reader as closed."""
        self._readers -= 1
        self._close_unused()

    def _close_unused(self) -> None:
        """Close the connection if it is to be, and nobody reads any more."""
        if self._is_closed and not self._readers:
            self.native.close()


class _Incoming(io.RawIOBase):
    """Reads a socket within its deadline."""

    def __init__(self, source: DeadlineSocket) -> None:
        self._source = source

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:  # type: ignore[override] # any buffer that is bytes
        """Read what is there."""
        return self._source.receive_into(buffer)

    def close(self) -> None:
        """Let go of the socket; closing twice is allowed."""
        if not self.closed:
            super().close()
            self._source.release()
