"""The minimum-cut problem where some operators may run twice: two vertices for each cell.

Two vertices stand for each cell ``v``. ``X_v`` is on the source side if the device runs it, ``Y_v``
if the server does *not*; on the source side and the sink side, in this order, it runs on both.

* ``X_v -> sink`` what ``v`` costs on the device, ``source -> Y_v`` on the server, and
  ``source -> X_v`` the way back of the outputs that it makes: the device has them if it runs ``v``.
* ``Y_v -> X_v`` infinite: somebody runs it. ``X_v -> Y_v`` infinite where it may not run twice.
* ``X_c -> X_p`` infinite: what the device runs, it can feed. The server can always be sent what it
  lacks: ``Y_p -> a_t`` what sending ``t`` costs, ``a_t -> Y_c`` infinite for every reader.
* What anything behind the link costs hangs on the ``Y``, what anything before it on the ``X``.

Of equally good cuts that is taken which runs the fewest operators twice.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from onnxsplit.errors import InternalError
from onnxsplit.mincut import SINK, SOURCE, ProblemBuilder, solve_minimum_cut
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.charges import (
    CONSTANT,
    Charges,
    Floats,
    TensorCharge,
    read_parameters,
)
from onnxsplit.planning.costs.charging import charge
from onnxsplit.planning.costs.coarsening import CoarseGraph, coarsen
from onnxsplit.planning.costs.pricing import PricedPlacement, price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.demands.rules import find_stuck, resolve_rules
from onnxsplit.prediction import Certificate

_FLOAT_NOISE = 1e-9
_SIDES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputation:
    """The best placement where some operators may run twice.

    Parameters
    ----------
    priced : PricedPlacement
        Operators that run twice are placed on the device.
    copies : frozenset of str
        Those that the server runs as well.
    certificate : Certificate
    """

    priced: PricedPlacement
    copies: frozenset[str]
    certificate: Certificate


@dataclass(slots=True, kw_only=True)
class DoubledProblem:
    """Builds and solves the problem with two vertices for each cell."""

    question: Question
    coarse: CoarseGraph
    charges: Charges
    parameters: Floats
    twice: frozenset[int]
    pinned: tuple[frozenset[int], frozenset[int]]
    _builder: ProblemBuilder = field(default_factory=lambda: ProblemBuilder(tie_break_levels=1))

    @classmethod
    def open(
        cls, question: Question, doubles: AbstractSet[str], constraints: Constraints
    ) -> "DoubledProblem":
        """Charge the question."""
        graph = question.graph
        rules = resolve_rules(question, constraints)
        coarse = coarsen(graph, question.profiles, (*question.together, *rules.together))
        sides = [
            frozenset(coarse.cell_of[name] for name, at in rules.pins.items() if at == tier)
            for tier in question.topology.tiers
        ]
        free = frozenset(
            place
            for place, cell in enumerate(coarse.cells)
            if all(name in doubles for name in cell.operators)
        )
        return cls(
            question=question,
            coarse=coarse,
            charges=charge(question, coarse, banned=rules.stuck | find_stuck(graph)),
            parameters=read_parameters(question.topology),
            twice=free - sides[0] - sides[1],
            pinned=(sides[0], sides[1]),
        )

    def list_firsts(self) -> Iterable[int]:
        """Return the cells all of whose ancestors may run twice, in topological order."""
        firsts = {
            cell: all(before in self.twice for before in self.coarse.predecessors[cell])
            for cell in range(len(self.coarse.cells))
        }
        for cell in firsts:
            firsts[cell] &= all(firsts[before] for before in self.coarse.predecessors[cell])
        return [cell for cell, is_first in firsts.items() if is_first]

    def solve(self, *, device: int | None = None, server: int | None = None) -> Recomputation:
        """Solve; one cell may have to run on the device alone, and one on the server alone.

        Raises
        ------
        InfeasiblePlacementError
            No placement is left.
        InternalError
            The cut's value is not what the placement costs.
        """
        self._builder = ProblemBuilder(tie_break_levels=1)
        cells = len(self.coarse.cells)
        self._builder.add_vertices(_SIDES * cells)
        for cell in range(cells):
            self._add_cell(cell)
        for reader, maker in self.charges.order:
            self._forbid(self._x(reader), self._x(maker))
        for tensor in self.charges.tensors:
            self._add_tensor(tensor)
        self._add_trips()
        for cell in self.pinned[0]:
            self._forbid(SOURCE, self._x(cell))
        if device is not None:
            self._forbid(SOURCE, self._y(device))
        for cell in (*self.pinned[1], *(() if server is None else (server,))):
            self._forbid(self._x(cell), SINK)
        problem = self._builder.build()
        cut = solve_minimum_cut(problem.at(np.ones(1)), tie_breaks=problem.tie_breaks)
        proof = cut.certificate
        certificate = Certificate(
            cut_ticks=proof.cut_ticks,
            flow_ticks=proof.flow_ticks,
            tick_seconds=proof.tick,
            rounding_bound_seconds=proof.rounding_bound,
            always_seconds=float(self.charges.always @ self.parameters),
            restriction="all placements, some operators run twice",
        )
        return self._read([bool(side) for side in cut.source_side], certificate)

    @staticmethod
    def _x(cell: int) -> int:
        """Return the vertex that says whether the device runs a cell."""
        return _SIDES + _SIDES * cell

    def _y(self, cell: int) -> int:
        """Return the vertex that says whether the server leaves a cell out."""
        return self._x(cell) + 1

    def _add_cell(self, cell: int) -> None:
        """Charge a cell on each side, and the way back of what it makes."""
        here, there = self.charges.vertices[cell]
        self._run(self._x(cell), SINK, float(here @ self.parameters))
        if np.isfinite(there[CONSTANT]):
            back = there.copy()
            back[CONSTANT] = 0.0
            self._run(SOURCE, self._y(cell), float(there[CONSTANT]))
            self._charge(SOURCE, self._x(cell), float(back @ self.parameters))
        else:  # It makes an output that can't travel back.
            self._forbid(SOURCE, self._x(cell))
        self._forbid(self._y(cell), self._x(cell))
        if cell not in self.twice:
            self._forbid(self._x(cell), self._y(cell))

    def _add_tensor(self, tensor: TensorCharge) -> None:
        """Charge a value once, if a side needs it that does not make it."""
        finite = bool(np.isfinite(tensor.forward[0]).all())
        cost = float(tensor.forward[0] @ self.parameters) if finite else np.inf
        carrier = self._builder.add_vertices()
        if tensor.starts_at_last:
            self._charge(carrier, SINK, cost)
            for reader in tensor.readers:
                self._forbid(self._x(reader), carrier)
            return
        self._charge(SOURCE if tensor.maker is None else self._y(tensor.maker), carrier, cost)
        for reader in tensor.readers:
            self._forbid(carrier, self._y(reader))
        if tensor.ends_at_last:
            self._forbid(carrier, SINK)

    def _add_trips(self) -> None:
        """Charge what anything on the server, and anything on the device, costs."""
        cells = range(len(self.coarse.cells))
        message = self._builder.add_vertices()
        self._charge(SOURCE, message, float(self.charges.beyond[0] @ self.parameters))
        for cell in cells:
            self._forbid(message, self._y(cell))
        start = self._builder.add_vertices()
        paid = self.charges.before[0] + self.charges.first
        self._charge(start, SINK, float(paid @ self.parameters))
        for cell in cells:
            self._forbid(self._x(cell), start)

    def _run(self, tail: int, head: int, cost: float) -> None:
        """Add an arc that stands for running a cell."""
        self._builder.add_arc(tail, head, np.array([cost]), (1,))

    def _charge(self, tail: int, head: int, cost: float) -> None:
        """Add an arc."""
        self._builder.add_arc(tail, head, np.array([cost]))

    def _forbid(self, tail: int, head: int) -> None:
        """Add an arc that may never be cut."""
        self._builder.add_arc(tail, head)

    def _read(self, sides: Sequence[bool], certificate: Certificate) -> Recomputation:
        """Read the placement, price it by definition, and hold the two against each other."""
        near, far = self.question.topology.tiers
        cells = range(len(self.coarse.cells))
        on_device = {cell for cell in cells if sides[self._x(cell)]}
        again = self._list_names(cell for cell in on_device if not sides[self._y(cell)])
        cell_of = self.coarse.cell_of
        placement = Placement(
            tiers=(near, far),
            tier_of={
                op.name: near if cell_of[op.name] in on_device else far
                for op in self.question.graph
            },
        )
        priced = price_placement(self.question, placement, again)
        claimed = certificate.cut_ticks * certificate.tick_seconds + certificate.always_seconds
        slack = certificate.rounding_bound_seconds + _FLOAT_NOISE * max(claimed, priced.value)
        if abs(claimed - priced.value) > slack:
            raise InternalError(
                f"The cut claims a cost of {claimed!r} and its placement costs {priced.value!r}."
            )
        return Recomputation(priced=priced, copies=again, certificate=certificate)

    def _list_names(self, cells: Iterable[int]) -> frozenset[str]:
        """Return the operators of some cells."""
        return frozenset(name for cell in cells for name in self.coarse.cells[cell].operators)
