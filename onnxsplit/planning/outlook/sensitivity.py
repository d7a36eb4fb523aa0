"""How far one figure may move before the answer changes, and what staying would then cost.

Note on the walk. Every placement's cost is linear in each of these figures: the inverse of a rate,
a round trip, or the inverse of a tier's speed. The least cost over all placements is therefore
concave and piecewise linear, and the best placement stays best on an interval. To find an end of
it, solve at the far end of the axis; if another placement wins there, step back to where the two
lines meet and solve again, until none wins (Newton's method on lines: Eisner and Severance,
"Mathematical techniques for efficient record segmentation in large shared databases", Journal of
the ACM, 1976). The lines are those of the cuts' own costs, never of rounded ticks; what a solve
can't tell apart, a part in 10^8 of the cost there, counts as equal.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InternalError
from onnxsplit.outlook import ParameterRange, Sensitivity, Successor
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.charging import charge
from onnxsplit.planning.costs.mixes import time_cells
from onnxsplit.planning.costs.pricing import PricedPlacement, price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.formulation import formulate
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.profiles import Profile
from onnxsplit.tiers import Topology

FURTHEST = 1e6
"""Figures are followed up to so many times their value; what holds there counts as unlimited."""

_NOISE = 1e-8
_MOST_STEPS = 100
_SLOWEST_BYTES_PER_SECOND = 1.0
_LONGEST_TRIP_SECONDS = 3600.0

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """A figure in which every placement's cost is linear.

    Parameters
    ----------
    parameter, where : str
    is_inverted : bool
        Costs are linear in 1 / figure.
    start, furthest : float
        As things are, and as far as it is followed, on the linear scale; it begins at 0, or for a
        speed at 1 / `FURTHEST`.
    least : float
    ask : callable
        Point on the linear scale to the question there.
    """

    parameter: str
    where: str
    is_inverted: bool
    start: float
    least: float
    furthest: float
    ask: Callable[[float], Question]

    def show(self, point: float) -> float:
        """Return the figure at a point of the linear scale."""
        if not self.is_inverted:
            return point
        return math.inf if point == 0 else 1 / point


def find_sensitivity(question: Question, solver: Solver, best: PricedPlacement) -> Sensitivity:
    """Find how far each rate, round trip and tier's speed may move.

    Parameters
    ----------
    question : Question
    solver : Solver
        Of this question.
    best : PricedPlacement
        The best of all placements that the solver admits.

    Returns
    -------
    Sensitivity
        For each figure alone, all others staying as they are.

    Raises
    ------
    InternalError
        A walk does not end.

    Notes
    -----
    For each figure and direction one minimum cut for each line on the way to the end of the range,
    and two for the regrets; usually four to eight for each figure.
    """
    return Sensitivity(
        of=_succeed(best),
        ranges=tuple(
            _Walk.along(axis, solver, best.placement).measure() for axis in _list_axes(question)
        ),
    )


def _list_axes(question: Question) -> Iterator[_Axis]:
    """Yield the figures of every link, then the speed of every tier."""
    for place, (near, far, link) in enumerate(question.topology.hops):
        for name in ("up_bytes_per_second", "down_bytes_per_second"):
            start = 1 / getattr(link, name)
            yield _Axis(
                parameter=name,
                where=f"{near}->{far}",
                is_inverted=True,
                start=start,
                least=0.0,
                furthest=FURTHEST * start if start else 1 / _SLOWEST_BYTES_PER_SECOND,
                ask=_ask_rate(question, place, name),
            )
        trip = link.round_trip_seconds
        yield _Axis(
            parameter="round_trip_seconds",
            where=f"{near}->{far}",
            is_inverted=False,
            start=trip,
            least=0.0,
            furthest=FURTHEST * trip if trip else _LONGEST_TRIP_SECONDS,
            ask=_ask_trip(question, place),
        )
    for tier in question.topology.tiers:
        yield _Axis(
            parameter="speed",
            where=tier,
            is_inverted=True,
            start=1.0,
            least=1 / FURTHEST,
            furthest=FURTHEST,
            ask=_ask_speed(question, tier),
        )


def _ask_rate(question: Question, place: int, name: str) -> Callable[[float], Question]:
    """Return the question by the inverse of a rate."""

    def ask(inverse: float) -> Question:
        rate = 1 / inverse if inverse else math.inf
        return _with_link(question, place, **{name: rate})

    return ask


def _ask_trip(question: Question, place: int) -> Callable[[float], Question]:
    """Return the question by a round trip."""
    return lambda seconds: _with_link(question, place, round_trip_seconds=seconds)


def _with_link(question: Question, place: int, **figures: float) -> Question:
    """Replace figures of a link."""
    links = list(question.topology.links)
    links[place] = replace(links[place], **figures)  # type: ignore[arg-type]  # all are floats
    return replace(question, topology=Topology(tiers=question.topology.tiers, links=tuple(links)))


def _ask_speed(question: Question, tier: str) -> Callable[[float], Question]:
    """Return the question by the inverse of a tier's speed."""

    def scale(profiles: Mapping[str, Profile], slowness: float) -> dict[str, Profile]:
        return {**profiles, tier: profiles[tier].scale(1 / slowness)}

    def ask(slowness: float) -> Question:
        variants = tuple(
            replace(variant, profiles=scale(variant.profiles, slowness))
            for variant in question.variants
        )
        profiles = scale(question.profiles, slowness)
        return replace(question, profiles=profiles, variants=variants)

    return ask


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """What a cut costs along an axis.

    Parameters
    ----------
    side : ndarray of bool
        The cut's source side.
    value, slope : float
        At the start of the axis, and for each unit of the linear scale.
    """

    side: npt.NDArray[np.bool_]
    value: float
    slope: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """Finds the ends of the interval on which a placement is best along an axis."""

    axis: _Axis
    solver: Solver
    best: Placement
    slopes: _Floats
    always_slope: float

    @classmethod
    def along(cls, axis: _Axis, solver: Solver, best: Placement) -> "_Walk":
        """Make the capacities linear along an axis: two sets of charges give the line."""
        step = axis.start or axis.furthest
        formulation = solver.formulation
        there = axis.ask(axis.start + step)
        coarse = time_cells(formulation.coarse, there.profiles)
        moved = formulate(
            charge(there, coarse, banned=formulation.banned),
            coarse,
            there.topology,
            pins=formulation.pins,
            banned=formulation.banned,
            off_first=formulation.off_first,
        )
        finite = np.isfinite(formulation.capacities)
        if not np.array_equal(finite, np.isfinite(moved.capacities)):
            raise InternalError(f"The charges are not linear in {axis.parameter}.")
        slopes = np.zeros_like(formulation.capacities)
        slopes[finite] = (moved.capacities[finite] - formulation.capacities[finite]) / step
        return cls(
            axis=axis,
            solver=solver,
            best=best,
            slopes=slopes,
            always_slope=(moved.always - formulation.always) / step,
        )

    def measure(self) -> ParameterRange:
        """Find both ends, and the regrets at half and twice the figure."""
        axis = self.axis
        first, before = self._follow(axis.least)
        last, after = self._follow(axis.furthest)
        low, high = axis.show(first), axis.show(last)
        if axis.is_inverted:
            low, high, before, after = high, low, after, before
        inverse = 1 / 2 if axis.is_inverted else 2
        has_regret = bool(axis.start)
        return ParameterRange(
            parameter=axis.parameter,
            where=axis.where,
            value=axis.show(axis.start),
            least=low if before else 0.0,
            most=high if after else math.inf,
            below=before,
            above=after,
            regret_if_halved_seconds=self._regret(axis.start / inverse) if has_regret else None,
            regret_if_doubled_seconds=self._regret(axis.start * inverse) if has_regret else None,
        )

    def _follow(self, end: float) -> tuple[float, Successor | None]:
        """Find how far towards an end the placement stays best, and who takes over there.

        A placement may be several lines, such as one for each place of the loss in training; it
        stays best while any of them is.
        """
        line, at = self._find_own_line(), self.axis.start
        for _ in range(_MOST_STEPS):
            at, rival = self._leave(line, at, end)
            if rival is None:
                return at, None
            placement = self.solver.formulation.read_placement(rival.side, self.solver.graph)
            if placement.tier_of != self.best.tier_of:
                return at, _succeed(self.solver.price(placement))
            line = rival
        raise InternalError(f"The range of {self.axis.parameter} does not settle.")

    def _leave(self, line: _Line, at: float, end: float) -> tuple[float, _Line | None]:
        """Walk back from an end to where a line is least; return the one that takes over there."""
        point, last = end, None
        for _ in range(_MOST_STEPS):
            rival = self._solve(point)
            gain = self._value(line, point) - self._value(rival, point)
            if gain <= _NOISE * self._value(line, point):
                return point, last
            gap = max(self._value(rival, at) - self._value(line, at), 0.0)
            point, last = at + gap / (gap + gain) * (point - at), rival
        raise InternalError(f"The range of {self.axis.parameter} does not settle.")

    def _find_own_line(self) -> _Line:
        """Return the placement's own line at the start."""
        formulation = self.solver.formulation
        place_of = {tier: place for place, tier in enumerate(formulation.tiers)}
        bars = [
            bar
            for number, cell in enumerate(formulation.coarse.cells)
            for bar in formulation.list_bars(
                (number,), place_of[self.best.tier_of[cell.operators[0]]]
            )
        ]
        return self._draw(self.solver.find_side(formulation.bar(bars)))

    def _solve(self, point: float) -> _Line:
        """Return a least line at a point."""
        capacities = self.solver.formulation.capacities + self.slopes * (point - self.axis.start)
        return self._draw(self.solver.find_side(np.maximum(capacities, 0.0)))

    def _draw(self, side: npt.NDArray[np.bool_]) -> _Line:
        """Return the line of a cut."""
        formulation = self.solver.formulation
        severed = side[formulation.problem.tails] & ~side[formulation.problem.heads]
        return _Line(
            side=side,
            value=formulation.always + math.fsum(formulation.capacities[severed]),
            slope=self.always_slope + math.fsum(self.slopes[severed]),
        )

    def _value(self, line: _Line, point: float) -> float:
        """Return what a line costs at a point."""
        return line.value + line.slope * (point - self.axis.start)

    def _price(self, placement: Placement, point: float) -> float:
        """Price a placement at a point, by definition."""
        return price_placement(self.axis.ask(point), placement).value

    def _regret(self, point: float) -> float:
        """Return what the placement costs more than the best one at a point."""
        side = self._solve(point).side
        other = self.solver.formulation.read_placement(side, self.solver.graph)
        return max(self._price(self.best, point) - self._price(other, point), 0.0)


def _succeed(priced: PricedPlacement) -> Successor:
    """Tell a placement by its verdict and its crossings."""
    return Successor(
        verdict=priced.placement.verdict,
        crossings=tuple(dict.fromkeys(crossing.tensor for crossing in priced.crossings)),
    )
