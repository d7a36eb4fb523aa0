"""The placement of least period, and the trade-offs between latency and period.

The period is the largest of several sums, which no minimum cut finds: the problem is NP-hard. For a
device and a server every placement is priced, as long as a guard allows it: an order ideal ends in
one block, so that there are as many as the blocks have together. Beyond that, and for longer
chains, an integer program states how far from the best its answer may be.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.outlook import Front, Successor, TradeOff
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.charges import Charges, Floats, read_parameters
from onnxsplit.planning.costs.inference_charges import charge_inference
from onnxsplit.planning.costs.prices import EVERY_SECOND
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.enumeration import list_ideals, read_ideals
from onnxsplit.planning.cuts.solver import Solution, Solver
from onnxsplit.planning.cuts.tallies import Rows, Tally
from onnxsplit.planning.demands.conflicts import explain_conflict, explain_no_split
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.prediction import Certificate

if TYPE_CHECKING:
    from onnxsplit.mincut.minimax import Demand

MOST_IDEALS = 20_000
"""Placements up to which all of them are priced."""

_TIERS = 2
_TICKS = 2**29
_MOST_TIED = 50
_FLOAT_NOISE = 1e-9
_FIRST_VERTEX = 2

_Method = Literal["enumeration", "integer program"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The placement of least period.

    Parameters
    ----------
    solution : Solution
        Of equal periods the one of least latency.
    front : Front
    """

    solution: Solution
    front: Front


def find_pipeline(
    question: Question,
    solver: Solver,
    *,
    splits_only: bool = False,
    most_ideals: int = MOST_IDEALS,
) -> Pipeline:
    """Find the placement of least period.

    Parameters
    ----------
    question : Question
        Its objective is throughput.
    solver : Solver
        Its formulation has resources as columns.
    splits_only : bool
        Leave no tier empty.
    most_ideals : int
        Placements up to which all of them are priced.

    Returns
    -------
    Pipeline
        Exact where all placements were priced, else within the gap that its certificate states.

    Raises
    ------
    InfeasiblePlacementError
        No placement meets the constraints, or none leaves no tier empty.

    Notes
    -----
    O(placements x (n + m)) in whole-array steps, or an integer program.
    """
    if len(solver.formulation.tiers) == _TIERS:
        ideals = list(islice(list_ideals(solver.formulation.coarse), most_ideals + 1))
        if len(ideals) <= most_ideals:
            rows = read_ideals(ideals, len(solver.formulation.coarse.cells))
            return _choose_among_all(question, solver, rows, splits_only=splits_only)
    return _choose_by_program(solver, splits_only=splits_only)


def refuse_what_only_sums_tell(solver: Solver, detail: Detail) -> None:
    """Refuse what a largest sum can't be asked.

    Parameters
    ----------
    solver : Solver
    detail : Detail

    Raises
    ------
    UsageError
        Sensitivity or an explanation was asked for, or there are budgets.
    """
    if detail.sensitivity or detail.explain:
        flag = "--sensitivity" if detail.sensitivity else "--explain"
        raise UsageError(f"{flag} needs an objective that adds up; a period is a maximum.")
    if solver.limits is not None:
        raise UsageError(
            "--objective throughput does not go with budgets of memory, energy, time or share;"
            " drop them, or plan for latency."
        )


def _choose_among_all(
    question: Question, solver: Solver, rows: Rows, *, splits_only: bool
) -> Pipeline:
    """Price every placement."""
    busy, fits = _tally(solver, solver.formulation.charges).add_up(rows)
    if splits_only:
        fits &= rows.any(axis=1) & ~rows.all(axis=1)
    if not fits.any():
        raise InfeasiblePlacementError(_explain_failure(solver, splits_only=splits_only))
    latency = _tally(solver, _charge_latency(question, solver)).add_up(rows)[0][fits, 0]
    periods, rows = busy[fits].max(axis=1), rows[fits]
    order = np.lexsort((latency, _round(periods)))
    tied = order[
        (_round(periods)[order] == _round(periods)[order[0]])
        & (_round(latency)[order] == _round(latency)[order[0]])
    ]
    choices = [solver.price(_place(solver, rows[row])) for row in tied[:_MOST_TIED]]
    best = min(choices, key=lambda priced: priced.rank)
    corners = [order[0]]
    for row in order[1:]:
        if latency[row] < latency[corners[-1]] * (1 - _FLOAT_NOISE):
            corners.append(row)
    return Pipeline(
        solution=Solution(
            priced=best,
            certificate=_certify(best.value, best.value, "enumeration", splits_only=splits_only),
        ),
        front=Front(
            points=tuple(_trade(solver.price(_place(solver, rows[row]))) for row in corners),
            is_complete=True,
        ),
    )


def _choose_by_program(solver: Solver, *, splits_only: bool) -> Pipeline:
    """Solve the integer program."""
    # scipy.optimize takes long to load, and most plans don't need it.
    from onnxsplit.mincut.minimax import solve_minimax  # noqa: PLC0415 - see above

    demands = tuple(_demand_split(solver)) if splits_only else ()
    try:
        cut = solve_minimax(solver.formulation.problem, demands)
    except InfeasiblePlacementError as error:
        raise InfeasiblePlacementError(_explain_failure(solver, splits_only=splits_only)) from error
    best = solver.price(solver.formulation.read_placement(cut.source_side, solver.graph))
    certificate = _certify(best.value, cut.bound, "integer program", splits_only=splits_only)
    others = [
        priced for priced in _list_weighted(solver) if priced.placement.is_proper or not splits_only
    ]
    return Pipeline(
        solution=Solution(priced=best, certificate=certificate),
        front=Front(points=tuple(map(_trade, _keep_best(best, others))), is_complete=False),
    )


