"""Choose among several cuts as the link changes; pure, and driven by a clock that is handed in."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from onnxsplit.cut_entries import CutEntry
from onnxsplit.errors import UsageError
from onnxsplit.runtime.link_estimate import LinkEstimate, Transfer
from onnxsplit.runtime.run_traces import RunTrace
from onnxsplit.tiers import Link

ALL_DEVICE = "all-device"
HYSTERESIS = 0.15
"""A cut must be better by this share before it takes over."""
DWELL_SECONDS = 1.0
"""How long a cut stays at least, unless the link goes down."""
PATIENCE = 5.0
LEAST_PATIENCE_SECONDS = 1.0
"""A request is waited for this many times as long as predicted, and at least so long."""
COUNTS = 0.1
"""Bytes that come back count from this share of those that are sent."""
REMEMBERED = 9
"""Runs by which a machine's speed is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A change of cut.

    Parameters
    ----------
    at_seconds : float
        By the controller's clock, from its beginning.
    cut : str
        The new one.
    reason : str
    """

    at_seconds: float
    cut: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the change as ``run --format json`` prints it."""
        return {"at_seconds": self.at_seconds, "cut": self.cut, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class CutWork:
    """What a cut is predicted to compute on either side.

    Parameters
    ----------
    device_seconds, server_seconds : float
    """

    device_seconds: float
    server_seconds: float

    @classmethod
    def of(cls, cut: CutEntry) -> "CutWork":
        """Read it from the cut's plan."""
        tiers = cut.plan["tiers"]
        seconds = {"device": 0.0, "server": 0.0}
        for part in cut.plan["predicted"]["parts"]:
            where = part.get("tier")
            if where is not None:
                seconds["device" if where == tiers[0] else "server"] += part["seconds"]
        return cls(device_seconds=seconds["device"], server_seconds=seconds["server"])


class CutController:
    """Chooses the cut that is best over the link as it is; several threads may share it.

    Parameters
    ----------
    cuts : sequence of CutEntry
        Of a bundle; one of them runs on the device alone.
    link : Link
        What is assumed until something is learned.
    clock : callable
        Seconds from any beginning.
    hysteresis, dwell_seconds : float

    Raises
    ------
    UsageError
        No cut runs on the device alone, so that there is nothing to do when the link is down.

    Notes
    -----
    What the machines take is learned as well: the ratio of measured to predicted seconds of each
    is the same for all cuts, so that a plan made with assumed speeds comes right after a few runs.
    """

    def __init__(
        self,
        cuts: Sequence[CutEntry],
        link: Link,
        *,
        clock: Callable[[], float] = time.monotonic,
        hysteresis: float = HYSTERESIS,
        dwell_seconds: float = DWELL_SECONDS,
    ) -> None:
        self._cuts = {cut.id: cut for cut in cuts}
        if ALL_DEVICE not in self._cuts:
            raise UsageError(
                f"--adaptive needs a cut {ALL_DEVICE!r} for when the link is down, and the bundle"
                " has none; make it with `cut --frontier`, without constraints that forbid it."
            )
        self._work = {cut.id: CutWork.of(cut) for cut in cuts}
        self._estimate = LinkEstimate(link)
        self._clock = clock
        self._hysteresis = hysteresis
        self._dwell_seconds = dwell_seconds
        self._ratios: Mapping[str, deque[float]] = {
            "device": deque(maxlen=REMEMBERED),
            "server": deque(maxlen=REMEMBERED),
        }
        self._lock = threading.Lock()
        self._is_up = True
        self._start_seconds = clock()
        self._current = self._find_best()
        self._since_seconds = self._start_seconds
        self.switches: list[Switch] = []

    @property
    def link(self) -> Link:
        """The link as it seems to be."""
        return self._estimate.link

    @property
    def is_up(self) -> bool:
        """Whether the server could be reached when it was last tried."""
        return self._is_up

    @property
    def needs_downlink(self) -> bool:
        """Whether what comes back counts beside what is sent."""
        return any(
            cut.bytes_per_downlink > COUNTS * cut.bytes_per_uplink for cut in self._cuts.values()
        )

    def predict_seconds(self, cut: str) -> float:
        """Return what a run of a cut takes, as far as is known now."""
        entry, work, link = self._cuts[cut], self._work[cut], self._estimate.link
        crossing = (
            entry.bytes_per_uplink / link.up_bytes_per_second
            + entry.bytes_per_downlink / link.down_bytes_per_second
            + entry.round_trips * link.round_trip_seconds
        )
        return (
            crossing
            + work.device_seconds * self._ratio("device")
            + work.server_seconds * self._ratio("server")
        )

    def choose(self) -> str:
        """Return the next cut; O(number of cuts)."""
        with self._lock:
            if not self._is_up:
                self._switch(ALL_DEVICE, "the link is down")
                return self._current
            best = self._find_best()
            has_dwelt = self._clock() - self._since_seconds >= self._dwell_seconds
            limit = (1 - self._hysteresis) * self.predict_seconds(self._current)
            if has_dwelt and self.predict_seconds(best) < limit:
                self._switch(best, f"the link is {self.link.describe()}")
            return self._current

    def find_patience(self, cut: str) -> float:
        """Return how long a request of a cut is waited for, before the link counts as down."""
        return max(LEAST_PATIENCE_SECONDS, PATIENCE * self.predict_seconds(cut))

    def observe(self, trace: RunTrace) -> None:
        """Learn from a run."""
        with self._lock:
            if trace.route == "fallback":
                self._is_up = False
                return
            work = self._work.get(trace.cut)
            if work is None:
                return
            self._learn_ratio("device", trace.device_seconds, work.device_seconds)
            if trace.route != "split":
                return
            self._learn_ratio("server", trace.server_seconds, work.server_seconds)
            if not trace.is_fresh and not trace.retries:
                self._estimate.learn(
                    Transfer(
                        sent_bytes=trace.sent_bytes,
                        received_bytes=trace.received_bytes,
                        seconds=trace.network_seconds,
                    )
                )

    def observe_probe(
        self,
        *,
        round_trip_seconds: float,
        up_bytes_per_second: float | None = None,
        down_bytes_per_second: float | None = None,
    ) -> None:
        """Learn from a probe that reached the server.

        Parameters
        ----------
        round_trip_seconds : float
        up_bytes_per_second, down_bytes_per_second : float, optional
            Slopes; None where none was measured, or the link was too uneven for one.
        """
        with self._lock:
            if not self._is_up:
                self._is_up = True
                self._estimate.forget()
                self._since_seconds = -float("inf")  # what ran meanwhile was no choice
            self._estimate.learn_round_trip(round_trip_seconds)
            if up_bytes_per_second is not None:
                self._estimate.learn_rate("up", up_bytes_per_second)
            if down_bytes_per_second is not None:
                self._estimate.learn_rate("down", down_bytes_per_second)

    def observe_outage(self) -> None:
        """Take note that a probe did not reach the server."""
        with self._lock:
            self._is_up = False

    def _find_best(self) -> str:
        """Return the cheapest cut; of equals the first, which sends less."""
        return min(self._cuts, key=self.predict_seconds)

    def _switch(self, cut: str, reason: str) -> None:
        """Change the cut, if it is another."""
        if cut == self._current:
            return
        now = self._clock()
        self._current, self._since_seconds = cut, now
        self.switches.append(Switch(at_seconds=now - self._start_seconds, cut=cut, reason=reason))

    def _ratio(self, machine: str) -> float:
        """Return how many times as long as predicted a machine takes."""
        ratios = self._ratios[machine]
        return median(ratios) if ratios else 1.0

    def _learn_ratio(self, machine: str, measured: float, predicted: float) -> None:
        """Learn a machine's speed from a run."""
        if measured > 0 and predicted > 0:
            self._ratios[machine].append(measured / predicted)
