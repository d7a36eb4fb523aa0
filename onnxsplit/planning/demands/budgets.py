"""The best placement within budgets: the minimum cut if it keeps them, else branch and bound.

Note on exactness. A budget makes the problem knapsack-hard, so a mixed-integer program is solved
(see `onnxsplit.mincut.budgets`). Its solver lets rows be off by a millionth. Whatever it finds is
therefore measured by itself; if it breaks a budget by less than that, it alone is ruled out and
the search goes on.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from onnxsplit.errors import InfeasiblePlacementError, InternalError, PlanError
from onnxsplit.mincut import TOLERANCE, BudgetedCut, CutCap, SideRows, solve_within_budgets
from onnxsplit.objectives import Energy, InferenceLatency, Objective, TrainingDelay
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.charges import read_parameters
from onnxsplit.planning.costs.charging import charge
from onnxsplit.planning.costs.gradients import follow_gradients
from onnxsplit.planning.costs.mixes import list_graphs
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.cuts.formulation import Bar, Formulation, formulate
from onnxsplit.planning.cuts.optimum import price_wholes
from onnxsplit.planning.cuts.separators import place_prefix
from onnxsplit.planning.cuts.solver import Solution, Solver
from onnxsplit.planning.demands.limits import Limits, refuse_unknown_sizes
from onnxsplit.planning.demands.memory_rows import TierRows, limit_inference, limit_training
from onnxsplit.planning.outlook.shares import weigh_cells
from onnxsplit.prediction import Certificate

METHOD = "branch and bound"
MOST_SECONDS = 60.0
"""Time after which the best placement found is taken; the plan then states the gap."""

_MOST_REPAIRS = 50
_RESOLUTION = 2.0**29
_TWO = 2


def find_within_budgets(
    solver: Solver,
    find: Callable[[Solver], Solution],
    *,
    is_proper: bool = False,
    bars: Sequence[Bar] = (),
    seconds: float = MOST_SECONDS,
) -> Solution:
    """Find the best placement that keeps all budgets.

    Parameters
    ----------
    solver : Solver
    find : callable
        Finds the best placement without them: `find_optimum` or `find_best_split`.
    is_proper : bool
        Whether no tier may be left empty, as `find` has it.
    bars : sequence of (int, int)
        Cell and place of a tier that it must not run on, as `find` has them.
    seconds : float
        Time that branch and bound may take.

    Returns
    -------
    Solution
        Certified as by `find` where its answer keeps the budgets, else by branch and bound.

    Raises
    ------
    InfeasiblePlacementError
        No placement keeps the budgets and the other constraints.
    PlanError
        The time was over before any was found.
    """
    relaxed = find(solver)
    limits = solver.limits
    if limits is None or solver.keeps_budgets(relaxed.priced):
        return relaxed
    search = _Search(
        solver=solver,
        limits=limits,
        is_proper=is_proper,
        bars=tuple(bars),
        scale=relaxed.priced.value or 1.0,
    )
    return search.run(relaxed, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """Solves the mixed-integer program, and again without what breaks a budget by a hair."""

    solver: Solver
    limits: Limits
    is_proper: bool
    bars: tuple[Bar, ...]
    scale: float

    def run(self, relaxed: Solution, seconds: float) -> Solution:
        """Search until a placement keeps the budgets or the time is over."""
        formulation = self.solver.formulation
        rows, caps = self._translate()
        end = time.perf_counter() + seconds
        for _ in range(_MOST_REPAIRS):
            left = end - time.perf_counter()
            cut = self._solve(rows, caps, max(left, 0.0))
            if cut.source_side is None:
                return self._fall_back(relaxed, cut)
            placement = formulation.read_placement(cut.source_side, self.solver.graph)
            priced = self.solver.price(placement)
            if self.solver.keeps_budgets(priced):
                return self._settle(priced, cut)
            self._rule_out(rows, cut)
        raise InternalError("Branch and bound keeps finding placements that break a budget.")

    def _solve(self, rows: SideRows, caps: list[CutCap], seconds: float) -> BudgetedCut:
        """Solve and count."""
        formulation, started = self.solver.formulation, time.perf_counter()
        problem = formulation.problem.at(read_parameters(formulation.topology))
        try:
            return solve_within_budgets(
                problem,
                formulation.deciding,
                rows,
                caps=caps,
                scale=self.scale,
                seconds=seconds,
            )
        finally:
            self.solver.solves += 1
            self.solver.seconds += time.perf_counter() - started

    def _translate(self) -> tuple[SideRows, list[CutCap]]:
        """Return the budgets as rows and caps."""
        formulation, limits = self.solver.formulation, self.limits
        rows = SideRows(vertex_count=formulation.problem.vertex_count)
        for place, tier in enumerate(formulation.tiers):
            here = TierRows(rows=rows, formulation=formulation, place=place)
            if tier in limits.memory_bytes:
                _add_memory(here, limits, limits.memory_bytes[tier])
            if limits.least_share:
                weights = weigh_cells(formulation.coarse, formulation.tiers[-1])
                _add_share(here, weights.tolist(), limits.least_share)
            if self.is_proper:
                _add_share(here, [1.0] * len(formulation.coarse.cells), 1.0)
        for cell, place in self.bars:
            rows.add(TierRows(rows=rows, formulation=formulation, place=place).run(cell), 0.0)
        return rows, [*_list_caps(formulation, limits)]

    def _rule_out(self, rows: SideRows, cut: BudgetedCut) -> None:
        """Rule out one placement."""
        formulation = self.solver.formulation
        side = cut.source_side
        if side is None:
            raise InternalError("There is no cut to rule out.")
        layers = len(formulation.tiers) - 1
        count = len(formulation.coarse.cells)
        inside = [
            (formulation.locate(cell, layer), bool(side[formulation.locate(cell, layer)]))
            for cell in range(count)
            for layer in range(layers)
        ]
        rows.add(
            [(vertex, 1.0 if here else -1.0) for vertex, here in inside],
            sum(here for _, here in inside) - 1.0,
        )

    def _settle(self, priced: PricedPlacement, cut: BudgetedCut) -> Solution:
        """Hold the program's value against the placement's own, and state the gap."""
        always = self.solver.formulation.always
        slack = 10 * TOLERANCE * max(self.scale, priced.value)
        claimed, bound = cut.value + always, cut.bound + always
        if claimed < priced.value - slack or bound > priced.value + slack:
            raise InternalError(
                f"Branch and bound claims a cost of {claimed!r} and at least {bound!r}; its"
                f" placement costs {priced.value!r}."
            )
        return self._certify(priced, bound)

    def _certify(self, priced: PricedPlacement, bound: float) -> Solution:
        """Take a placement, or not splitting where that ties, and say how far it may be off."""
        unbarred = not self.is_proper and not self.bars
        wholes = price_wholes(self.solver).values() if unbarred else ()
        best = min((priced, *wholes), key=lambda each: each.rank)
        always = self.solver.formulation.always
        gap = best.value - bound
        if gap <= TOLERANCE * max(self.scale, best.value):
            gap = 0.0
        tick = max(best.value, self.scale) / _RESOLUTION
        ticks = round((best.value - always) / tick)
        over = "proper splits within the budgets" if self.is_proper else "placements within budgets"
        return Solution(
            priced=best,
            certificate=Certificate(
                cut_ticks=ticks,
                flow_ticks=ticks - math.ceil(gap / tick),
                tick_seconds=tick,
                rounding_bound_seconds=TOLERANCE * max(self.scale, best.value),
                always_seconds=always,
                restriction=over,
                method=METHOD,
                gap_seconds=gap,
            ),
        )

    def _fall_back(self, relaxed: Solution, cut: BudgetedCut) -> Solution:
        """Take the best prefix of the graph's order that keeps the budgets."""
        fitting = [
            priced
            for placement in self._list_prefixes()
            if self.solver.admits(placement)
            and self._keeps_bars(placement)
            and self.solver.keeps_budgets(priced := self.solver.price(placement))
        ]
        if not fitting:
            raise PlanError(
                "No placement that keeps the budgets was found in time, and none was excluded;"
                " loosen a budget."
            )
        best = min(fitting, key=lambda priced: priced.rank)
        always = self.solver.formulation.always
        return self._certify(best, max(cut.bound + always, relaxed.priced.value))

    def _keeps_bars(self, placement: Placement) -> bool:
        """Tell whether a placement of whole cells keeps the bars."""
        formulation = self.solver.formulation
        cells, tiers = formulation.coarse.cells, formulation.tiers
        return all(
            placement.tier_of[cells[cell].operators[0]] != tiers[place] for cell, place in self.bars
        )

    def _list_prefixes(self) -> list[Placement]:
        """Return the prefixes of the graph's order on the first of two tiers, the rest behind."""
        tiers, graph = self.solver.formulation.tiers, self.solver.graph
        if len(tiers) != _TWO:
            return []
        ends = range(1, len(graph)) if self.is_proper else range(len(graph) + 1)
        return [place_prefix(graph, end, tiers) for end in ends]


