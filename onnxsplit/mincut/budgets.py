"""Minimum cuts under budgets: knapsack-hard, so by branch and bound, with the gap that is left.

Note on the model. A vertex is 1 on the source side and 0 on the sink side. An arc from ``t`` to
``h`` is cut as far as ``z >= t - h``; arcs that may never be cut give ``t <= h``. With whole
numbers at the deciding vertices all else is a minimum cut of its own, hence whole, so that only
these branch. A further cost that must not exceed a limit is a cut problem with the same deciding
vertices. HiGHS (Huangfu and Hall, "Parallelizing the dual revised simplex method", Mathematical
Programming Computation, 2018) solves it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from onnxsplit.errors import InfeasiblePlacementError, InternalError
from onnxsplit.mincut.problem import SINK, SOURCE, CutProblem

TOLERANCE = 1e-6
"""Relative: how far HiGHS lets rows and whole numbers be off."""

_SCALED_VALUE = 1e4  # HiGHS stops at an absolute gap of 1e-6: here one part in 1e10
_TIME_LIMIT, _INFEASIBLE = 1, 2

Term = tuple[int, float]
"""A variable and its coefficient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A condition: the terms add up to at most ``high``.

    Parameters
    ----------
    terms : tuple of (int, float)
        Variables are the cut's vertices, then further ones from ``SideRows.add_variable``.
    high : float
    is_equal : bool
        They must add up to exactly that.
    """

    terms: tuple[Term, ...]
    high: float
    is_equal: bool = False


@dataclass(slots=True, kw_only=True)
class SideRows:
    """Collects further variables, not negative, and rows over them and a cut's vertices.

    Parameters
    ----------
    vertex_count : int
        Of the cut problem.
    """

    vertex_count: int
    rows: list[Row] = field(default_factory=list)
    variables: int = 0

    def add_variable(self) -> int:
        """Add a variable and return its number."""
        self.variables += 1
        return self.vertex_count + self.variables - 1

    def add(self, terms: Iterable[Term], high: float, *, is_equal: bool = False) -> None:
        """Add a row."""
        self.rows.append(Row(terms=tuple(terms), high=high, is_equal=is_equal))


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCap:
    """A further cost of the same decisions, and the most that it may be.

    Parameters
    ----------
    problem : CutProblem
        Its deciding vertices are those of the problem that is minimised; the rest are its own.
    limit : float
    """

    problem: CutProblem
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetedCut:
    """A cut within budgets.

    Parameters
    ----------
    source_side : ndarray of bool, shape (vertices,), or None
        None if the time was over before one was found.
    value : float
        What it costs; ``inf`` without one.
    bound : float
        No cut within the budgets costs less.
    """

    source_side: npt.NDArray[np.bool_] | None
    value: float
    bound: float


def solve_within_budgets(
    problem: CutProblem,
    deciding: int,
    rows: SideRows,
    *,
    caps: Sequence[CutCap] = (),
    scale: float = 1.0,
    seconds: float = 60.0,
) -> BudgetedCut:
    """Find the cheapest cut within budgets.

    Parameters
    ----------
    problem : CutProblem
    deciding : int
        The first so many vertices, source and sink among them, decide everything.
    rows : SideRows
    caps : sequence of CutCap
    scale : float
        About what the cut costs, so that numbers lie where the solver is exact.
    seconds : float
        Time after which the best cut so far and the bound are returned.

    Returns
    -------
    BudgetedCut
        Optimal up to the tolerance where value and bound agree.

    Raises
    ------
    InfeasiblePlacementError
        No cut is within the budgets.

    Notes
    -----
    Exponential in the worst case; one variable and one row for each arc.
    """
    model = _Model()
    vertices = model.add_vertices(problem.vertex_count, deciding)
    further = model.add_variables(rows.variables)
    for row in rows.rows:
        model.add_row(row)
    if further.size and further[0] != rows.vertex_count:
        raise InternalError("The rows are those of another cut problem.")
    factor = _SCALED_VALUE / scale
    costs = [(variable, cost * factor) for variable, cost in model.add_cut(problem, vertices)]
    for cap in caps:
        own = model.add_variables(cap.problem.vertex_count - deciding, high=1.0)
        terms = model.add_cut(cap.problem, np.concatenate((vertices[:deciding], own)))
        least = max(cap.limit, np.finfo(float).tiny)
        model.add_row(Row(terms=tuple((v, cost / least) for v, cost in terms), high=1.0))
    found = model.solve(costs, seconds)
    side = None if found.values is None else found.values[vertices] > 0.5  # noqa: PLR2004 - nearest
    return BudgetedCut(
        source_side=side, value=found.value / factor, bound=max(0.0, found.bound / factor)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What the solver says."""

    values: npt.NDArray[np.float64] | None
    value: float
    bound: float


