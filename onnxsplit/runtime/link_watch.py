"""Watch a link while it is used: small probes now and then, and whenever it is down."""

import threading
from statistics import median

from onnxsplit.errors import ProtocolError, TransportError
from onnxsplit.runtime.controller import CutController
from onnxsplit.runtime.deadlines import Deadline
from onnxsplit.runtime.link_probe import Ask
from onnxsplit.runtime.ports import Transport
from onnxsplit.runtime.probe_requests import ProbeRequests
from onnxsplit.runtime.remote_half import RemoteHalf

EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 1.0
"""For a single request of a probe: whoever runs meanwhile waits for it."""
LONG_SECONDS = 0.03
"""What the larger transfer of a probe takes at the rate that is expected."""
LEAST_BYTES, MOST_BYTES = 16384, 524288
SIZE_RATIO = 4
TRIPS = 3
ROUNDS = 2


class LinkWatch:
    """Tells a controller how the link is, from a thread of its own.

    It borrows a connection from those of the runs, so that a probe and a run never share the link
    while there is one connection: each would take the other's share for the whole.

    Parameters
    ----------
    controller : CutController
    remote : RemoteHalf
        Not taken over.
    every_seconds : float
        From the end of a probe to the next.
    """

    def __init__(
        self,
        controller: CutController,
        remote: RemoteHalf,
        *,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._controller = controller
        self._remote = remote
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="onnxsplit-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def look(self) -> None:
        """Probe once, and tell the controller."""
        try:
            with self._remote.lend(Deadline.after(PATIENCE_SECONDS)) as transport:
                self._probe(transport)
        except ProtocolError:
            raise
        except TransportError:
            self._controller.observe_outage()

    def close(self) -> None:
        """Stop watching; closing twice is allowed."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        """Probe until stopped."""
        while not self._stopped.wait(self._every_seconds):
            try:
                self.look()
            except ProtocolError:
                return  # no probe model is served there; runs tell what they can

    def _probe(self, transport: Transport) -> None:
        """Measure a round trip and a rate."""
        probe = ProbeRequests(transport, patience_seconds=PATIENCE_SECONDS)
        probe.ask()  # on a new connection the first is slower
        trip = median(probe.ask() for _ in range(TRIPS))
        link = self._controller.link
        up = _find_slope(lambda size: probe.ask(up_bytes=size), link.up_bytes_per_second)
        down = None
        if self._controller.needs_downlink:
            down = _find_slope(lambda size: probe.ask(down_bytes=size), link.down_bytes_per_second)
        self._controller.observe_probe(
            round_trip_seconds=trip, up_bytes_per_second=up, down_bytes_per_second=down
        )


def _find_slope(ask: Ask, expected_bytes_per_second: float) -> float | None:
    """Measure a rate by the slope between two sizes; None if larger took no longer."""
    wanted = expected_bytes_per_second * LONG_SECONDS
    large = int(min(max(wanted, LEAST_BYTES), MOST_BYTES))
    small = large // SIZE_RATIO
    ask(large)  # after a pause a connection begins slowly
    gained = median(ask(large) - ask(small) for _ in range(ROUNDS))
    return (large - small) / gained if gained > 0 else None
