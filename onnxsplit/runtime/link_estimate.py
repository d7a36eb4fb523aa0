"""What is known of a link right now, learned from transfers that tell.

A controller that takes every transfer for a measurement under-reads the link: a small one takes a
round trip whatever the rate, the estimate falls, the cut that sends least is chosen, and its small
transfers keep the estimate low for ever. So a transfer sets a rate only if it fills the pipe; what
it shows otherwise is a lower bound. Slopes between two sizes always tell.
"""

from collections import deque
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from onnxsplit.tiers import Link

FILLS = 3.0
"""A transfer that lasts this many round trips beyond the first fills the pipe."""
REMEMBERED = 3
"""The estimate is the median of so many of the latest figures: one outlier moves nothing."""

Way = Literal["up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What one request showed of the link.

    Parameters
    ----------
    sent_bytes, received_bytes : int
    seconds : float
        From the first byte sent to the last received, less what the server computed.
    """

    sent_bytes: int
    received_bytes: int
    seconds: float


class LinkEstimate:
    """Rates and round trip as last seen.

    Parameters
    ----------
    link : Link
        Where to begin: what was planned for.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._figures: dict[Way, deque[float]] = {
            "up": deque([link.up_bytes_per_second], REMEMBERED),
            "down": deque([link.down_bytes_per_second], REMEMBERED),
        }

    @property
    def link(self) -> Link:
        """The link as it seems to be."""
        return self._link

    def learn_round_trip(self, seconds: float) -> None:
        """Take a tiny request's time for the round trip."""
        self._link = replace(self._link, round_trip_seconds=seconds)

    def learn_rate(self, way: Way, bytes_per_second: float) -> None:
        """Take a slope for the rate of one way."""
        self._figures[way].append(bytes_per_second)
        self._settle(way)

    def learn(self, transfer: Transfer) -> None:
        """Learn from a transfer what it tells, and nothing more."""
        link = self._link
        up = transfer.sent_bytes / link.up_bytes_per_second
        down = transfer.received_bytes / link.down_bytes_per_second
        way: Way = "up" if up >= down else "down"
        size = transfer.sent_bytes if way == "up" else transfer.received_bytes
        moving = transfer.seconds - link.round_trip_seconds - min(up, down)
        fills = moving > FILLS * link.round_trip_seconds
        if moving <= 0 or not size:
            return
        rate = size / moving
        current = link.up_bytes_per_second if way == "up" else link.down_bytes_per_second
        if fills or rate > current:
            self.learn_rate(way, rate)

    def forget(self) -> None:
        """Let the next figures count at once, for the link was down or has changed."""
        for figures in self._figures.values():
            figures.clear()

    def _settle(self, way: Way) -> None:
        """Take the median of the latest figures, unless the two last agree on something else."""
        figures = list(self._figures[way])
        rate = median(figures)
        last = figures[-2:]
        if len(last) == 2 and max(last) < 1.25 * min(last):  # noqa: PLR2004 - two that agree
            rate = median(last)
        if way == "up":
            self._link = replace(self._link, up_bytes_per_second=rate)
        else:
            self._link = replace(self._link, down_bytes_per_second=rate)
