"""What else might be done than what a plan does."""

from collections.abc import Iterator

from onnxsplit.planned import Alternative
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.cuts.candidates import Identity, find_candidates, identify
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.outlook.shares import CutTable

MOST_SOLVES = 60
"""Minimum cuts for the next best placements, for each one that is wanted."""


def find_alternatives(
    solver: Solver,
    table: CutTable | None,
    chosen: PricedPlacement,
    *,
    optimum: PricedPlacement,
    split: PricedPlacement | None = None,
    balanced: PricedPlacement | None = None,
    count: int,
) -> tuple[Alternative, ...]:
    """List what else might be done, each set of crossings once.

    Parameters
    ----------
    solver : Solver
    table : CutTable or None
        None for a chain of more than two tiers. It serves where the guard of the search for the
        next best placements ends it.
    chosen, optimum : PricedPlacement
        What the plan does, and what is best overall.
    split : PricedPlacement, optional
        The best proper split, if there is one.
    balanced : PricedPlacement, optional
        The cut that gives both tiers enough work, where the chosen one does not.
    count : int
        How many of the next best splits to list.

    Returns
    -------
    tuple of Alternative
        The optimum, the best proper split, the balanced cut, and the next best proper splits, as
        far as they differ in what crosses.
    """
    listed: list[tuple[str, PricedPlacement]] = []
    if optimum.rank != chosen.rank:
        listed.append(("the optimum over all placements", optimum))
    if split is not None:
        listed.append(("the best proper split", split))
    if balanced is not None:
        listed.append(("best cut found that gives both tiers enough work", balanced))
    named = len(listed)
    taken = {identify(priced) for priced in (chosen, *(priced for _, priced in listed))}
    listed += _list_next(solver, table, taken, count)
    seen = {identify(chosen)}
    kept: list[Alternative] = []
    for reason, priced in (*listed[:named], *sorted(listed[named:], key=_rank)):
        if identify(priced) not in seen:
            seen.add(identify(priced))
            kept.append(describe_alternative(reason, priced))
    return tuple(kept)


def describe_alternative(reason: str, priced: PricedPlacement) -> Alternative:
    """Describe another placement.

    Parameters
    ----------
    reason : str
        Why it is listed.
    priced : PricedPlacement
    """
    return Alternative(
        reason=reason,
        placement=priced.placement,
        prediction=priced.prediction,
        crossings=priced.crossings,
    )


def _list_next(
    solver: Solver, table: CutTable | None, taken: set[Identity], count: int
) -> Iterator[tuple[str, PricedPlacement]]:
    """Yield the next best splits; single-tensor cuts for those that the guard leaves out."""
    if count == 0:
        return
    found = find_candidates(
        solver, count + len(taken), splits_only=True, most_solves=MOST_SOLVES * count
    )
    left = count
    for priced in found.priced:
        if left and identify(priced) not in taken:
            left -= 1
            taken.add(identify(priced))
            yield "next best", priced
    for cut in table.cuts if table and found.is_cut_short else ():
        if not left:
            return
        priced = solver.price(cut.place(solver.graph, solver.formulation.tiers))
        if identify(priced) not in taken and solver.keeps_budgets(priced):
            left -= 1
            taken.add(identify(priced))
            yield "next among single-tensor cuts", priced


def _rank(entry: tuple[str, PricedPlacement]) -> tuple[float, bool, int, int]:
    """Sort the next best by what they cost."""
    return entry[1].rank
