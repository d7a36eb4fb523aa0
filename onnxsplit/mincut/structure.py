"""The arrays that stay the same while capacities change: prepared once, solved often."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from onnxsplit.mincut.problem import Capacities, CutProblem, Vertices

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcStructure:
    """Parallel arcs merged, every arc beside its reverse, in the order of a CSR matrix.

    Merging comes before quantising, because the flow engine's matrix would add the integers of
    parallel arcs, and two infinite ones would wrap.

    Parameters
    ----------
    vertex_count : int
    merged_of : ndarray of int64, shape (original arcs,)
        Original arc to merged arc; self-loops go to -1.
    tails, heads : ndarray of int64, shape (merged arcs,)
        Sorted by tail, then head; the reverse of every arc is present, with capacity 0 if the
        problem has none.
    reverse_of : ndarray of int64, shape (merged arcs,)
    row_starts : ndarray of int64, shape (vertex_count + 1,)
    """

    vertex_count: int
    merged_of: Indices
    tails: Vertices
    heads: Vertices
    reverse_of: Indices
    row_starts: Indices
    _kept: npt.NDArray[np.bool_] = field(repr=False)

    @classmethod
    def of(cls, problem: CutProblem) -> Self:
        """Merge the arcs of a problem.

        Notes
        -----
        O(m log m) for m arcs.
        """
        count = problem.vertex_count
        kept = problem.tails != problem.heads
        forward = problem.tails[kept] * count + problem.heads[kept]
        backward = problem.heads[kept] * count + problem.tails[kept]
        keys = np.unique(np.concatenate((forward, backward)))
        tails, heads = np.divmod(keys, count)
        merged_of = np.full(problem.tails.shape, -1, dtype=np.int64)
        merged_of[kept] = np.searchsorted(keys, forward)
        return cls(
            vertex_count=count,
            merged_of=merged_of,
            tails=tails,
            heads=heads,
            reverse_of=np.searchsorted(keys, heads * count + tails),
            row_starts=np.searchsorted(tails, np.arange(count + 1)),
            _kept=kept,
        )

    def merge(self, capacities: Capacities) -> Capacities:
        """Add up the capacities of parallel arcs.

        Parameters
        ----------
        capacities : ndarray of float64, shape (original arcs,)

        Returns
        -------
        ndarray of float64, shape (merged arcs,)
        """
        added = np.bincount(self.merged_of[self._kept], capacities[self._kept], self.tails.size)
        return added.astype(np.float64, copy=False)

    def reach(self, start: int, open_arcs: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which vertices a vertex reaches over the open arcs; O(n + m)."""
        return self._search(start, open_arcs)

    def reach_backwards(self, end: int, open_arcs: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return from which vertices a vertex is reached over the open arcs; O(n + m)."""
        return self._search(end, open_arcs[self.reverse_of])

    def _search(self, start: int, open_arcs: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Search breadth first."""
        seen = np.zeros(self.vertex_count, dtype=np.bool_)
        seen[start] = True
        opened = np.flatnonzero(open_arcs)
        heads = self.heads[opened].tolist()
        bounds = np.searchsorted(opened, self.row_starts).tolist()
        found = seen.tolist()
        frontier = [start]
        while frontier:
            vertex = frontier.pop()
            for head in heads[bounds[vertex] : bounds[vertex + 1]]:
                if not found[head]:
                    found[head] = True
                    frontier.append(head)
        return np.array(found, dtype=np.bool_)
