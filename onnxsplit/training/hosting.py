"""The server's halves of one training: the one that all share, and one for each client apart."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from onnxsplit.errors import RequestError
from onnxsplit.training.server import ServerHalf

_FULL = 429


class HostedHalves:
    """Halves that learn on the server, each used by one request at a time.

    Parameters
    ----------
    open_half : callable
        Opens a half in its first state.
    most_clients : int
        Halves of clients of their own that are kept, beside the shared one.
    """

    def __init__(self, open_half: Callable[[], ServerHalf], *, most_clients: int = 16) -> None:
        self._open_half = open_half
        self._most_clients = most_clients
        self._halves: dict[str, tuple[ServerHalf, threading.Lock]] = {}
        self._lock = threading.Lock()
        self._find("")

    @contextmanager
    def lend(self, client: str = "") -> Iterator[ServerHalf]:
        """Lend a half; whoever else asks for it waits.

        Parameters
        ----------
        client : str
            Empty for the shared half; another name gets a half of its own, which is opened in its
            first state when the name is first heard.

        Raises
        ------
        RequestError
            There are as many clients as may be (status 429).
        """
        half, lock = self._find(client)
        with lock:
            yield half

    def drop(self, client: str) -> None:
        """Let go of a client's own half; the shared one stays."""
        with self._lock:
            found = self._halves.pop(client, None) if client else None
        if found is not None:
            half, lock = found
            with lock:
                half.close()

    def renew(self, client: str) -> None:
        """Put a half back into its first state."""
        half, lock = self._find(client)
        with lock:
            fresh = self._open_half()
            try:
                half.write_state(fresh.read_state(), step=0)
            finally:
                fresh.close()

    def close(self) -> None:
        """Let go of all halves; closing twice is allowed."""
        with self._lock:
            halves, self._halves = list(self._halves.values()), {}
        for half, lock in halves:
            with lock:
                half.close()

    def _find(self, client: str) -> tuple[ServerHalf, threading.Lock]:
        """Return a half with its lock; open it if it is new."""
        with self._lock:
            if client not in self._halves:
                if len(self._halves) > self._most_clients:
                    raise RequestError(
                        f"The server keeps halves for {self._most_clients} clients at a time, and"
                        f" {client!r} would be one more; let another end first.",
                        status=_FULL,
                    )
                self._halves[client] = self._open_half(), threading.Lock()
            return self._halves[client]