@dataclass(slots=True, kw_only=True)
class _Model:
    """Variables and rows while they are collected."""

    lows: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def add_variables(
        self, count: int, *, high: float = np.inf, whole: bool = False
    ) -> npt.NDArray[np.int64]:
        """Add variables from 0 on and return their numbers."""
        first = len(self.lows)
        self.lows += [0.0] * count
        self.highs += [high] * count
        self.whole += [whole] * count
        return np.arange(first, first + count, dtype=np.int64)

    def add_vertices(self, count: int, deciding: int) -> npt.NDArray[np.int64]:
        """Add the vertices of the cut; source and sink are fixed."""
        vertices = np.concatenate(
            (
                self.add_variables(deciding, high=1.0, whole=True),
                self.add_variables(count - deciding, high=1.0),
            )
        )
        self.lows[SOURCE], self.highs[SINK] = 1.0, 0.0
        return vertices

    def add_row(self, row: Row) -> None:
        """Add a row."""
        self.rows.append(row)

    def add_cut(self, problem: CutProblem, vertices: npt.NDArray[np.int64]) -> list[Term]:
        """Add the arcs of a cut problem; return what cutting them costs."""
        costs: list[Term] = []
        tails, heads = vertices[problem.tails].tolist(), vertices[problem.heads].tolist()
        for tail, head, capacity in zip(tails, heads, problem.capacities.tolist(), strict=True):
            if capacity == 0 or tail == head:
                continue
            terms: tuple[Term, ...] = ((tail, 1.0), (head, -1.0))
            if np.isfinite(capacity):
                (cut,) = self.add_variables(1, high=1.0).tolist()
                terms = (*terms, (cut, -1.0))
                costs.append((cut, capacity))
            self.add_row(Row(terms=terms, high=0.0))
        return costs

    def solve(self, costs: Sequence[Term], seconds: float) -> _Found:
        """Hand everything to HiGHS."""
        from scipy.optimize import (  # noqa: PLC0415 - slow to load, and few plans have budgets
            Bounds,
            LinearConstraint,
            milp,
        )

        objective = np.zeros(len(self.lows))
        for variable, cost in costs:
            objective[variable] += cost
        answer = milp(
            objective,
            integrality=np.array(self.whole, dtype=np.int64),
            bounds=Bounds(np.array(self.lows), np.array(self.highs)),
            constraints=LinearConstraint(*self._constrain()),
            options={"time_limit": seconds, "mip_rel_gap": 0.0},
        )
        if answer.status == _INFEASIBLE:
            raise InfeasiblePlacementError("The budgets leave no placement.")
        if answer.status not in {0, _TIME_LIMIT}:
            raise InternalError(f"HiGHS stopped with {answer.message!r}.")
        bound = answer.mip_dual_bound
        return _Found(
            values=answer.x,
            value=np.inf if answer.x is None else float(answer.fun),
            bound=0.0 if bound is None or not np.isfinite(bound) else float(bound),
        )

    def _constrain(
        self,
    ) -> tuple[csr_array, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the rows as a matrix, with the least and the most that each may be."""
        places = [place for place, row in enumerate(self.rows) for _ in row.terms]
        terms = [term for row in self.rows for term in row.terms]
        matrix = csr_array(
            ([cost for _, cost in terms], (places, [variable for variable, _ in terms])),
            shape=(len(self.rows), len(self.lows)),
        )
        highs = np.array([row.high for row in self.rows])
        lows = np.where([row.is_equal for row in self.rows], highs, -np.inf)
        return matrix, lows, highs
