"""The best placement for every bandwidth, in one dimension or in two.

Costs are linear in the inverse rates, so the least cost is a lower envelope; how it is traced is
told in `onnxsplit.mincut.envelope`. Breakpoints are where two placements' own costs meet, in
floats; ticks decide which cuts are found, never where they change.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.frontiers import Frontier, FrontierCut, FrontierSegment
from onnxsplit.mincut import MinimumCut
from onnxsplit.mincut.envelope import Piece, Plane, Ray, trace_envelope
from onnxsplit.planning.costs.charges import down_column, read_parameters, up_column
from onnxsplit.planning.costs.moving import name_move_assumptions
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.cuts.formulation import Bar
from onnxsplit.planning.cuts.reduction import Method, PreparedQuestion, Reduction, check_value
from onnxsplit.planning.cuts.solver import Solver
from onnxsplit.planning.demands.conflicts import explain_conflict, explain_no_split
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.solvers import prepare
from onnxsplit.tiers import Link, Topology

_TWO_TIERS = 2

BOTH_RATES = ((1.0, 0.0), (0.0, 1.0))
"""Rays of all pairs of uplink and downlink rates."""

Side = npt.NDArray[np.bool_]


def find_frontier(
    question: Question,
    *,
    constraints: Constraints | None = None,
    require_split: bool = False,
    two_dimensional: bool = False,
    method: Method = "auto",
    prepared: PreparedQuestion | None = None,
) -> Frontier:
    """Find every placement that is best at some bandwidth.

    Parameters
    ----------
    question : Question
        Of two tiers. Its link gives the ratio of downlink to uplink, and the round trip.
    constraints : Constraints, optional
    require_split : bool
        Take the best proper splits alone.
    two_dimensional : bool
        Find, beside the segments, the cuts for all pairs of uplink and downlink rates.
    method : str
        ``general`` solves on the whole graph; else it is contracted first.
    prepared : PreparedQuestion, optional
        Of the same question and constraints, where it has been made ready already.

    Returns
    -------
    Frontier

    Raises
    ------
    InfeasiblePlacementError
        No placement meets the constraints, or there is no proper split.
    UsageError
        The chain has more than two tiers, or a rate of the link is infinite.

    Notes
    -----
    At most 2 K + 1 certified solves for K pieces in one dimension.
    """
    link = _read_link(question)
    prepared = prepared or prepare(question, constraints=constraints, method=method)
    points = _Points.of(prepared, require_split=require_split)
    ratio = link.down_bytes_per_second / link.up_bytes_per_second
    segments = _divide(points.trace(span_rates(question.topology, ((1.0, 1.0 / ratio),))), points)
    regions = points.cover() if two_dimensional else ()
    return Frontier(
        model=question.graph.identity,
        objective=question.objective.name,
        unit=question.objective.unit,
        tiers=question.topology.tiers,
        down_per_up=ratio,
        round_trip_seconds=link.round_trip_seconds,
        restriction="proper splits" if require_split else "",
        segments=segments,
        regions=regions,
        scope=points.reduction.scope,
        relative_rounding=points.relative_rounding,
        solves=points.solves,
        assumptions=tuple(
            dict.fromkeys(
                (
                    *(s for profile in question.profiles.values() for s in profile.assumptions),
                    *question.assumptions,
                    *name_move_assumptions(question),
                )
            )
        ),
    )


def find_regions(
    question: Question,
    *,
    constraints: Constraints | None = None,
    method: Method = "auto",
    prepared: PreparedQuestion | None = None,
) -> tuple[FrontierCut, ...]:
    """Find every placement that is best at some pair of rates of the first link.

    Parameters
    ----------
    question : Question
        Of two or more tiers. Its other links, and all round trips, stay as they are.
    constraints : Constraints, optional
    method : str
        ``general`` solves on the whole graph; else it is contracted first.
    prepared : PreparedQuestion, optional
        Of the same question and constraints, where it has been made ready already.

    Returns
    -------
    tuple of FrontierCut
        At each pair of rates the cheapest of these is the best of all placements. What the other
        links cost is part of the constants.

    Raises
    ------
    InfeasiblePlacementError
        No placement meets the constraints.
    UsageError
        The objective does not fit the chain, or is no sum of costs.

    Notes
    -----
    Costs are linear in the inverse rates of the first link, so this is exact for any chain. One
    certified solve for each cut, and for each vertex of their envelope.
    """
    prepared = prepared or prepare(question, constraints=constraints, method=method)
    return _Points.of(prepared, require_split=False).cover()


def span_rates(topology: Topology, ways: Sequence[tuple[float, float]]) -> Plane:
    """Return the parameters that each entry of a ray stands for.

    Parameters
    ----------
    topology : Topology
    ways : sequence of (float, float)
        What each entry but the first adds to the inverse rates of the first link, up and down.

    Returns
    -------
    ndarray of float64, shape (1 + ways, columns)
        The first entry scales all that stays as it is.
    """
    fixed = read_parameters(topology)
    fixed[[up_column(0), down_column(0)]] = 0.0
    basis = np.zeros((1 + len(ways), len(fixed)))
    basis[0] = fixed
    for place, (up, down) in enumerate(ways, 1):
        basis[place, up_column(0)], basis[place, down_column(0)] = up, down
    return basis


def _read_link(question: Question) -> Link:
    """Return the one link, or say why there is no frontier."""
    if len(question.topology.tiers) != _TWO_TIERS:
        raise UsageError("A frontier is for a device and a server; give two tiers.")
    (link,) = question.topology.links
    if not math.isfinite(link.up_bytes_per_second) or not math.isfinite(link.down_bytes_per_second):
        raise UsageError(
            "A frontier needs the ratio of the link's rates; give a finite uplink and downlink."
        )
    return link


@dataclass(slots=True, kw_only=True)
class _Points:
    """Finds the best cut at single points, and keeps count."""

    question: Question
    solver: Solver
    reduction: Reduction
    choices: tuple[tuple[Bar, ...], ...]
    """Bars that together leave every placement that is asked for."""
    solves: int = 0
    relative_rounding: float = 0.0
    _known: dict[bytes, FrontierCut] = field(default_factory=dict)

    @classmethod
    def of(cls, prepared: PreparedQuestion, *, require_split: bool) -> "_Points":
        """Make ready."""
        question = prepared.question
        solver = Solver(
            graph=question.graph,
            formulation=prepared.formulation,
            price=partial(price_placement, question),
        )
        choices: tuple[tuple[Bar, ...], ...] = ((),)
        if require_split:
            choices = tuple(_list_splits(solver))
        return cls(
            question=question,
            solver=solver,
            reduction=prepared.reduction,
            choices=choices,
        )

    def trace(self, basis: Plane) -> list[Piece[Side]]:
        """Trace the envelope over the rays of a basis."""
        always = self.solver.formulation.charges.always

        def solve(ray: Ray) -> tuple[Plane, Side]:
            cut = self._find_least(ray @ basis)
            costs = self.reduction.problem.measure(cut.source_side)
            check_value(cut, float(costs @ (ray @ basis)))
            costs = costs + always
            return basis @ costs, cut.source_side

        return trace_envelope(solve, len(basis))

    def cover(self) -> tuple[FrontierCut, ...]:
        """Find the cuts for all pairs of rates of the first link."""
        plane = span_rates(self.question.topology, BOTH_RATES)
        return tuple(self.describe(piece.cut) for piece in self.trace(plane))

    def describe(self, side: Side) -> FrontierCut:
        """Describe a cut of the reduced problem, each once."""
        key = side.tobytes()
        if key not in self._known:
            formulation = self.solver.formulation
            whole = self.reduction.contraction.expand(side)
            placement = formulation.read_placement(whole, self.question.graph)
            priced = price_placement(self.question, placement)
            costs = self.reduction.problem.measure(side) + formulation.charges.always
            fixed, up, down = span_rates(self.question.topology, BOTH_RATES)
            self._known[key] = FrontierCut(
                placement=placement,
                crossings=priced.crossings,
                downloads=priced.downloads,
                constant=float(costs @ fixed),
                per_inverse_uplink=float(costs @ up),
                per_inverse_downlink=float(costs @ down),
            )
        return self._known[key]

    def _find_least(self, parameters: Plane) -> MinimumCut:
        """Solve under each choice of bars, and return the cheapest cut."""
        found = [cut for bars in self.choices if (cut := self._solve(parameters, bars))]
        if not found:
            demands = self.solver.demands
            if len(self.choices) == 1 and not self.choices[0]:
                raise InfeasiblePlacementError(explain_conflict(demands))
            raise InfeasiblePlacementError(explain_no_split(demands))
        measure = self.reduction.problem.measure
        best = min(found, key=lambda cut: float(measure(cut.source_side) @ parameters))
        proof = best.certificate
        if proof.cut_ticks:
            share = proof.rounding_bound / (proof.cut_ticks * proof.tick)
            self.relative_rounding = max(self.relative_rounding, share)
        return best

    def _solve(self, parameters: Plane, bars: Iterable[Bar]) -> MinimumCut | None:
        """Solve; None if no placement is left."""
        self.solves += 1
        try:
            return self.reduction.solve(parameters, bars)
        except InfeasiblePlacementError:
            return None


def _list_splits(solver: Solver) -> Iterable[tuple[Bar, ...]]:
    """Yield bars that keep a root on the device and a leaf on the server, for each such pair."""
    formulation, coarse = solver.formulation, solver.formulation.coarse
    for root, leaf in itertools.product(coarse.roots, coarse.leaves):
        if root != leaf:
            yield (*formulation.list_bars((root,), 0), *formulation.list_bars((leaf,), 1))


def _divide(pieces: list[Piece[Side]], points: _Points) -> tuple[FrontierSegment, ...]:
    """Divide the uplink rates among the cuts: those that send least at the low ones."""
    steep = sorted(pieces, key=lambda piece: (piece.plane[1], piece.plane[0]))
    kept: list[Piece[Side]] = []
    starts: list[float] = []
    for piece in steep:
        start = 0.0
        while kept and (start := _find_rate(kept[-1].plane, piece.plane)) <= starts[-1]:
            kept.pop()
            starts.pop()
            start = 0.0
        if math.isfinite(start):
            kept.append(piece)
            starts.append(start)
    ends = (*starts[1:], math.inf)
    return tuple(
        FrontierSegment(
            from_bytes_per_second=start, to_bytes_per_second=end, cut=points.describe(piece.cut)
        )
        for piece, start, end in zip(kept, starts, ends, strict=True)
    )


def _find_rate(low: Plane, high: Plane) -> float:
    """Return the rate beyond which the second cut, which sends no less, is the cheaper one."""
    saved = float(low[0] - high[0])
    sent = float(high[1] - low[1])
    return sent / saved if saved > 0 else math.inf
