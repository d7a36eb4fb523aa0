"""Where devices are: somewhere fixed, or on a random way from one waypoint to the next."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import UsageError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """Devices that stay where they are, spread evenly over a square around the station.

    Parameters
    ----------
    side_metres : float

    Raises
    ------
    UsageError
        The square has no size.
    """

    side_metres: float

    def __post_init__(self) -> None:
        """Refuse a square without size."""
        _check_side(self.side_metres)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomWaypoint:
    """Devices that walk straight to a random point of a square, rest, and walk on.

    Parameters
    ----------
    side_metres : float
    slowest_metres_per_second, fastest_metres_per_second : float
        A speed is drawn evenly between them for each way.
    pause_seconds : float
        At each waypoint.

    Raises
    ------
    UsageError
        The square has no size, or the speeds are no range of positive speeds.

    Notes
    -----
    After Johnson and Maltz, "Dynamic Source Routing in Ad Hoc Wireless Networks" (1996). The
    slowest speed must not be 0, where the average speed would decay for ever (Yoon, Liu and Noble,
    "Random Waypoint Considered Harmful", INFOCOM 2003).
    """

    side_metres: float
    slowest_metres_per_second: float
    fastest_metres_per_second: float
    pause_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a square without size and speeds that are no range."""
        _check_side(self.side_metres)
        if not 0 < self.slowest_metres_per_second <= self.fastest_metres_per_second:
            raise UsageError(
                f"The speeds go from {self.slowest_metres_per_second:g} to"
                f" {self.fastest_metres_per_second:g} m/s; give the slower one first, above 0."
            )


Mobility = Static | RandomWaypoint


def draw_positions(
    mobility: Mobility,
    generator: np.random.Generator,
    *,
    epochs: int,
    devices: int,
    interval_seconds: float,
) -> Floats:
    """Draw where each device is at the beginning of each epoch.

    Parameters
    ----------
    mobility : Mobility
    generator : numpy.random.Generator
    epochs, devices : int
    interval_seconds : float
        From one epoch's beginning to the next.

    Returns
    -------
    ndarray of float64, shape (epochs, devices, 2)
        Metres east and north of the station, which stands in the middle.
    """
    half = mobility.side_metres / 2
    places = generator.uniform(-half, half, size=(devices, 2))
    if isinstance(mobility, Static):
        return np.broadcast_to(places, (epochs, devices, 2)).copy()
    walk = _Walk.begin(mobility, generator, places)
    positions = np.empty((epochs, devices, 2))
    for epoch in range(epochs):
        positions[epoch] = walk.places
        walk.go_on(interval_seconds)
    return positions


def _check_side(side_metres: float) -> None:
    """Refuse a square without size."""
    if not 0 < side_metres < float("inf"):
        raise UsageError(f"The area is {side_metres:g} m wide; give a positive width.")


@dataclass(slots=True, kw_only=True)
class _Walk:
    """Devices between waypoints."""

    model: RandomWaypoint
    generator: np.random.Generator
    places: Floats
    targets: Floats
    speeds: Floats
    rests: Floats
    """Seconds that each device still pauses before it leaves."""

    @classmethod
    def begin(
        cls, model: RandomWaypoint, generator: np.random.Generator, places: Floats
    ) -> "_Walk":
        """Send every device on its first way."""
        count = len(places)
        walk = cls(
            model=model,
            generator=generator,
            places=places,
            targets=places.copy(),
            speeds=np.ones(count),
            rests=np.zeros(count),
        )
        walk._choose(np.ones(count, dtype=np.bool_))
        return walk

    def _choose(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Draw the next waypoint and speed of some devices."""
        count, half = int(chosen.sum()), self.model.side_metres / 2
        self.targets[chosen] = self.generator.uniform(-half, half, size=(count, 2))
        self.speeds[chosen] = self.generator.uniform(
            self.model.slowest_metres_per_second, self.model.fastest_metres_per_second, size=count
        )

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        left = np.full(len(self.places), seconds)
        while (left > 0).any():
            rested = np.minimum(self.rests, left)
            self.rests -= rested
            left -= rested
            ahead = self.targets - self.places
            length = np.hypot(ahead[:, 0], ahead[:, 1])
            step = np.minimum(length, self.speeds * left)
            arrives = (left > 0) & (self.speeds * left >= length)
            share = np.divide(step, length, out=np.zeros_like(step), where=length > 0)
            self.places = self.places + ahead * share[:, None]
            left -= step / self.speeds
            left[~arrives] = 0.0
            self.places[arrives] = self.targets[arrives]
            self.rests[arrives] = self.model.pause_seconds
            self._choose(arrives)
