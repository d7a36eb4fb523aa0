"""A minimum-cut problem as arrays: vertices are numbers, capacities are seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InternalError

SOURCE = 0
SINK = 1

Vertices = npt.NDArray[np.int64]
Capacities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutProblem:
    """A directed graph with a source, a sink and capacities.

    Parameters
    ----------
    vertex_count : int
        Vertices are ``0 .. vertex_count - 1``; 0 is the source and 1 the sink.
    tails, heads : ndarray of int64, shape (arcs,)
        Where each arc starts and ends; parallel arcs are allowed and count together.
    capacities : ndarray of float64, shape (arcs,)
        What cutting each arc costs, not negative; ``inf`` for an arc that may never be cut.

    Raises
    ------
    InternalError
        The arrays do not fit together, or a capacity is negative or NaN.
    """

    vertex_count: int
    tails: Vertices
    heads: Vertices
    capacities: Capacities

    def __post_init__(self) -> None:
        """Refuse arrays that describe no graph."""
        if not self.tails.shape == self.heads.shape == self.capacities.shape:
            raise InternalError("Tails, heads and capacities differ in length.")
        for ends in (self.tails, self.heads):
            if ends.size and not (ends.min() >= 0 and ends.max() < self.vertex_count):
                raise InternalError("An arc names a vertex that does not exist.")
        check_capacities(self.capacities)


def check_capacities(capacities: Capacities) -> None:
    """Refuse negative capacities and NaN.

    Raises
    ------
    InternalError
        There is one.
    """
    if not bool(np.all(capacities >= 0)):
        raise InternalError("A capacity is negative or not a number.")


@dataclass(slots=True, kw_only=True)
class ProblemBuilder:
    """Collects vertices and arcs; every arc has a capacity and its tie-break costs.

    Parameters
    ----------
    tie_break_levels : int
        How many tie-break costs each arc carries.
    """

    tie_break_levels: int = 0
    vertex_count: int = 2
    _tails: list[int] = field(default_factory=list)
    _heads: list[int] = field(default_factory=list)
    _capacities: list[float] = field(default_factory=list)
    _tie_breaks: list[Sequence[int]] = field(default_factory=list)

    def add_vertex(self) -> int:
        """Add a vertex and return its number."""
        self.vertex_count += 1
        return self.vertex_count - 1

    def add_arc(self, tail: int, head: int, capacity: float, tie_break: Sequence[int] = ()) -> int:
        """Add an arc and return its place among the problem's arcs.

        Parameters
        ----------
        tail, head : int
        capacity : float
            ``inf`` for an arc that may never be cut.
        tie_break : sequence of int
            One cost for each level, or empty for zeros.
        """
        self._tails.append(tail)
        self._heads.append(head)
        self._capacities.append(capacity)
        self._tie_breaks.append(tie_break or (0,) * self.tie_break_levels)
        return len(self._tails) - 1

    def build(self) -> CutProblem:
        """Return the problem with the arcs in the order in which they were added."""
        return CutProblem(
            vertex_count=self.vertex_count,
            tails=np.array(self._tails, dtype=np.int64),
            heads=np.array(self._heads, dtype=np.int64),
            capacities=np.array(self._capacities, dtype=np.float64),
        )

    def build_tie_breaks(self) -> tuple[Capacities, ...]:
        """Return one array of costs for each level, in the order of the arcs."""
        table = np.array(self._tie_breaks, dtype=np.float64)
        table = table.reshape(len(self._tails), self.tie_break_levels)
        return tuple(np.ascontiguousarray(table[:, level]) for level in range(table.shape[1]))
