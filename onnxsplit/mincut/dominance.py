"""Vertices that share a side in some minimum cut, whatever the parameters are.

Note on the exchange. Let ``w -> v`` be infinite, so that ``v`` is on the source side wherever ``w``
is. Take a cut with ``v`` on the source side and ``w`` on the sink side, and move ``v`` across. What
has an infinite arc to ``v`` must be across already, or move along: the test asks that this is ``w``
itself, or a *carrier*, a vertex that no infinite arc enters. Moving pays at most the arcs that
enter ``v`` and the carriers that move along; a carrier with an infinite arc to ``w`` is across
already. It saves at least the arcs from ``v`` to the sink, to ``w``, and to what has an infinite
arc to ``w``. If it saves no less than it pays, by every parameter, then some minimum cut has both
on one side, for all non-negative parameters. Each exchange moves vertices towards the sink and is
valid in any cut, so all pairs can be joined at once; and since the joined problem is a problem like
any other, the test can be repeated on it until nothing changes.

Ties stay as they are: the exchange must save more of the first, constant cost, or must not be worse
by the tie-break costs, compared level by level.

The idea is the cheap case of the block contraction of arXiv 2507.01041, rebuilt as an exchange.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from onnxsplit.mincut.contraction import Contraction, contract
from onnxsplit.mincut.problem import SINK, SOURCE, LinearProblem, Vertices

Flags = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.float64]


def join_dominated(contraction: Contraction, fixed: Vertices) -> Contraction:
    """Contract a problem until no exchange is left that is free of charge.

    Parameters
    ----------
    contraction : Contraction
        Where to begin.
    fixed : ndarray of int64
        Original vertices that may later be forced to the source side, and so must not be moved
        across by an exchange.

    Returns
    -------
    Contraction
        Of the same original problem; valid for all non-negative parameters.

    Notes
    -----
    O(m log m) for each round; rounds are few, for each joins whole chains.
    """
    while True:
        problem = contraction.problem
        guarded = np.zeros(problem.vertex_count, dtype=np.bool_)
        guarded[contraction.vertex_of[fixed]] = True
        moving, staying = Exchange.of(problem, guarded).list_pairs()
        lonely, reader = _list_lonely_carriers(problem, guarded)
        pairs = np.concatenate((moving, lonely)), np.concatenate((staying, reader))
        if not pairs[0].size:
            return contraction
        contraction = contraction.follow(contract(problem, _join(problem.vertex_count, *pairs)))


def merge_parallel(problem: LinearProblem) -> Contraction:
    """Return the contraction that joins nothing but parallel arcs."""
    return contract(problem, np.arange(problem.vertex_count))


def _join(count: int, ones: Vertices, others: Vertices) -> Vertices:
    """Label vertices so that pairs, and chains of pairs, carry one label."""
    links = coo_array((np.ones(ones.size, dtype=np.int8), (ones, others)), shape=(count, count))
    _, labels = connected_components(links.tocsr(), directed=False)
    return np.asarray(labels, dtype=np.int64)


def _list_lonely_carriers(problem: LinearProblem, guarded: Flags) -> tuple[Vertices, Vertices]:
    """List vertices whose one way out is an infinite arc, with where it leads.

    On the sink side they would be paid for and of no use while that is on the source side.
    """
    never = np.isinf(problem.coefficients[:, 0])
    ways = np.bincount(problem.tails, minlength=problem.vertex_count)
    entered = np.bincount(problem.heads[never], minlength=problem.vertex_count) > 0
    alone = never & (ways[problem.tails] == 1) & ~(entered | guarded)[problem.tails]
    alone &= (problem.tails != SOURCE) & (problem.heads != SINK)
    return problem.tails[alone], problem.heads[alone]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One round: for every vertex what an exchange would pay and save.

    Parameters
    ----------
    problem : LinearProblem
        Without parallel arcs.
    never : ndarray of bool, shape (arcs,)
        Arcs that may never be cut.
    carries : ndarray of bool, shape (vertices,)
        Vertices that no infinite arc enters; the source, and what may be forced to its side, are
        none.
    partner : ndarray of int64, shape (vertices,)
        The one vertex other than carriers with an infinite arc to each; -1 if there is not one.
    costs : ndarray of float64, shape (arcs, parameters + tie-break levels)
        Nothing for arcs that may never be cut.
    """

    problem: LinearProblem
    never: Flags
    carries: Flags
    partner: Vertices
    costs: _Rows

    @classmethod
    def of(cls, problem: LinearProblem, guarded: Flags) -> "Exchange":
        """Look at a problem."""
        count = problem.vertex_count
        never = np.isinf(problem.coefficients[:, 0])
        tails, heads = problem.tails[never], problem.heads[never]
        carries = (np.bincount(heads, minlength=count) == 0) & ~guarded
        carries[SOURCE] = False
        solid = ~carries[tails]
        partner = np.full(count, -1, dtype=np.int64)
        partner[heads[solid]] = tails[solid]
        partner[np.bincount(heads[solid], minlength=count) != 1] = -1
        partner[[SOURCE, SINK]] = -1
        partner[(partner == SOURCE) | guarded] = -1
        rows = np.column_stack((problem.coefficients, *problem.tie_breaks))
        return cls(
            problem=problem,
            never=never,
            carries=carries,
            partner=partner,
            costs=np.where(never[:, None], 0.0, rows),
        )

    def list_pairs(self) -> tuple[Vertices, Vertices]:
        """List the vertices that may follow their partner, and the partners."""
        pays, saves = self._pay(), self._save()
        levels = len(self.problem.tie_breaks)
        split = self.costs.shape[1] - levels
        worth = _is_no_dearer(pays[:, :split], saves[:, :split])
        worth &= _keeps_ties(pays, saves, levels)
        worth |= self._is_forced()
        worth &= self.partner >= 0
        moving = np.flatnonzero(worth)
        return moving, self.partner[moving]

    def _pay(self) -> _Rows:
        """Add up what enters each vertex, and the carriers that would move along with it."""
        tails, heads = self.problem.tails, self.problem.heads
        count = self.problem.vertex_count
        into = gather_rows(self.costs, heads, count)
        own = self.costs * (tails != self.partner[heads])[:, None]
        pays = gather_rows(own, heads, count)
        along = self.never & self.carries[tails] & ~self._is_across(tails, self.partner[heads])
        return pays + gather_rows(into[tails[along]], heads[along], count)

    def _save(self) -> _Rows:
        """Add up what leaves each vertex for what is on the sink side with the partner."""
        across = self._leads_across()
        saved = self.costs[across & ~self.never]
        return gather_rows(
            saved, self.problem.tails[across & ~self.never], self.problem.vertex_count
        )

    def _is_forced(self) -> Flags:
        """Tell which vertices can't be parted from their partner at all."""
        forced = np.zeros(self.problem.vertex_count, dtype=np.bool_)
        forced[self.problem.tails[self._leads_across() & self.never]] = True
        return forced

    def _leads_across(self) -> Flags:
        """Tell which arcs lead to where the partner of their tail is."""
        tails, heads = self.problem.tails, self.problem.heads
        partner = self.partner[tails]
        across = self._is_across(heads, partner)
        across |= heads == SINK
        across |= heads == partner
        return across

    def _is_across(self, vertices: Vertices, partner: Vertices) -> Flags:
        """Tell which vertices have an infinite arc to a partner."""
        count = self.problem.vertex_count
        known = self.problem.tails[self.never] * count + self.problem.heads[self.never]
        asked = vertices * count + np.maximum(partner, 0)
        across: Flags = np.isin(asked, known)
        across &= partner >= 0
        return across


def gather_rows(rows: _Rows, places: Vertices, count: int) -> _Rows:
    """Add up rows by place."""
    total = np.empty((count, rows.shape[1]))
    for column in range(rows.shape[1]):
        total[:, column] = np.bincount(places, weights=rows[:, column], minlength=count)
    return total


def _is_no_dearer(pays: _Rows, saves: _Rows) -> Flags:
    """Tell where an exchange pays no more than it saves, by every parameter."""
    return np.asarray((pays <= saves).all(axis=1), dtype=np.bool_)


def _keeps_ties(pays: _Rows, saves: _Rows, levels: int) -> Flags:
    """Tell where an exchange is cheaper for certain, or no worse by the tie-break costs."""
    better = np.asarray(pays[:, 0] < saves[:, 0], dtype=np.bool_)
    even = np.ones(len(pays), dtype=np.bool_)
    for level in range(pays.shape[1] - levels, pays.shape[1]):
        better |= even & (pays[:, level] < saves[:, level])
        even &= pays[:, level] == saves[:, level]
    return better | even
