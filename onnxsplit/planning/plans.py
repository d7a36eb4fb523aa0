"""Plans: the best placement, or a given one, with everything that a reader wants to know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.graph import OperatorGraph
from onnxsplit.objectives import InferenceLatency, Objective
from onnxsplit.placement import Alternative, Placement, Plan
from onnxsplit.planning.alternatives import find_alternatives
from onnxsplit.planning.audit import check_plan
from onnxsplit.planning.balance import find_balanced_cut, is_balanced
from onnxsplit.planning.coarsening import coarsen
from onnxsplit.planning.constraints import (
    Constraints,
    check_operators,
    check_placement,
    find_banned,
    resolve_pins,
)
from onnxsplit.planning.formulation import formulate
from onnxsplit.planning.matching import match_profile
from onnxsplit.planning.optimum import (
    Solution,
    Solver,
    find_best_split,
    find_optimum,
    price_wholes,
)
from onnxsplit.planning.pricing import price_placement
from onnxsplit.planning.shares import measure_server_share, tabulate_cuts
from onnxsplit.planning.wording import (
    explain_next_cut,
    explain_override,
    explain_small_share,
    explain_split,
    explain_whole,
    name_link_assumptions,
)
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import DEVICE, SERVER, Topology

DEFAULT_LEAST_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _Study:
    """What a plan is made of: profiles in the model's names, and a solver for them."""

    solver: Solver
    profiles: Mapping[str, Profile]
    topology: Topology
    objective: Objective


def make_plan(
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    topology: Topology,
    *,
    objective: Objective | None = None,
    constraints: Constraints | None = None,
    require_split: bool = False,
    min_share: float = DEFAULT_LEAST_SHARE,
) -> Plan:
    """Find the best placement, or the best proper split, and plan for it.

    Parameters
    ----------
    graph : OperatorGraph
    profiles : mapping of str to Profile
        Tier to profile; each must fit the graph.
    topology : Topology
        A device and a server.
    objective : Objective, optional
        Inference latency if not given.
    constraints : Constraints, optional
    require_split : bool
        Take the best proper split, even where not splitting is better.
    min_share : float
        Below this share of the work on either tier the plan says so and names another cut.

    Returns
    -------
    Plan
        Certified; ``verdict`` tells what is best overall.

    Raises
    ------
    InfeasiblePlacementError
        No placement meets the constraints, or there is no proper split.
    ProfileMismatchError
        A profile does not fit the model.
    UsageError
        A constraint names what does not exist, a tier has no profile, or the topology is not a
        device and a server.
    """
    study = _open_study(graph, profiles, topology, objective, constraints or Constraints())
    solver = study.solver
    optimum = find_optimum(solver)
    is_split = optimum.priced.placement.is_proper
    split = _find_split(solver, optimum, required=require_split)
    chosen = split if require_split and split is not None else optimum
    notes: list[str] = []
    table = tabulate_cuts(solver)
    balanced = None
    if chosen.priced.placement.is_proper:
        share = measure_server_share(solver.formulation.coarse, chosen.priced.placement)
        if not is_balanced(share, min_share):
            balanced = find_balanced_cut(solver, table, min_share)
            notes.append(explain_small_share(share, min_share))
            notes.append(explain_next_cut(graph, balanced, min_share))
        if not is_split:
            notes.append(explain_whole(chosen.priced, optimum.priced))
    return _assemble(
        study,
        chosen,
        verdict=optimum.priced.placement.verdict,
        alternatives=find_alternatives(
            solver,
            table,
            chosen.priced,
            optimum=optimum.priced,
            split=None if split is None else split.priced,
            balanced=balanced,
        ),
        notes=notes,
        reason=explain_split(optimum.priced, price_wholes(solver)) if is_split else "",
    )


