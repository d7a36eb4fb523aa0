"""What else might be done than what a plan does."""

from onnxsplit.placement import Alternative
from onnxsplit.planning.optimum import Solver
from onnxsplit.planning.pricing import PricedPlacement
from onnxsplit.planning.shares import CutTable

_NEXT_CUTS = 3


def find_alternatives(
    solver: Solver,
    table: CutTable | None,
    chosen: PricedPlacement,
    *,
    optimum: PricedPlacement,
    split: PricedPlacement | None = None,
    balanced: PricedPlacement | None = None,
) -> tuple[Alternative, ...]:
    """List what else might be done, each set of crossings once.

    Parameters
    ----------
    solver : Solver
    table : CutTable or None
        None for a chain of more than two tiers.
    chosen, optimum : PricedPlacement
        What the plan does, and what is best overall.
    split : PricedPlacement, optional
        The best proper split, if there is one.
    balanced : PricedPlacement, optional
        The cut that gives both tiers enough work, where the chosen one does not.

    Returns
    -------
    tuple of Alternative
        The optimum, the best proper split, the balanced cut, and the cheapest single-tensor cuts,
        as far as they differ.
    """
    listed: list[tuple[str, PricedPlacement]] = []
    if optimum.rank != chosen.rank:
        listed.append(("the optimum over all placements", optimum))
    if split is not None:
        listed.append(("the best proper split", split))
    if balanced is not None:
        listed.append(("best cut found that gives both tiers enough work", balanced))
    crossings = chosen.crossings if len(chosen.crossings) == 1 else ()
    taken = {crossing.tensor for crossing in crossings}
    for cut in table.cuts if table else ():
        if cut.tensor not in taken:
            taken.add(cut.tensor)
            priced = solver.price(cut.place(solver.graph, solver.formulation.tiers))
            if solver.keeps_budgets(priced):
                listed.append(("next among single-tensor cuts", priced))
        if sum(reason.startswith("next") for reason, _ in listed) == _NEXT_CUTS:
            break
    seen = {_key(chosen)}
    kept: list[Alternative] = []
    for reason, priced in listed:
        if _key(priced) not in seen:
            seen.add(_key(priced))
            kept.append(
                Alternative(
                    reason=reason,
                    placement=priced.placement,
                    prediction=priced.prediction,
                    crossings=priced.crossings,
                )
            )
    return tuple(kept)


def _key(priced: PricedPlacement) -> tuple[str, ...]:
    """Tell placements apart by what crosses."""
    return (priced.placement.verdict, *(crossing.tensor for crossing in priced.crossings))