def _list_weighted(solver: Solver) -> Iterator[PricedPlacement]:
    """Yield placements that are best for the sum of all resources, and for some of them dearer."""
    coefficients = solver.formulation.problem.coefficients
    never = np.isinf(coefficients[:, 0])
    resources = coefficients.shape[1]
    for dearer in (None, *range(resources)):
        weights = np.ones(resources)
        if dearer is not None:
            weights[dearer] = resources
        capacities = np.where(never, 0.0, coefficients[:, 0]) * weights[0]
        capacities += coefficients[:, 1:] @ weights[1:]
        side = solver.find_side(np.where(never, np.inf, capacities))
        yield solver.price(solver.formulation.read_placement(side, solver.graph))


def _keep_best(best: PricedPlacement, others: list[PricedPlacement]) -> list[PricedPlacement]:
    """Return the placements that no other beats in both, from the least period on."""
    kept = [best]
    for priced in sorted(others, key=lambda entry: (entry.value, entry.total_seconds)):
        if priced.total_seconds < kept[-1].total_seconds * (1 - _FLOAT_NOISE):
            kept.append(priced)
    return kept


def _demand_split(solver: Solver) -> Iterator["Demand"]:
    """Demand that every tier runs some cell."""
    from onnxsplit.mincut.minimax import Demand  # noqa: PLC0415 - as above

    cells, tiers = len(solver.formulation.coarse.cells), len(solver.formulation.tiers)
    layers = tiers - 1
    first = _FIRST_VERTEX + np.arange(cells) * layers
    for tier in range(tiers):
        # Cell c runs on the tier if (c, tier) is on the source side and (c, tier - 1) is not.
        up = first + tier if tier < layers else np.zeros(0, dtype=np.int64)
        down = first + tier - 1 if tier else np.zeros(0, dtype=np.int64)
        yield Demand(
            vertices=np.concatenate((up, down)),
            weights=np.concatenate((np.ones(up.size), -np.ones(down.size))),
            least=1.0 if up.size else 1.0 - cells,  # behind the last layer all cells count as 1
        )


def _tally(solver: Solver, charges: Charges) -> Tally:
    """Make ready to add up charges under the solver's pins."""
    formulation = solver.formulation
    allowed = np.isfinite(formulation.capacities[formulation.tier_arcs])
    return Tally(charges=charges, allowed=allowed)


def _charge_latency(question: Question, solver: Solver) -> Charges:
    """Return the charges of latency, as a single column of seconds."""
    formulation = solver.formulation
    charges = charge_inference(question, formulation.coarse, formulation.banned, EVERY_SECOND)
    parameters = read_parameters(question.topology)

    def settle(costs: Floats) -> Floats:
        return np.asarray(costs @ parameters)[..., None]

    return replace(
        charges,
        vertices=settle(charges.vertices),
        tensors=tuple(replace(entry, forward=settle(entry.forward)) for entry in charges.tensors),
        beyond=settle(charges.beyond),
        first=settle(charges.first),
        before=settle(charges.before),
        always=settle(charges.always),
    )


def _place(solver: Solver, on_device: Rows) -> Placement:
    """Return the placement of a row of cells."""
    device, server = solver.formulation.tiers
    cell_of = solver.formulation.coarse.cell_of
    return Placement(
        tiers=(device, server),
        tier_of={
            operator.name: device if on_device[cell_of[operator.name]] else server
            for operator in solver.graph
        },
    )


def certify_given(priced: PricedPlacement) -> Certificate:
    """State that a given placement is the one that was looked at.

    Parameters
    ----------
    priced : PricedPlacement
    """
    certificate = _certify(priced.value, priced.value, "enumeration", splits_only=False)
    return replace(certificate, restriction="the given placement")


def _certify(value: float, bound: float, method: _Method, *, splits_only: bool) -> Certificate:
    """State what was proved, in ticks of the value."""
    tick = value / _TICKS or 1.0
    cut = round(value / tick)
    exact = method == "enumeration" or value - bound <= _FLOAT_NOISE * value
    flow = cut if exact else min(cut, int(bound / tick))
    return Certificate(
        cut_ticks=cut,
        flow_ticks=flow,
        tick_seconds=tick,
        rounding_bound_seconds=tick,
        restriction="proper splits" if splits_only else "",
        method=method,
        gap_seconds=(cut - flow) * tick,
    )


def _trade(priced: PricedPlacement) -> TradeOff:
    """Describe a placement by its latency and period."""
    return TradeOff(
        latency_seconds=priced.total_seconds,
        period_seconds=priced.value,
        placement=Successor(
            verdict=priced.placement.verdict,
            crossings=tuple(dict.fromkeys(crossing.tensor for crossing in priced.crossings)),
        ),
    )


def _explain_failure(solver: Solver, *, splits_only: bool) -> str:
    """Say why there is no placement."""
    demands = solver.demands
    return explain_no_split(demands) if splits_only else explain_conflict(demands)


def _round(values: Floats) -> Floats:
    """Round to as many digits as floats can tell apart after some sums."""
    with np.errstate(divide="ignore"):
        scale = 10.0 ** (11 - np.floor(np.log10(np.maximum(np.abs(values), 1e-300))))
    return np.asarray(np.round(values * scale) / scale, dtype=np.float64)
