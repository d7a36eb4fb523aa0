"""A service with the servers that speak for it, from the start to the end."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Protocol, Self

from onnxsplit.runtime.messages import ModelMetadata
from onnxsplit.runtime.service import InferenceService

_LOOK_SECONDS = 0.5
"""How often a system whose waiting no signal ends is looked at."""


class Server(Protocol):
    """Speaks one protocol for a service."""

    @property
    def url(self) -> str:
        """Where it is reached."""

    def stop(self) -> None:
        """Answer what was begun, and end; stopping twice is allowed."""


class RunningServer:
    """Runs until it is stopped; also a context manager that stops it.

    Parameters
    ----------
    service : InferenceService
        Taken over, as are the servers.
    servers : sequence of Server
    notes : sequence of str
        What the one who starts it should know.
    drain_seconds : float
        How long what was begun may take when it is stopped.
    """

    def __init__(
        self,
        service: InferenceService,
        servers: Sequence[Server],
        *,
        notes: Sequence[str] = (),
        drain_seconds: float = 30.0,
    ) -> None:
        self._service = service
        self._servers = tuple(servers)
        self._drain_seconds = drain_seconds
        self.notes = tuple(notes)

    @property
    def url(self) -> str:
        """Where its first server is reached."""
        return self.urls[0]

    @property
    def urls(self) -> tuple[str, ...]:
        """Where each of its servers is reached."""
        return tuple(server.url for server in self._servers)

    @property
    def models(self) -> tuple[ModelMetadata, ...]:
        """What is served, the probe model included."""
        return tuple(model.metadata for model in self._service.repository)

    @property
    def service(self) -> InferenceService:
        """What runs the requests."""
        return self._service

    def wait(self) -> signal.Signals:
        """Serve until the process is told to end, by SIGTERM or SIGINT; of the main thread only.

        Returns
        -------
        signal.Signals
            Which of them it was. A second one ends the process at once.
        """
        with _catch_signals() as caught:
            while not caught.event.wait(_LOOK_SECONDS):
                pass
        return caught.signals[0]

    def stop(self) -> bool:
        """Be not ready, finish what was begun, and end; stopping twice is allowed.

        Returns
        -------
        bool
            Whether all that was begun could be finished in time; what could not is left to itself,
            in threads that Python waits for before it ends.
        """
        finished = self._service.drain(self._drain_seconds)
        with ExitStack() as stack:
            stack.callback(self._service.close, wait=finished)
            for server in self._servers:
                stack.callback(server.stop)
        return finished

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop it."""
        self.stop()


class _Caught:
    """Signals that came."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signals: list[signal.Signals] = []

    def catch(self, number: int, _: FrameType | None) -> None:
        """Take note of a signal."""
        self.signals.append(signal.Signals(number))
        self.event.set()


@contextmanager
def _catch_signals() -> Iterator[_Caught]:
    """Catch what ends a process, and leave the handlers as they were."""
    caught = _Caught()
    names = (signal.SIGTERM, signal.SIGINT)
    before = {name: signal.signal(name, caught.catch) for name in names}
    try:
        yield caught
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