def _add_memory(here: TierRows, limits: Limits, limit_bytes: int) -> None:
    """Let a tier's memory suffice."""
    objective = limits.question.objective
    for graph in list_graphs(limits.question):
        refuse_unknown_sizes(graph)
        if isinstance(objective, TrainingDelay):
            flow = follow_gradients(graph, objective.frozen)
            limit_training(here, graph, flow, limits.optimizer_slots, limit_bytes)
        else:
            limit_inference(here, graph, limit_bytes)


def _add_share(here: TierRows, weights: list[float], least: float) -> None:
    """Let a tier run cells of at least some weight."""
    here.rows.add(
        [
            (variable, -weight * share)
            for cell, weight in enumerate(weights)
            if weight
            for variable, share in here.run(cell)
        ],
        -least,
    )


def _list_caps(formulation: Formulation, limits: Limits) -> list[CutCap]:
    """Return the caps on energy and time as cut problems of their own."""
    question = limits.question
    own = isinstance(question.objective, TrainingDelay)
    timed: Objective = question.objective if own else InferenceLatency()
    wanted: list[tuple[Objective, float | None]] = [
        (timed, limits.max_seconds),
        (Energy(powers=question.known_powers), limits.max_joules),
    ]
    caps = []
    for objective, limit in wanted:
        if limit is None:
            continue
        charges = charge(
            replace(question, objective=objective), formulation.coarse, banned=formulation.banned
        )
        other = formulate(
            charges, formulation.coarse, formulation.topology, pins={}, banned=formulation.banned
        )
        left = limit - other.always
        if left < 0:
            raise InfeasiblePlacementError("What every placement costs is above the cap already.")
        caps.append(CutCap(problem=other.problem.at(read_parameters(other.topology)), limit=left))
    return caps
