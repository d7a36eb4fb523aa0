"""Why an operator is where it is: what the best placement with it elsewhere would cost."""

from collections.abc import Sequence

from onnxsplit.errors import InfeasiblePlacementError, UsageError, suggest
from onnxsplit.outlook import Explanation, OtherTier
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.cuts.optimum import find_best_split
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.demands.budgets import find_within_budgets
from onnxsplit.planning.demands.conflicts import Demands


def explain_operators(
    solver: Solver, chosen: PricedPlacement, names: Sequence[str], *, splits_only: bool
) -> tuple[Explanation, ...]:
    """Explain where operators are.

    Parameters
    ----------
    solver : Solver
    chosen : PricedPlacement
        What the plan does.
    names : sequence of str
        Operators.
    splits_only : bool
        The plan is the best of the proper splits, so the others must be proper splits as well.

    Returns
    -------
    tuple of Explanation

    Raises
    ------
    UsageError
        There is no such operator.

    Notes
    -----
    One minimum cut for each operator and other tier, more where only proper splits count.
    """
    known = [operator.name for operator in solver.graph]
    for name in names:
        if name not in solver.graph:
            raise UsageError(
                f"--explain {name}: the model has no such operator. {suggest(name, known)}"
            )
    return tuple(_explain(solver, chosen, name, splits_only=splits_only) for name in names)


def _explain(
    solver: Solver, chosen: PricedPlacement, name: str, *, splits_only: bool
) -> Explanation:
    """Explain where one operator is."""
    here = chosen.placement.tier_of[name]
    return Explanation(
        operator=name,
        tier=here,
        others=tuple(
            _look_elsewhere(solver, chosen, name, tier, splits_only=splits_only)
            for tier in solver.formulation.tiers
            if tier != here
        ),
    )


def _look_elsewhere(
    solver: Solver, chosen: PricedPlacement, name: str, tier: str, *, splits_only: bool
) -> OtherTier:
    """Find the best placement with the operator on another tier."""
    formulation = solver.formulation
    cell = formulation.coarse.cell_of[name]
    bars = tuple(formulation.list_bars((cell,), formulation.tiers.index(tier)))
    try:
        solution = find_within_budgets(
            solver,
            lambda known: find_best_split(known, bars) if splits_only else known.solve(bars),
            is_proper=splits_only,
            bars=bars,
        )
    except InfeasiblePlacementError:
        obstacle = _name_obstacle(solver.demands, name, tier)
        return OtherTier(tier=tier, difference_seconds=None, obstacle=obstacle)
    other = solution.priced
    return OtherTier(
        tier=tier,
        difference_seconds=other.value - chosen.value,
        moved=tuple(
            operator
            for operator, there in other.placement.tier_of.items()
            if chosen.placement.tier_of[operator] != there
        ),
        crossings=tuple(dict.fromkeys(crossing.tensor for crossing in other.crossings)),
        crossing_bytes=sum(crossing.size_bytes for crossing in other.crossings),
    )


def _name_obstacle(demands: Demands, name: str, tier: str) -> str:
    """Say why an operator can't be on a tier."""
    if name in demands.pins:
        return f"it is pinned to the {demands.pins[name]}"
    cell = demands.coarse.cell_of[name]
    held = demands.hold()
    if tier != demands.tiers[0] and cell in held:
        hold = held[cell]
        return f"{hold.operator!r} {hold.reason}"
    return f"no placement that meets the constraints has it on the {tier}"
