"""A problem made ready once, solved for many values of its parameters."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from onnxsplit.mincut.contraction import Side
from onnxsplit.mincut.minimum import MinimumCut, solve_merged
from onnxsplit.mincut.problem import Capacities, LinearProblem
from onnxsplit.mincut.structure import ArcStructure

Row = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedProblem:
    """A linear problem in the order of the flow engine, with parallel arcs merged.

    Parameters
    ----------
    structure : ArcStructure
    costs : ndarray of float64, shape (merged arcs, parameters)
        Finite: nothing for arcs that may never be cut.
    never : ndarray of bool, shape (merged arcs,)
    tie_breaks : tuple of ndarray of float64, shape (merged arcs,)
    """

    structure: ArcStructure
    costs: npt.NDArray[np.float64]
    never: npt.NDArray[np.bool_]
    tie_breaks: tuple[Capacities, ...]

    @classmethod
    def of(cls, problem: LinearProblem) -> Self:
        """Prepare a problem; O(m log m)."""
        start = np.zeros(problem.coefficients.shape[1])
        start[0] = 1.0
        structure = ArcStructure.of(problem.at(start))
        impassable = np.isinf(problem.coefficients[:, 0])
        finite = np.where(impassable[:, None], 0.0, problem.coefficients)
        columns = [structure.merge(finite[:, column]) for column in range(finite.shape[1])]
        return cls(
            structure=structure,
            costs=np.ascontiguousarray(np.column_stack(columns)),
            never=structure.merge(impassable.astype(np.float64)) > 0,
            tie_breaks=tuple(structure.merge(costs) for costs in problem.tie_breaks),
        )

    def solve(
        self, parameters: Row, *, barred: Sequence[int] = (), ties: bool = True
    ) -> MinimumCut:
        """Find a minimum cut, and certify it.

        Parameters
        ----------
        parameters : ndarray of float64, shape (parameters,)
            Finite and not negative.
        barred : sequence of int
            Merged arcs that may not be cut either.
        ties : bool
            Whether to choose among minimum cuts by the tie-break costs.

        Raises
        ------
        InfeasiblePlacementError
            Arcs that may never be cut lead from the source to the sink.
        CapacityOverflowError
            The costs add up to more than a float holds.
        """
        started = time.perf_counter()
        capacities = self.costs @ parameters
        capacities[self.never] = np.inf
        if len(barred):
            capacities[list(barred)] = np.inf
        return solve_merged(
            self.structure,
            capacities,
            tie_breaks=self.tie_breaks if ties else (),
            started=started,
        )

    def measure(self, source_side: Side) -> Row:
        """Return what a cut costs by each parameter: floats, never ticks.

        Returns
        -------
        ndarray of float64, shape (parameters,)
            Times the parameters it is the cut's cost.
        """
        severed = source_side[self.structure.tails] & ~source_side[self.structure.heads]
        return np.asarray(self.costs[severed].sum(axis=0), dtype=np.float64)
