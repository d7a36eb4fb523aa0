"""Solvers opened for a question, and their best placements; what admits none is explained."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from onnxsplit.errors import InfeasiblePlacementError, PlanError, UsageError
from onnxsplit.objectives import Throughput
from onnxsplit.planning.costs.charging import charge
from onnxsplit.planning.costs.coarsening import coarsen
from onnxsplit.planning.costs.mixes import list_graphs
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.formulation import formulate
from onnxsplit.planning.cuts.optimum import find_best_split, find_optimum
from onnxsplit.planning.cuts.reduction import Method, PreparedQuestion, Reduction, Solving
from onnxsplit.planning.cuts.solver import Solution, Solver
from onnxsplit.planning.demands.budgets import find_within_budgets
from onnxsplit.planning.demands.clashes import explain_clash
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.demands.limits import set_limits
from onnxsplit.planning.demands.pieces import combine, take_memory
from onnxsplit.planning.demands.rules import find_stuck, resolve_rules
from onnxsplit.planning.outlook.shares import CutTable, tabulate_cuts


def open_solver(
    question: Question, constraints: Constraints, *, pins: Mapping[str, str] | None = None
) -> Solver:
    """Formulate the problem and make it ready to solve.

    Parameters
    ----------
    question : Question
    constraints : Constraints
    pins : mapping of str to str, optional
        Operator to tier, instead of the constraints' own.

    Raises
    ------
    InfeasiblePlacementError
        Pins contradict each other.
    UsageError
        A constraint names what does not exist, or the objective does not fit the chain.
    """
    for piece in take_memory(question):
        constraints = combine(constraints, piece.constraints)
    return _open_as_given(question, constraints, pins=pins)


def _open_as_given(
    question: Question, constraints: Constraints, *, pins: Mapping[str, str] | None = None
) -> Solver:
    """Formulate the problem without what the profiles say of memory."""
    graph = question.graph
    rules = resolve_rules(question, constraints)
    limits = set_limits(question, constraints)
    coarse = coarsen(graph, question.profiles, (*question.together, *rules.together))
    banned = frozenset().union(rules.stuck, *(find_stuck(each) for each in list_graphs(question)))
    formulation = formulate(
        charges := charge(question, coarse, banned=banned),
        coarse,
        question.topology,
        pins=rules.pins if pins is None else pins,
        banned=banned,
        off_first=rules.off_first if pins is None else frozenset(),
        parameters=(
            np.ones(charges.columns) if isinstance(question.objective, Throughput) else None
        ),
    )
    return Solver(
        graph=graph,
        formulation=formulation,
        price=partial(price_placement, question),
        elsewhere=question.places.elsewhere,
        limits=limits if limits.are_any else None,
    )


def prepare(
    question: Question, *, constraints: Constraints | None = None, method: Method = "auto"
) -> PreparedQuestion:
    """Make a question ready once, to answer it for many links.

    Parameters
    ----------
    question : Question
    constraints : Constraints, optional
    method : str
        ``general`` keeps the whole graph; else it is contracted as far as is exact for all links.

    Returns
    -------
    PreparedQuestion

    Raises
    ------
    InfeasiblePlacementError
        Pins contradict each other.
    UsageError
        A constraint names what does not exist, or the objective does not fit the chain.
    """
    if isinstance(question.objective, Throughput):
        raise UsageError(
            "The period of a pipeline is a maximum, not a sum of costs; no frontier tells it. Use"
            " `plan` at the rates that count."
        )
    formulation = open_solver(question, constraints or Constraints()).formulation
    return PreparedQuestion(
        question=question,
        formulation=formulation,
        # What shared weights cost to move couples blocks.
        reduction=Reduction.of(
            question, formulation, method="general" if question.origin else method
        ),
    )


def _choose_method(solver: Solver, question: Question, solving: Solving) -> None:
    """Contract the graph where blocks were asked for; budgets and moves need the whole one."""
    solver.certify = solving.certify
    if solving.method == "blockwise" and solver.limits is None and question.origin is None:
        solver.reduction = Reduction.of(question, solver.formulation, method=solving.method)


def open_and_solve(
    question: Question, constraints: Constraints, solving: Solving
) -> tuple[Solver, Solution]:
    """Find the best placement, or say what clashes."""
    try:
        solver = open_solver(question, constraints)
        _choose_method(solver, question, solving)
        return solver, find_within_budgets(solver, find_optimum)
    except InfeasiblePlacementError as error:
        raise explain_clash(question, constraints, _open_as_given, error) from error


def find_required_split(question: Question, constraints: Constraints, solver: Solver) -> Solution:
    """Find the best proper split, or say what clashes with it."""
    try:
        return find_within_budgets(solver, find_best_split, is_proper=True)
    except InfeasiblePlacementError as error:
        raise explain_clash(question, constraints, _open_as_given, error, is_proper=True) from error


def tabulate_if_two(solver: Solver) -> CutTable | None:
    """Price all prefixes of a device and a server; longer chains have no such table."""
    return tabulate_cuts(solver) if len(solver.formulation.tiers) == 2 else None  # noqa: PLR2004 - two sides


def find_split(solver: Solver, optimum: Solution) -> Solution | None:
    """Find the best proper split; None if there is none."""
    if optimum.priced.placement.is_proper:
        # The best of all placements is the best proper split as well.
        certificate = replace(optimum.certificate, restriction="proper splits")
        return replace(optimum, certificate=certificate)
    try:
        return find_within_budgets(solver, find_best_split, is_proper=True)
    except PlanError:
        return None
