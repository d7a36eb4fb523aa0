"""A minimum-cut problem as arrays: vertices are numbers, capacities are seconds."""

from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProblem:
    """A cut problem whose capacities are linear in a few parameters, such as 1 / bandwidth.

    Parameters
    ----------
    vertex_count : int
    tails, heads : ndarray of int64, shape (arcs,)
    coefficients : ndarray of float64, shape (arcs, parameters)
        The first parameter is always 1; ``inf`` in the first column marks an arc that may never
        be cut.
    tie_breaks : tuple of ndarray of float64, shape (arcs,)
        Costs to choose among minimum cuts by, in falling order of importance.
    """

    vertex_count: int
    tails: Vertices
    heads: Vertices
    coefficients: npt.NDArray[np.float64]
    tie_breaks: tuple[Capacities, ...] = ()

    def at(self, parameters: npt.NDArray[np.float64]) -> CutProblem:
        """Return the problem at some values of the parameters; O(arcs x parameters).

        Parameters
        ----------
        parameters : ndarray of float64, shape (parameters,)
            Finite; the first is 1.
        """
        return CutProblem(
            vertex_count=self.vertex_count,
            tails=self.tails,
            heads=self.heads,
            capacities=self.coefficients @ parameters,
        )


@dataclass(slots=True, kw_only=True)
class ProblemBuilder:
    """Collects vertices and arcs; every arc has linear costs and its tie-break costs.

    Parameters
    ----------
    parameters : int
        How many parameters the capacities are linear in; the first is the constant 1.
    tie_break_levels : int
        How many tie-break costs each arc carries.
    """

    parameters: int = 1
    tie_break_levels: int = 0
    vertex_count: int = 2
    _tails: list[int] = field(default_factory=list)
    _heads: list[int] = field(default_factory=list)
    _rows: list[npt.NDArray[np.float64]] = field(default_factory=list)
    _tie_breaks: list[Sequence[int]] = field(default_factory=list)
    _never: npt.NDArray[np.float64] = field(init=False)
    _no_tie_break: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Make what most arcs share."""
        self._never = np.zeros(self.parameters)
        self._never[0] = np.inf
        self._no_tie_break = (0,) * self.tie_break_levels

    def add_vertices(self, count: int = 1) -> int:
        """Add vertices and return the number of the first."""
        self.vertex_count += count
        return self.vertex_count - count

    def add_arc(
        self,
        tail: int,
        head: int,
        costs: npt.NDArray[np.float64] | None = None,
        tie_break: Sequence[int] = (),
    ) -> int:
        """Add an arc and return its place among the problem's arcs.

        Parameters
        ----------
        tail, head : int
        costs : ndarray of float64, shape (parameters,), optional
            What cutting it costs, by parameter; an arc without costs may never be cut.
        tie_break : sequence of int
            One cost for each level, or empty for zeros.
        """
        self._tails.append(tail)
        self._heads.append(head)
        self._rows.append(self._never if costs is None else costs)
        self._tie_breaks.append(tie_break or self._no_tie_break)
        return len(self._tails) - 1

    def add_firm_arcs(self, tails: Iterable[int], heads: Iterable[int]) -> None:
        """Add arcs that may never be cut, many at once."""
        before = len(self._tails)
        self._tails.extend(tails)
        self._heads.extend(heads)
        added = len(self._tails) - before
        self._rows.extend([self._never] * added)
        self._tie_breaks.extend([self._no_tie_break] * added)

    def build(self) -> LinearProblem:
        """Return the problem with the arcs in the order in which they were added."""
        arcs = len(self._tails)
        table = np.array(self._tie_breaks, dtype=np.float64).reshape(arcs, self.tie_break_levels)
        return LinearProblem(
            vertex_count=self.vertex_count,
            tails=np.array(self._tails, dtype=np.int64),
            heads=np.array(self._heads, dtype=np.int64),
            coefficients=np.array(self._rows, dtype=np.float64).reshape(arcs, self.parameters),
            tie_breaks=tuple(
                np.ascontiguousarray(table[:, level]) for level in range(self.tie_break_levels)
            ),
        )
