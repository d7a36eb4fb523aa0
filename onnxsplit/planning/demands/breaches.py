"""Whether a given placement meets the constraints, and by which flag it does not."""

from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.demands.limits import set_limits
from onnxsplit.planning.demands.pieces import Piece
from onnxsplit.planning.demands.rules import Rules, resolve_rules


def check_placement(
    question: Question, priced: PricedPlacement, coarse: CoarseGraph, pieces: tuple[Piece, ...]
) -> None:
    """Check that a placement meets every constraint, each for itself.

    Parameters
    ----------
    question : Question
    priced : PricedPlacement
    coarse : CoarseGraph
    pieces : tuple of Piece

    Raises
    ------
    InfeasiblePlacementError
        It breaks one; the message names the flag.
    """
    for piece in pieces:
        breach = _find_rule_breach(resolve_rules(question, piece.constraints), question, priced)
        if breach is None:
            breach = set_limits(question, piece.constraints).find_breach(priced, coarse)
        if breach is not None:
            raise InfeasiblePlacementError(
                f"This placement breaks {piece.flag}: {breach}; drop one of the two."
            )


def _find_rule_breach(rules: Rules, question: Question, priced: PricedPlacement) -> str | None:
    """Say which of the rules a placement breaks; None if it meets them."""
    tier_of, first = priced.placement.tier_of, priced.placement.tiers[0]
    for name, tier in rules.pins.items():
        if tier_of[name] != tier:
            return f"{name!r} is on the {tier_of[name]}, but is pinned to the {tier}"
    for name in sorted(rules.off_first):
        if tier_of[name] == first:
            kind = question.graph.operator(name).op_type
            return f"{name!r} is on the {first}, whose runtime has no {kind}"
    for names in rules.together:
        tiers = {tier_of[name]: name for name in names}
        if len(tiers) > 1:
            one, other = list(tiers.values())[:2]
            return f"{one!r} and {other!r} are on different tiers"
    return _find_travel_breach(rules, priced)


def _find_travel_breach(rules: Rules, priced: PricedPlacement) -> str | None:
    """Say which value travels that may not; None if none does."""
    first = priced.placement.tiers[0]
    for crossing in (*priced.crossings, *priced.downloads):
        if crossing.tensor in rules.banned:
            return f"{crossing.tensor!r} crosses from {crossing.source} to {crossing.target}"
    for crossing in priced.crossings:
        if crossing.tensor in rules.private and crossing.source == first:
            return f"{crossing.tensor!r} leaves the {first}"
    return None
