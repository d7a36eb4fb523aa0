"""A question made ready once and answered for many links: the contracted cut problem."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InternalError
from onnxsplit.mincut import Contraction, MinimumCut, PreparedProblem, merge_parallel
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.charges import Floats, read_parameters
from onnxsplit.planning.costs.pricing import PricedPlacement, price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.contraction import contract_formulation
from onnxsplit.planning.cuts.formulation import Bar, Formulation
from onnxsplit.prediction import Certificate
from onnxsplit.tiers import Topology

Method = Literal["auto", "general", "blockwise"]
"""How a cut is found: on the whole graph, or on the one whose blocks are contracted."""

Certified = Literal["solved", "original"]
"""Where an optimum is certified: on the graph that was solved, or on the whole one as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solving:
    """How a plan is solved; the value is the same whichever way.

    Parameters
    ----------
    method : str
        ``general``, ``blockwise``, or ``auto``: for a single link the whole graph, since
        contracting it takes longer than one solve; for many links the contracted one.
    certify : str
        ``solved`` or ``original``.
    """

    method: Method = "auto"
    certify: Certified = "solved"


Side = npt.NDArray[np.bool_]

_FLOAT_NOISE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """The cut problem of a formulation, contracted and in the order of the flow engine.

    Parameters
    ----------
    contraction : Contraction
    problem : PreparedProblem
    tier_arcs : ndarray of int64, shape (cells, tiers)
        The prepared arc that charges each cell on each tier; -1 where none is left.
    scope : str
        ``contracted``, or ``original`` where nothing was joined.
    """

    contraction: Contraction
    problem: PreparedProblem
    tier_arcs: npt.NDArray[np.int64]
    scope: str

    @classmethod
    def of(cls, question: Question, formulation: Formulation, *, method: Method) -> Self:
        """Contract a formulation as far as is exact for all links, or not at all.

        Parameters
        ----------
        question : Question
        formulation : Formulation
        method : str
            ``general`` leaves all as it is; else blocks and vertices are joined.
        """
        contraction = (
            merge_parallel(formulation.problem)
            if method == "general"
            else contract_formulation(question, formulation)
        )
        problem = PreparedProblem.of(contraction.problem)
        places = np.append(problem.structure.merged_of, -1)
        joined = contraction.problem.vertex_count < formulation.problem.vertex_count
        return cls(
            contraction=contraction,
            problem=problem,
            tier_arcs=places[contraction.arc_of[formulation.tier_arcs]],
            scope="contracted" if joined else "original",
        )

    def solve(
        self, parameters: Floats, bars: Iterable[Bar] = (), *, ties: bool = True
    ) -> MinimumCut:
        """Find a least cut of the contracted problem.

        Parameters
        ----------
        parameters : ndarray of float64, shape (columns,)
        bars : iterable of (int, int)
            Cells and the tiers that they must not run on; where cells were joined, only roots may
            be kept from the server, and only leaves from the device.
        ties : bool
            Whether to choose among least cuts by their crossings.

        Raises
        ------
        InfeasiblePlacementError
            No placement is left.
        """
        barred = [int(self.tier_arcs[cell, tier]) for cell, tier in bars]
        return self.problem.solve(parameters, barred=barred, ties=ties)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSolution:
    """The best placement over a link.

    Parameters
    ----------
    value : float
        What the objective minimises, in its unit, from the cut's own costs in floats.
    certificate : Certificate
    topology : Topology
    """

    value: float
    certificate: Certificate
    topology: Topology
    _question: Question
    _formulation: Formulation
    _side: Side

    @property
    def placement(self) -> Placement:
        """Which operator runs where; O(n), made when it is asked for."""
        return self._formulation.read_placement(self._side, self._question.graph)

    def price(self) -> PricedPlacement:
        """Price the placement straight from the definition of the objective; O(n + m)."""
        return price_placement(replace(self._question, topology=self.topology), self.placement)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedQuestion:
    """A question that is answered for many links between the same tiers.

    Parameters
    ----------
    question : Question
    formulation : Formulation
    reduction : Reduction
    """

    question: Question
    formulation: Formulation
    reduction: Reduction

    def solve(self, topology: Topology) -> LinkSolution:
        """Find the best placement over other links.

        Parameters
        ----------
        topology : Topology
            Of the question's tiers.

        Returns
        -------
        LinkSolution
            Certified on the contracted graph; ties go to fewer crossings, then to fewer bytes.

        Raises
        ------
        InfeasiblePlacementError
            The constraints leave no placement.
        InternalError
            The cut's ticks are not what its arcs cost.
        """
        parameters = read_parameters(topology)
        cut = self.reduction.solve(parameters)
        always = float(self.formulation.charges.always @ parameters)
        value = float(self.reduction.problem.measure(cut.source_side) @ parameters)
        check_value(cut, value)
        return LinkSolution(
            value=value + always,
            certificate=write_certificate(cut, always=always, scope=self.reduction.scope),
            topology=topology,
            _question=self.question,
            _formulation=self.formulation,
            _side=self.reduction.contraction.expand(cut.source_side),
        )


def check_value(cut: MinimumCut, value: float) -> None:
    """Hold a cut's ticks against what its arcs cost in floats.

    Raises
    ------
    InternalError
        They differ by more than rounding explains.
    """
    proof = cut.certificate
    claimed = proof.cut_ticks * proof.tick
    if abs(claimed - value) > proof.rounding_bound + _FLOAT_NOISE * max(claimed, value):
        raise InternalError(f"The cut claims a cost of {claimed!r} and its arcs cost {value!r}.")


def write_certificate(cut: MinimumCut, *, always: float, scope: str) -> Certificate:
    """Write a cut's certificate as plans have it.

    Parameters
    ----------
    cut : MinimumCut
    always : float
        What every placement costs.
    scope : str
        The graph that was solved.
    """
    proof = cut.certificate
    return Certificate(
        cut_ticks=proof.cut_ticks,
        flow_ticks=proof.flow_ticks,
        tick_seconds=proof.tick,
        rounding_bound_seconds=proof.rounding_bound,
        always_seconds=always,
        scope=scope,
    )