def make_plan_for(
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    topology: Topology,
    placement: Placement,
    *,
    objective: Objective | None = None,
    constraints: Constraints | None = None,
) -> Plan:
    """Plan for a given placement, and say what it costs against the optimum.

    Parameters
    ----------
    graph, profiles, topology, objective, constraints
        As for `make_plan`.
    placement : Placement
        Of all the graph's operators. It may divide operators that one machine runs as a single
        kernel; their seconds are then shared equally, and the plan says so.

    Returns
    -------
    Plan
        Its certificate is that of the one placement which all pins together allow.

    Raises
    ------
    InfeasiblePlacementError
        The placement sends intermediate results back, lets something cross that can't travel, or
        contradicts the constraints.
    ProfileMismatchError
        A profile does not fit the model.
    UsageError
        The placement leaves out an operator or names one that does not exist, or as for
        `make_plan`.
    """
    constraints = constraints or Constraints()
    study = _open_study(graph, profiles, topology, objective, constraints)
    solver, fitted = study.solver, study.profiles
    check_operators(graph, topology, placement)
    optimum = find_optimum(solver)
    priced = price_placement(graph, fitted, topology, placement)
    check_placement(placement, priced.crossings, solver.formulation.pins, constraints)
    fine = {tier: _divide_groups(profile) for tier, profile in fitted.items()}
    fixed = _prepare(graph, fine, topology, Constraints(), pins=placement.tier_of)
    proof = fixed.solve()
    chosen = Solution(
        priced=priced, certificate=replace(proof.certificate, restriction="the given placement")
    )
    solver.seconds += fixed.seconds
    solver.solves += fixed.solves
    return _assemble(
        study,
        chosen,
        verdict=optimum.priced.placement.verdict,
        alternatives=find_alternatives(
            solver, tabulate_cuts(solver), priced, optimum=optimum.priced
        ),
        notes=[explain_override(priced, optimum.priced)],
    )


def _open_study(
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    topology: Topology,
    objective: Objective | None,
    constraints: Constraints,
) -> _Study:
    """Fit the profiles to the model and formulate the problem."""
    if topology.tiers != (DEVICE, SERVER):
        raise UsageError(
            f"Plans are made for the tiers {DEVICE} and {SERVER}, not for"
            f" {', '.join(topology.tiers)}."
        )
    for tier in topology.tiers:
        if tier not in profiles:
            raise UsageError(f"The {tier} has no profile; give one for each tier.")
    fitted = {tier: match_profile(profiles[tier], graph) for tier in topology.tiers}
    return _Study(
        solver=_prepare(graph, fitted, topology, constraints),
        profiles=fitted,
        topology=topology,
        objective=objective or InferenceLatency(),
    )


def _prepare(
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    topology: Topology,
    constraints: Constraints,
    *,
    pins: Mapping[str, str] | None = None,
) -> Solver:
    """Formulate the problem and make it ready to solve."""
    formulation = formulate(
        graph,
        coarsen(graph, profiles),
        topology,
        pins=resolve_pins(graph, constraints) if pins is None else pins,
        banned=find_banned(graph, constraints),
    )
    price = partial(price_placement, graph, profiles, topology)
    return Solver(graph=graph, formulation=formulation, price=price)


def _find_split(solver: Solver, optimum: Solution, *, required: bool) -> Solution | None:
    """Find the best proper split; None if there is none and none is required."""
    if optimum.priced.placement.is_proper:
        # The best of all placements is the best proper split as well.
        certificate = replace(optimum.certificate, restriction="proper splits")
        return replace(optimum, certificate=certificate)
    try:
        return find_best_split(solver)
    except InfeasiblePlacementError:
        if required:
            raise
        return None


def _divide_groups(profile: Profile) -> Profile:
    """Share every group's seconds equally among its operators."""
    return replace(
        profile,
        groups=tuple(
            OperatorGroup(operators=(name,), seconds=group.seconds / len(group.operators))
            for group in profile.groups
            for name in group.operators
        ),
    )


def _assemble(
    study: _Study,
    chosen: Solution,
    *,
    verdict: str,
    alternatives: tuple[Alternative, ...],
    notes: Sequence[str],
    reason: str = "",
) -> Plan:
    """Put a plan together, and check it."""
    priced, solver = chosen.priced, study.solver
    assumptions = (
        *(sentence for profile in study.profiles.values() for sentence in profile.assumptions),
        *name_link_assumptions(study.topology),
    )
    baselines = {f"all-{tier}": whole.total_seconds for tier, whole in price_wholes(solver).items()}
    plan = Plan(
        model=solver.graph.identity,
        objective=study.objective.name,
        topology=study.topology,
        verdict=verdict,
        placement=priced.placement,
        crossings=priced.crossings,
        downloads=priced.downloads,
        predicted=priced.prediction,
        certificate=chosen.certificate,
        statistics=solver.statistics,
        alternatives=alternatives,
        baselines=baselines,
        assumptions=tuple(dict.fromkeys(assumptions)),
        notes=(*notes, *priced.notes),
        reason=reason,
    )
    check_plan(plan, solver.graph, study.profiles)
    return plan
