"""Cuts that make the largest of several costs least: NP-hard, by HiGHS, with a stated gap.

Every arc has one cost for each resource, and the least over all cuts of the largest resource's sum
is sought: neither a search over bounds with minimum cuts nor weighted sums of the resources find
it. The mixed-integer program has a 0/1 variable for each vertex (1 = source side) and a continuous
one for each arc that costs anything, at least its tail minus its head.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csc_array, vstack

from onnxsplit.errors import InfeasiblePlacementError, InternalError
from onnxsplit.mincut.problem import SINK, SOURCE, LinearProblem

MOST_NODES = 2_000
"""Branch-and-bound nodes: a limit on nodes gives the same answer everywhere, time does not."""

_INFEASIBLE = 2
_RELATIVE_GAP = 1e-7

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A demand on the source side: a weighted count of vertices that must be at least something.

    Parameters
    ----------
    vertices : ndarray of int64, shape (terms,)
    weights : ndarray of float64, shape (terms,)
    least : float
    """

    vertices: npt.NDArray[np.int64]
    weights: _Floats
    least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimaxCut:
    """A cut, and how far the best one may lie below.

    Parameters
    ----------
    source_side : ndarray of bool, shape (vertices,)
    bound : float
        No cut's largest resource costs less.
    """

    source_side: npt.NDArray[np.bool_]
    bound: float


def solve_minimax(
    problem: LinearProblem, demands: tuple[Demand, ...] = (), *, most_nodes: int = MOST_NODES
) -> MinimaxCut:
    """Find a cut whose largest resource costs least; of those, one of least total cost.

    Parameters
    ----------
    problem : LinearProblem
        ``coefficients`` holds one column for each resource; ``inf`` in the first column marks an
        arc that may never be cut.
    demands : tuple of Demand
    most_nodes : int
        Branch-and-bound nodes before the search stops with a gap.

    Returns
    -------
    MinimaxCut

    Raises
    ------
    InfeasiblePlacementError
        No cut meets the demands.
    InternalError
        HiGHS found no cut within the limit, or failed.

    Notes
    -----
    Two mixed-integer programs: exponential in the worst case.
    """
    program = _Program.of(problem, demands)
    side, bound = program.solve(most_nodes, cap=None)
    largest = program.measure(side)
    calmer, _ = program.solve(most_nodes, cap=largest * (1 + _RELATIVE_GAP))
    better = calmer if program.measure(calmer) <= largest * (1 + _RELATIVE_GAP) else side
    return MinimaxCut(source_side=better, bound=min(bound, program.measure(better)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """The mixed-integer program: vertices, then arcs that cost anything, then the largest sum."""

    vertices: int
    tails: npt.NDArray[np.int64]
    heads: npt.NDArray[np.int64]
    costs: _Floats
    rows: csc_array
    least: _Floats

    @classmethod
    def of(cls, problem: LinearProblem, demands: tuple[Demand, ...]) -> "_Program":
        """Set up the rows that all solves share; each says ``row @ variables >= least``."""
        never = np.isinf(problem.coefficients[:, 0])
        paid = ~never & problem.coefficients.any(axis=1)
        tails, heads = problem.tails[paid], problem.heads[paid]
        width = problem.vertex_count + int(paid.sum()) + 1
        arcs = np.arange(int(paid.sum()))
        ones = np.ones(arcs.shape)
        crossing = coo_array(
            (
                np.concatenate((ones, -ones, ones)),
                (
                    np.concatenate((arcs, arcs, arcs)),
                    np.concatenate((problem.vertex_count + arcs, tails, heads)),
                ),
            ),
            shape=(arcs.size, width),
        )
        stuck_tails, stuck_heads = problem.tails[never], problem.heads[never]
        stuck = np.arange(stuck_tails.size)
        order = coo_array(
            (
                np.concatenate((np.ones(stuck.size), -np.ones(stuck.size))),
                (np.concatenate((stuck, stuck)), np.concatenate((stuck_heads, stuck_tails))),
            ),
            shape=(stuck.size, width),
        )
        wanted = [
            coo_array(
                (demand.weights, (np.zeros(demand.vertices.size, dtype=np.int64), demand.vertices)),
                shape=(1, width),
            )
            for demand in demands
        ]
        return cls(
            vertices=problem.vertex_count,
            tails=tails,
            heads=heads,
            costs=problem.coefficients[paid],
            rows=csc_array(vstack([crossing, order, *wanted])),
            least=np.concatenate(
                (np.zeros(arcs.size + stuck.size), [demand.least for demand in demands])
            ),
        )

    def solve(self, most_nodes: int, *, cap: float | None) -> tuple[npt.NDArray[np.bool_], float]:
        """Minimise the largest sum, or the total under a cap on it; return the side and a bound."""
        arcs, resources = self.costs.shape
        width = self.vertices + arcs + 1
        unit = float(self.costs.sum(axis=0).max()) or 1.0  # HiGHS has absolute tolerances
        below = np.zeros((resources, width))
        below[:, self.vertices : -1] = -self.costs.T / unit
        below[:, -1] = 1.0
        objective = np.zeros(width)
        if cap is None:
            objective[-1] = 1.0
        else:
            objective[self.vertices : -1] = self.costs.sum(axis=1) / unit
        lower, upper = np.zeros(width), np.ones(width)
        lower[SOURCE], upper[SINK] = 1.0, 0.0
        upper[-1] = np.inf if cap is None else cap / unit
        kinds = np.zeros(width)
        kinds[: self.vertices] = 1
        result = milp(
            objective,
            integrality=kinds,
            bounds=Bounds(lower, upper),
            constraints=[
                LinearConstraint(self.rows, self.least, np.inf),
                LinearConstraint(below, 0.0, np.inf),
            ],
            options={"node_limit": most_nodes, "mip_rel_gap": _RELATIVE_GAP},
        )
        if result.status == _INFEASIBLE:
            raise InfeasiblePlacementError("The constraints contradict each other: no cut fits.")
        if result.x is None:
            raise InternalError(f"HiGHS found no cut: {result.message}")
        side = np.asarray(result.x[: self.vertices] > 0.5, dtype=np.bool_)  # noqa: PLR2004 - 0 or 1
        return side, max(float(result.mip_dual_bound), 0.0) * unit

    def measure(self, side: npt.NDArray[np.bool_]) -> float:
        """Return a cut's largest sum."""
        severed = side[self.tails] & ~side[self.heads]
        return float(self.costs[severed].sum(axis=0).max())
