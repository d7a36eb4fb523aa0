"""The smallest set of constraints that clash, by their flags.

Note on the search. Dropping one piece after the other, and keeping dropped whatever the rest still
clashes without, leaves a set that is irreducible: without any one of its pieces something is
feasible (the deletion filter of Chinneck and Dravnieks, "Locating minimal infeasible constraint
sets in linear programs", ORSA Journal on Computing, 1991). It need not be the smallest. All smaller
sets are therefore tried, the smallest first, as long as there are few of them.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from onnxsplit.errors import InfeasiblePlacementError, PlanError
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.optimum import find_best_split, find_optimum
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.demands.budgets import find_within_budgets
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.demands.pieces import Piece, combine, take_apart, take_memory

MOST_TRIED = 300
"""Sets that are tried for a smaller clash."""

_SECONDS = 10.0

_PROPER = Piece(flag="a proper split", constraints=Constraints())
"""What the demand to leave no tier empty is called among the constraints."""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash(Generic[Part]):
    """Constraints that nothing meets together.

    Parameters
    ----------
    parts : tuple
        In their given order; without any one of them something is feasible.
    is_smallest : bool
        No fewer clash; else too many sets would have had to be tried.
    """

    parts: tuple[Part, ...]
    is_smallest: bool


def find_clash(
    parts: Sequence[Part],
    is_feasible: Callable[[tuple[Part, ...]], bool],
    *,
    most_tried: int = MOST_TRIED,
) -> Clash[Part]:
    """Find the smallest set of parts that clash.

    Parameters
    ----------
    parts : sequence
        Infeasible together.
    is_feasible : callable
        Whether something meets some of the parts; fewer parts are never harder to meet.
    most_tried : int
        How many smaller sets are tried at most.

    Returns
    -------
    Clash

    Notes
    -----
    One feasibility test for each part, and then for each smaller set.
    """
    core = tuple(parts)
    for part in parts:
        rest = tuple(other for other in core if other is not part)
        if not is_feasible(rest):
            core = rest
    tried = 0
    for size in range(1, len(core)):
        for fewer in itertools.combinations(parts, size):
            tried += 1
            if tried > most_tried:
                return Clash(parts=core, is_smallest=False)
            if not is_feasible(fewer):
                return Clash(parts=fewer, is_smallest=True)
    return Clash(parts=core, is_smallest=True)


def word_clash(
    flags: Sequence[str], reason: str, *, is_smallest: bool, is_proper: bool = False
) -> str:
    """Say in a sentence what clashes, and why where a reason is known.

    Parameters
    ----------
    flags : sequence of str
    reason : str
        A sentence, or empty.
    is_smallest : bool
    is_proper : bool
        Only placements that leave no tier empty clash with them.
    """
    names = f"{', '.join(flags[:-1])} and {flags[-1]}" if len(flags) > 1 else flags[0]
    together = " together" if len(flags) > 1 else ""
    head = f"No {'proper split' if is_proper else 'placement'} meets {names}{together}"
    doubt = "" if is_smallest else " (a smaller set may clash as well)"
    if reason:
        return f"{head}{doubt}: {reason}"
    advice = "drop or loosen one of them" if len(flags) > 1 else "drop or loosen it"
    return f"{head}{doubt}; {advice}."


def explain_clash(
    question: Question,
    constraints: Constraints,
    open_solver: Callable[[Question, Constraints], Solver],
    error: InfeasiblePlacementError,
    *,
    is_proper: bool = False,
) -> InfeasiblePlacementError:
    """Say which constraints clash, by their flags, and why where that is known.

    Parameters
    ----------
    question : Question
    constraints : Constraints
        No placement meets them.
    open_solver : callable
        Opens a solver under just the constraints that it is given.
    error : InfeasiblePlacementError
        What was said first; it stands where the model itself leaves no placement.
    is_proper : bool
        Whether no tier may be left empty.
    """

    def solve(pieces: Sequence[Piece]) -> None:
        together = Constraints(optimizer_slots=constraints.optimizer_slots)
        for piece in pieces:
            together = combine(together, piece.constraints)
        solver = open_solver(question, together)
        proper = any(piece is _PROPER for piece in pieces)
        find = find_best_split if proper else find_optimum
        find_within_budgets(solver, find, is_proper=proper, seconds=_SECONDS)

    def explain(pieces: Sequence[Piece]) -> str | None:
        try:
            solve(pieces)
        except InfeasiblePlacementError as reason:
            return str(reason)
        except PlanError:  # undecided within the time: not known to clash
            return None
        return None

    given = (*take_apart(constraints), *take_memory(question))
    pieces = (*given, *((_PROPER,) if is_proper else ()))
    clash = find_clash(pieces, lambda some: explain(some) is None)
    if not clash.parts or clash.parts == (_PROPER,):
        return error
    reason = explain(clash.parts) or ""
    return InfeasiblePlacementError(
        word_clash(
            [piece.flag for piece in clash.parts if piece is not _PROPER],
            "" if reason in _BARE else reason,
            is_smallest=clash.is_smallest,
            is_proper=_PROPER in clash.parts,
        )
    )


_BARE = frozenset(
    {
        "The budgets leave no placement.",
        "The constraints contradict each other: no placement meets them.",
    }
)
"""Reasons that tell no more than that there is no placement."""
