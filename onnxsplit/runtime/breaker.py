"""A breaker: after a failure the server is left alone for a while, then asked once."""

import threading
import time
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half-open"]

FIRST_REST_SECONDS = 0.5
LONGEST_REST_SECONDS = 10.0


class Breaker:
    """Decides whether a server is to be asked; several threads may share it.

    Closed, every request goes out. A failure opens it: none does, for a rest. After the rest it is
    half open: a single caller may try. If that works it closes, else it opens again, for twice as
    long.

    Parameters
    ----------
    clock : callable
        Seconds from any beginning.
    first_rest_seconds, longest_rest_seconds : float
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        first_rest_seconds: float = FIRST_REST_SECONDS,
        longest_rest_seconds: float = LONGEST_REST_SECONDS,
    ) -> None:
        self._clock = clock
        self._first_rest_seconds = first_rest_seconds
        self._longest_rest_seconds = longest_rest_seconds
        self._rest_seconds = first_rest_seconds
        self._state: State = "closed"
        self._retry_seconds = 0.0
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """What it is now."""
        return self._state

    def may_ask(self) -> bool:
        """Tell whether requests go out as ever; O(1)."""
        return self._state == "closed"

    def may_try(self) -> bool:
        """Tell whether the caller is to try whether the server is back; True to one caller."""
        with self._lock:
            if self._state != "open" or self._clock() < self._retry_seconds:
                return False
            self._state = "half-open"
            return True

    def succeed(self) -> None:
        """Take note that the server answered."""
        with self._lock:
            self._state = "closed"
            self._rest_seconds = self._first_rest_seconds

    def fail(self) -> None:
        """Take note that it did not; of requests that fail together the first counts."""
        with self._lock:
            if self._state == "open":
                return
            if self._state == "half-open":
                self._rest_seconds = min(2 * self._rest_seconds, self._longest_rest_seconds)
            self._state = "open"
            self._retry_seconds = self._clock() + self._rest_seconds
