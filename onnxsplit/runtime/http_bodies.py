"""Bodies of requests as they come in: by the parser, or straight into where they stay."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import numpy as np

from onnxsplit.errors import RequestError
from onnxsplit.runtime.http_limits import BodyBudget

BodyData = bytes | bytearray | memoryview

DIRECT_BODY = "onnxsplit.direct_body"
"""Key of a `DirectReceive` in the ``state`` of an ASGI scope, where the server has one."""

_LEAST_DIRECT_BYTES = 2**16
"""Less of a body goes by the parser."""


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


class FilledBody(Protocol):
    """Memory that a connection fills."""

    @property
    def rest(self) -> memoryview:
        """The memory of all that is still missing."""

    def count(self, nbytes: int) -> bool:
        """Count bytes that have come into it, and tell whether no more are to come."""


DirectReceive = Callable[[FilledBody, float], Awaitable[None]]
"""Receives into a body until no more is to come, or for so many seconds.

Raises `ClientGoneError` if the client is gone.
"""


class IncomingBody:
    """What has come of a body, and what of the budget it holds.

    Parameters
    ----------
    budget : BodyBudget
    length_bytes : int or None
        What will come in all, where that was told.
    """

    def __init__(self, budget: BodyBudget, length_bytes: int | None) -> None:
        self.size_bytes = 0
        self._budget = budget
        self._length_bytes = length_bytes
        self._data: bytes | bytearray = b""
        self._room: memoryview | None = None
        self._rest = memoryview(b"")
        self._refusal: RequestError | None = None

    @property
    def data(self) -> BodyData:
        """All of it, once it has come."""
        return self._data if self._room is None else self._room

    @property
    def rest(self) -> memoryview:
        """The memory of all that is still missing."""
        return self._rest

    @property
    def is_direct(self) -> bool:
        """Whether it goes past the parser from here on: its beginning has come, much is missing."""
        if self._room is not None or not self._data or self._length_bytes is None:
            return self._room is not None
        return self._length_bytes - self.size_bytes >= _LEAST_DIRECT_BYTES

    def append(self, chunk: bytes) -> None:
        """Add a part; the only part is not copied.

        Raises
        ------
        RequestError
            The budget has not so much left (429).
        """
        self._take(len(chunk))
        if not self._data:
            self._data = chunk
            return
        if isinstance(self._data, bytes):
            self._data = bytearray(self._data)
        self._data += chunk

    async def receive(self, receive: DirectReceive, seconds: float) -> bool:
        """Receive into memory of the whole length, which is not used before it is written.

        Returns
        -------
        bool
            Whether all has come.

        Raises
        ------
        RequestError
            The budget has not so much left (429).
        ClientGoneError
            The client is gone.
        """
        if self._room is None:
            self._room = np.empty(self._length_bytes or 0, np.uint8).data
            self._room[: self.size_bytes] = self._data
            self._rest, self._data = self._room[self.size_bytes :], b""
        await receive(self, seconds)
        if self._refusal is not None:
            raise self._refusal
        return not self._rest

    def count(self, nbytes: int) -> bool:
        """Count bytes that have come into it, and tell whether no more are to come."""
        self._rest = self._rest[nbytes:]
        try:
            self._take(nbytes)
        except RequestError as error:
            self._refusal = error
        return self._refusal is not None or not self._rest

    def _take(self, count: int) -> None:
        """Hold more bytes."""
        self._budget.take(count)
        self.size_bytes += count
