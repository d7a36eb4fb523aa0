"""The cuts of DADS as published, for every link at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.mincut.envelope import Plane, Ray, trace_envelope
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.bandwidths import BOTH_RATES, span_rates
from onnxsplit.planning.cuts.reduction import Reduction
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.outlook.baselines import formulate_as_published, list_repairs

Side = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCut:
    """A cut that DADS takes for the best at some rates.

    Parameters
    ----------
    claim : ndarray of float64, shape (3,)
        What it takes the cut to cost: a constant, and factors of 1 / uplink and 1 / downlink.
    repairs : tuple of Placement
        The placement, or the nearest ones where the cut is none; those that are admitted.
    """

    claim: Plane
    repairs: tuple[Placement, ...]


def find_published_cuts(question: Question, solver: Solver) -> tuple[PublishedCut, ...]:
    """Find every cut that DADS takes for the best at some pair of rates.

    Parameters
    ----------
    question : Question
        Of two tiers.
    solver : Solver
        Of the same question.

    Returns
    -------
    tuple of PublishedCut
        Empty where it has no answer, or one that can't be repaired.

    Notes
    -----
    As for `onnxsplit.planning.cuts.bandwidths.find_regions`, on the whole graph.
    """
    formulation = formulate_as_published(solver)
    reduction = Reduction.of(question, formulation, method="general")
    basis = span_rates(question.topology, BOTH_RATES)

    def solve(ray: Ray) -> tuple[Plane, Side]:
        side = reduction.solve(ray @ basis).source_side
        return basis @ (reduction.problem.measure(side) + formulation.charges.always), side

    try:
        pieces = trace_envelope(solve, len(basis))
    except InfeasiblePlacementError:
        return ()
    found = []
    for piece in pieces:
        on_device = formulation.read_tiers(reduction.contraction.expand(piece.cut)) == 0
        repairs = list_repairs(solver, on_device)
        found.append(PublishedCut(claim=piece.plane, repairs=tuple(filter(solver.admits, repairs))))
    return tuple(found) if all(cut.repairs for cut in found) else ()
