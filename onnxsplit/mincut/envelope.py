"""The least cut for all parameters at once: the lower envelope of the cuts' costs.

Every cut costs a linear function of two or three parameters, of which only the ratios matter: a
*ray* of non-negative numbers. The least cost is a lower envelope of planes through the origin. It
is known once its cost is right at every vertex of the envelope of the planes that were found: in
between, the envelope of the found planes lies above the truth, which is concave, and a concave
function that meets it at all vertices lies nowhere below it. So: solve at the corners, then at each
vertex that is not certified yet, and add the plane if it is lower there. For two parameters this is
the method of Eisner and Severance ("Mathematical techniques for efficient record segmentation in
large shared databases", Journal of the ACM, 1976), with at most 2 K + 1 solves for K pieces.

A corner where the first parameter is 0 stands for a rate of nothing, and one where it alone is not
stands for rates without end, so that the envelope is whole.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Ray = npt.NDArray[np.float64]
Plane = npt.NDArray[np.float64]
T = TypeVar("T")

_ON_ENVELOPE = 1e-9
_LOWER = 1e-12

_LINES, _PLANES = 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece(Generic[T]):
    """A cut that is least for some ray.

    Parameters
    ----------
    plane : ndarray of float64, shape (parameters,)
        Its cost by each parameter.
    cut : object
        Whatever the solve returned beside the plane.
    """

    plane: Plane
    cut: T


def trace_envelope(solve: Callable[[Ray], tuple[Plane, T]], parameters: int) -> list[Piece[T]]:
    """Find the cuts that are least for some ray of parameters.

    Parameters
    ----------
    solve : callable
        Ray to the plane of a least cut there, with the cut. The ray's largest entry is 1, or its
        first is 1 where that is not 0.
    parameters : int
        2 or 3.

    Returns
    -------
    list of Piece
        In the order in which they were found; a few may be least along an edge alone.

    Notes
    -----
    Solves: one for each vertex of the envelope, and one for each plane. Looking for the vertices of
    K planes costs O(K^2) for two parameters and O(K^4) for three; K is small.
    """
    search = _Search(solve=solve, parameters=parameters)
    for corner in np.eye(parameters):
        search.visit(corner)
    while search.visit_open_vertices():
        pass
    return search.pieces


@dataclass(slots=True, kw_only=True)
class _Search(Generic[T]):
    """The planes found so far, and the vertices at which their envelope is known to be true."""

    solve: Callable[[Ray], tuple[Plane, T]]
    parameters: int
    pieces: list[Piece[T]] = field(default_factory=list)
    _certified: set[tuple[int, ...]] = field(default_factory=set)

    def visit(self, ray: Ray) -> bool:
        """Solve at a ray; tell whether that found something lower than what was known."""
        plane, cut = self.solve(ray)
        known = min((float(piece.plane @ ray) for piece in self.pieces), default=np.inf)
        if float(plane @ ray) >= known * (1 - _LOWER):
            return False
        self.pieces.append(Piece(plane=plane, cut=cut))
        return True

    def visit_open_vertices(self) -> bool:
        """Visit vertices until one finds a new plane; tell whether one did."""
        for key, ray in self._list_vertices():
            if key not in self._certified:
                if self.visit(ray):
                    return True
                self._certified.add(key)
        return False

    def _list_vertices(self) -> Iterator[tuple[tuple[int, ...], Ray]]:
        """Yield the vertices of the present envelope, by the planes that meet there."""
        planes = np.array([piece.plane for piece in self.pieces])
        for key, rays in self._meet(planes):
            values = rays @ planes.T
            least = values.min(axis=1)
            own = np.take_along_axis(values, key[:, :1], axis=1)[:, 0]
            lies = (own <= least + _ON_ENVELOPE * np.abs(least)) & (rays >= 0).all(axis=1)
            for place in np.flatnonzero(lies):
                yield tuple(key[place].tolist()), _normalise(rays[place])

    def _meet(self, planes: Plane) -> Iterator[tuple[npt.NDArray[np.int64], Ray]]:
        """Yield where planes meet: pairs along the edges, and triples within."""
        pairs = _choose(len(planes), _LINES)
        if self.parameters == _LINES:
            yield pairs, _meet_pairs(planes, pairs)
            return
        for edge in range(_PLANES):
            kept = [place for place in range(_PLANES) if place != edge]
            rays = np.zeros((len(pairs), _PLANES))
            rays[:, kept] = _meet_pairs(planes[:, kept], pairs)
            marks = np.full((len(pairs), 1), -1 - edge)
            yield np.hstack((pairs, marks)), rays
        triples = _choose(len(planes), _PLANES)
        first, second, third = (planes[triples[:, place]] for place in range(_PLANES))
        yield triples, _turn(np.cross(first - second, first - third))


def _choose(count: int, size: int) -> npt.NDArray[np.int64]:
    """Return all ways to choose some of the planes."""
    chosen = list(itertools.combinations(range(count), size))
    return np.array(chosen, dtype=np.int64).reshape(len(chosen), size)


def _meet_pairs(planes: Plane, pairs: npt.NDArray[np.int64]) -> Ray:
    """Return the rays, of two parameters, on which pairs of planes are equal."""
    apart = planes[pairs[:, 0]] - planes[pairs[:, 1]]
    return _turn(np.column_stack((apart[:, 1], -apart[:, 0])))


def _turn(rays: Ray) -> Ray:
    """Return rays with the sign under which they can be non-negative; none has length nothing."""
    turned = np.where(rays.sum(axis=1, keepdims=True) < 0, -rays, rays)
    turned[~rays.any(axis=1)] = -1  # the planes are parallel: they meet nowhere
    return turned


def _normalise(ray: Ray) -> Ray:
    """Return a ray whose first entry is 1, or whose largest is where that is 0."""
    scale = ray[0] if ray[0] > 0 else ray.max()
    return np.asarray(ray / scale, dtype=np.float64)
