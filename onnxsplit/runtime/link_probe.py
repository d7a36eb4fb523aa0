"""Measure a link through the inference protocol: a round trip, and a rate each way.

A rate is the slope of the time between two sizes, so that what every request costs drops out. The
larger size is so large that it fills the pipe; times are medians, taken in turns, until the slope
is sure or the time is spent.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from onnxsplit.errors import RequestError, TransportError
from onnxsplit.runtime.probe_requests import ProbeRequests
from onnxsplit.tiers import Link

FIRST_BYTES = 65536
MOST_BYTES = 16 * 2**20
LONG_SECONDS = 0.15
LONG_TRIPS = 6
"""What the larger transfer takes at least, beyond a round trip, unless it would be too large: so
many seconds and so many round trips, for a connection begins slowly."""
SIZE_RATIO = 4
SURE = 0.03
"""Relative half width of the interval of a rate that is sure."""
FEWEST_ROUNDS = 5
ROUND_TRIPS = 15
_TOO_LARGE = 413

Ask = Callable[[int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRate:
    """A rate in one direction.

    Parameters
    ----------
    bytes_per_second : float
    interval_relative : float or None
        Half width of its 95 % interval, relative to it; None with too few rounds.
    rounds : int
        Pairs of transfers.
    large_bytes : int
        The larger transfer of each pair.
    """

    bytes_per_second: float
    interval_relative: float | None
    rounds: int
    large_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMeasurement:
    """What a probe found.

    Parameters
    ----------
    up, down : MeasuredRate
    round_trip_seconds : float
        The median of tiny requests on a warm connection, what the server does for each included.
    cold_seconds : float
        The first tiny request: the connection was opened for it.
    """

    up: MeasuredRate
    down: MeasuredRate
    round_trip_seconds: float
    cold_seconds: float

    @property
    def link(self) -> Link:
        """The link, for planning."""
        return Link(
            up_bytes_per_second=self.up.bytes_per_second,
            down_bytes_per_second=self.down.bytes_per_second,
            round_trip_seconds=self.round_trip_seconds,
            evidence="measured",
        )


def measure_link(probe: ProbeRequests, *, budget_seconds: float = 3.0) -> LinkMeasurement:
    """Measure a link.

    Parameters
    ----------
    probe : ProbeRequests
        Over a connection that is not open yet.
    budget_seconds : float
        For each direction; a slow link takes the fewest rounds all the same.

    Raises
    ------
    TransportError
        The server can't be reached, has no probe model, or the link is too uneven for a slope.
    """
    start = time.perf_counter()
    probe.ask()
    cold = time.perf_counter() - start
    trips = [probe.ask() for _ in range(ROUND_TRIPS)]
    round_trip = median(trips)
    return LinkMeasurement(
        up=_measure_rate(lambda size: probe.ask(up_bytes=size), round_trip, budget_seconds),
        down=_measure_rate(lambda size: probe.ask(down_bytes=size), round_trip, budget_seconds),
        round_trip_seconds=round_trip,
        cold_seconds=cold,
    )


def _measure_rate(ask: Ask, round_trip_seconds: float, budget_seconds: float) -> MeasuredRate:
    """Measure one direction."""
    start = time.perf_counter()
    large = _find_size(ask, round_trip_seconds)
    small = large // SIZE_RATIO
    slow: list[float] = []
    fast: list[float] = []
    while True:
        slow.append(ask(large))
        fast.append(ask(small))
        interval = find_interval([s - f for s, f in zip(slow, fast, strict=True)])
        is_over = time.perf_counter() - start > budget_seconds
        is_sure = interval is not None and interval <= SURE
        if len(slow) >= FEWEST_ROUNDS and (is_sure or is_over):
            break
    gained = median(slow) - median(fast)
    if not gained > 0:
        raise TransportError(
            "The link is too uneven to measure: larger transfers took no longer than smaller ones."
            " Try again, with a larger --budget."
        )
    return MeasuredRate(
        bytes_per_second=(large - small) / gained,
        interval_relative=interval,
        rounds=len(slow),
        large_bytes=large,
    )


def _find_size(ask: Ask, round_trip_seconds: float) -> int:
    """Find a size that fills the pipe for long enough; this warms the connection as well."""
    size = FIRST_BYTES
    while size < MOST_BYTES:
        try:
            seconds = ask(size)
        except RequestError as error:
            if error.status != _TOO_LARGE or size == FIRST_BYTES:
                raise
            return size // SIZE_RATIO
        if seconds - round_trip_seconds > max(LONG_SECONDS, LONG_TRIPS * round_trip_seconds):
            return size
        size *= SIZE_RATIO
    return MOST_BYTES


def find_interval(values: list[float]) -> float | None:
    """Return the half width of the 95 % interval of the median, relative to it.

    By the sign test: the interval between two order statistics, which assumes nothing of how the
    values are spread but that they are independent.

    Returns
    -------
    float or None
        None for fewer than five values, or where the median is not positive.
    """
    count, middle = len(values), median(values) if values else 0.0
    if count < FEWEST_ROUNDS or middle <= 0:
        return None
    ordered = sorted(values)
    reach = math.ceil(0.98 * math.sqrt(count))
    low = ordered[max(0, count // 2 - reach)]
    high = ordered[min(count - 1, (count - 1) // 2 + reach)]
    return (high - low) / 2 / middle
