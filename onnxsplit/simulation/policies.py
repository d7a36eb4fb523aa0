"""Rules that choose a placement for each link, for a million links at once.

Costs are linear in 1, 1 / uplink and 1 / downlink (round trips and further links stay as they are),
so that a placement is a row of three numbers, and choosing among placements is a matrix product and
the place of the least.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from onnxsplit.placement import Placement

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_CHUNK_VALUES = 4_000_000


class Policy(Protocol):
    """A rule that chooses a placement for each link."""

    @property
    def name(self) -> str:
        """How it is called."""

    def choose(self, parameters: Floats) -> Integers:
        """Choose for each link.

        Parameters
        ----------
        parameters : ndarray of float64, shape (links, 3)
            1, 1 / uplink and 1 / downlink in seconds per byte.

        Returns
        -------
        ndarray of int64, shape (links,)
            Numbers of placements.
        """

    def place(self, number: int) -> Placement:
        """Return a placement that was chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheapest:
    """Takes the cheapest of some rows.

    Parameters
    ----------
    name : str
    rows : ndarray of float64, shape (rows, 3)
    numbers : ndarray of int64, shape (rows,)
        The placement of each row; a placement may have several.
    find : callable
        Number to placement.
    """

    name: str
    rows: Floats
    numbers: Integers
    find: Callable[[int], Placement]

    def choose(self, parameters: Floats) -> Integers:
        """Choose for each link."""
        found = np.empty(len(parameters), dtype=np.int64)
        for part in _divide(len(parameters), len(self.rows)):
            found[part] = np.argmin(parameters[part] @ self.rows.T, axis=1)
        return self.numbers[found]

    def place(self, number: int) -> Placement:
        """Return a placement that was chosen."""
        return self.find(number)


def make_menu(
    name: str, rows: Floats, numbers: Integers, find: Callable[[int], Placement]
) -> Cheapest:
    """Return the rule that takes the cheapest row, without rows that are never the only cheapest.

    Parameters
    ----------
    name : str
    rows : ndarray of float64, shape (rows, 3)
    numbers : ndarray of int64, shape (rows,)
    find : callable

    Notes
    -----
    A row that another undercuts, or equals, in all three numbers is left out; O(rows squared).
    """
    lower = (rows[:, None] <= rows[None]).all(axis=2)
    strict = (rows[:, None] < rows[None]).any(axis=2)
    before = np.arange(len(rows))[:, None] < np.arange(len(rows))[None]
    kept = np.flatnonzero(~(lower & (strict | before)).any(axis=0))
    return Cheapest(name=name, rows=rows[kept], numbers=numbers[kept], find=find)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Minimises polynomials that are fitted to work and crossing costs over the place in the order.

    Parameters
    ----------
    name : str
    rows : ndarray of float64, shape (places, 3)
        Device's, server's and crossing costs together at each place that is admitted.
    discounts : sequence of (int, ndarray of float64, shape (3,))
        Places where another side for the loss may be cheaper, and what it costs beyond the row.
    numbers : ndarray of int64, shape (places,)
        How many cells each place has on the device.
    degree : int
    find : callable
    """

    name: str
    rows: Floats
    discounts: Sequence[tuple[int, Floats]]
    numbers: Integers
    degree: int
    find: Callable[[int], Placement]

    def choose(self, parameters: Floats) -> Integers:
        """Choose for each link."""
        found = np.empty(len(parameters), dtype=np.int64)
        # An orthonormal basis of the polynomials turns least squares into a projection.
        places = self.numbers / max(1, int(self.numbers[-1])) * 2 - 1
        powers = np.vander(places, self.degree + 1)
        basis = np.linalg.qr(powers)[0]
        projected = basis.T @ self.rows
        for part in _divide(len(parameters), len(self.rows)):
            weights = parameters[part] @ projected.T
            for place, row in self.discounts:
                saved = np.minimum(parameters[part] @ row, 0.0)
                weights += saved[:, None] * basis[place]
            found[part] = np.argmin(weights @ basis.T, axis=1)
        return self.numbers[found]

    def place(self, number: int) -> Placement:
        """Return a placement that was chosen."""
        return self.find(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """Takes what seems cheapest by claims, and of the placements that this may mean the cheapest.

    Parameters
    ----------
    name : str
    claims : ndarray of float64, shape (claims, 3)
    repairs : sequence of Cheapest
        For each claim, the choice among placements.
    """

    name: str
    claims: Floats
    repairs: Sequence[Cheapest]

    def choose(self, parameters: Floats) -> Integers:
        """Choose for each link."""
        seems = np.empty(len(parameters), dtype=np.int64)
        for part in _divide(len(parameters), len(self.claims)):
            seems[part] = np.argmin(parameters[part] @ self.claims.T, axis=1)
        found = np.empty(len(parameters), dtype=np.int64)
        for claim in np.unique(seems):
            here = seems == claim
            found[here] = self.repairs[claim].choose(parameters[here])
        return found

    def place(self, number: int) -> Placement:
        """Return a placement that was chosen."""
        return self.repairs[0].find(number)


def _divide(links: int, rows: int) -> Iterator[slice]:
    """Divide links so that no table of values gets large."""
    step = max(1, _CHUNK_VALUES // max(1, rows))
    for start in range(0, links, step):
        yield slice(start, start + step)
