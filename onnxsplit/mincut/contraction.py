"""Smaller problems: vertices that share a side become one, and cuts are mapped back."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InternalError
from onnxsplit.mincut.problem import SINK, SOURCE, LinearProblem, Vertices

Side = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contraction:
    """A problem with groups of vertices as vertices.

    Parameters
    ----------
    problem : LinearProblem
        Without loops and parallel arcs. Its cuts are the cuts of the original that part no group,
        at the same cost whatever the parameters.
    vertex_of : ndarray of int64, shape (original vertices,)
        The vertex that each original vertex became.
    arc_of : ndarray of int64, shape (original arcs,)
        The arc that each original arc became a part of; -1 for those within a group.
    """

    problem: LinearProblem
    vertex_of: Vertices
    arc_of: Vertices

    def expand(self, source_side: Side) -> Side:
        """Return a cut of this problem as one of the original; O(n)."""
        return np.asarray(source_side[self.vertex_of], dtype=np.bool_)

    def follow(self, further: Self) -> Self:
        """Return this contraction followed by one of its own problem."""
        arcs = np.append(further.arc_of, -1)  # what vanished stays vanished
        return type(self)(
            problem=further.problem,
            vertex_of=further.vertex_of[self.vertex_of],
            arc_of=arcs[self.arc_of],
        )


def contract(problem: LinearProblem, labels: Vertices) -> Contraction:
    """Make one vertex of all that carry the same label, and one arc of parallel ones.

    Parameters
    ----------
    problem : LinearProblem
    labels : ndarray of int64, shape (vertices,)
        Any numbers; equal ones are joined.

    Raises
    ------
    InternalError
        Source and sink carry the same label.

    Notes
    -----
    O(m log m). This is arithmetic alone: whether the least cut survives is for the caller to know.
    """
    if labels[SOURCE] == labels[SINK]:
        raise InternalError("A contraction joins the source and the sink.")
    vertex_of, count = _number(labels)
    tails, heads = vertex_of[problem.tails], vertex_of[problem.heads]
    kept = tails != heads
    keys, place = np.unique(tails[kept] * count + heads[kept], return_inverse=True)
    arc_of = np.full(problem.tails.shape, -1, dtype=np.int64)
    arc_of[kept] = place
    merged_tails, merged_heads = np.divmod(keys, count)
    return Contraction(
        problem=LinearProblem(
            vertex_count=count,
            tails=merged_tails,
            heads=merged_heads,
            coefficients=_add_rows(problem.coefficients[kept], place, keys.size),
            tie_breaks=tuple(
                np.bincount(place, costs[kept], keys.size).astype(np.float64)
                for costs in problem.tie_breaks
            ),
        ),
        vertex_of=vertex_of,
        arc_of=arc_of,
    )


def _number(labels: Vertices) -> tuple[Vertices, int]:
    """Give each group the rank of their first member: source and sink keep their places."""
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[group], int(first.size)


def _add_rows(
    rows: npt.NDArray[np.float64], place: Vertices, count: int
) -> npt.NDArray[np.float64]:
    """Add up the rows of each place; what may never be cut has no other cost."""
    never = np.isinf(rows[:, 0])
    total = np.empty((count, rows.shape[1]))
    for column in range(rows.shape[1]):
        weights = np.where(never, 0.0, rows[:, column])
        total[:, column] = np.bincount(place, weights=weights, minlength=count)
    total[place[never]] = 0.0
    total[place[never], 0] = np.inf
    return total
