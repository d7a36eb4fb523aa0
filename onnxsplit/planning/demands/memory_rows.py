"""Memory budgets as linear rows: weights, and the values that a tier holds at each step.

Note on steps. Steps are the places of the graph's order. A value is held on a tier for phases
between its readers, so that it needs one variable for each reader and not one for each step: as
an input of the stage from the first step on; where it is made; up to each of its readers there;
and to the end if it leaves. At a step whose operator runs elsewhere a tier never holds more than
at its own next one (or at its last, where nothing follows), so that every step may have its row,
and the rows together are exact.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxsplit.graph import OperatorGraph
from onnxsplit.mincut import SideRows, Term
from onnxsplit.planning.costs.gradients import GradientFlow
from onnxsplit.planning.cuts.formulation import Formulation

Phase = tuple[int, int, Sequence[Term]]
"""First step, last step, and how much of a value is held meanwhile: terms that add up to 0 or 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRows:
    """Adds rows about what one tier runs.

    Parameters
    ----------
    rows : SideRows
    formulation : Formulation
    place : int
        Of the tier.
    """

    rows: SideRows
    formulation: Formulation
    place: int

    def run(self, cell: int) -> list[Term]:
        """Return terms that add up to 1 if the tier runs a cell, else to 0."""
        return [
            (self.formulation.locate(cell, self.place), 1.0),
            (self.formulation.locate(cell, self.place - 1), -1.0),
        ]

    def at_least(self, variable: int, *terms: Term) -> None:
        """Let a variable be no less than what terms add up to."""
        self.rows.add((*terms, (variable, -1.0)), 0.0)

    def cover(self, cells: Sequence[int]) -> list[Term]:
        """Return terms that add up to at least 1 if the tier runs any of some cells."""
        if len(cells) == 1:
            return self.run(cells[0])
        variable = self.rows.add_variable()
        for cell in cells:
            self.at_least(variable, *self.run(cell))
        return [(variable, 1.0)]


def limit_inference(tier: TierRows, graph: OperatorGraph, limit_bytes: int) -> None:
    """Let weights and the values held at any step fit a limit.

    Parameters
    ----------
    tier : TierRows
    graph : OperatorGraph
        With the sizes of all values.
    limit_bytes : int

    Notes
    -----
    O(n + m) variables, rows and coefficients: what is held at a step is what was held at the step
    before, plus the phases that begin, less those that ended.
    """
    unit = 1.0 / max(limit_bytes, 1)
    limit = limit_bytes * unit
    weights = _weigh(tier, graph, unit)
    changes: list[list[Term]] = [[] for _ in range(len(graph) + 1)]
    for tensor, spec in graph.tensors.items():
        size = (spec.size_bytes or 0) * unit
        for first, last, held in _list_phases(tier, graph, tensor) if size else ():
            changes[first] += [(variable, size * share) for variable, share in held]
            changes[last + 1] += [(variable, -size * share) for variable, share in held]
    before: list[Term] = []
    for step in range(len(graph)):
        total = tier.rows.add_variable()
        tier.rows.add((*before, *changes[step], (total, -1.0)), 0.0, is_equal=True)
        tier.rows.add((*weights, (total, 1.0)), limit)
        before = [(total, 1.0)]


def limit_training(
    tier: TierRows, graph: OperatorGraph, flow: GradientFlow, slots: int, limit_bytes: int
) -> None:
    """Let training fit a limit, by the model of `demands.limits.measure_training`.

    Parameters
    ----------
    tier : TierRows
    graph : OperatorGraph
    flow : GradientFlow
    slots : int
    limit_bytes : int
    """
    unit = 1.0 / max(limit_bytes, 1)
    cell_of = tier.formulation.coarse.cell_of
    terms = _weigh(tier, graph, unit)
    for weight, names in _list_trained(flow).items():
        size = (1 + slots) * graph.weight_bytes[weight] * unit
        cells = sorted({cell_of[name] for name in names})
        terms += [(variable, size * share) for variable, share in tier.cover(cells)]
    for tensor, spec in graph.tensors.items():
        maker = graph.producer(tensor)
        names = [*graph.consumers(tensor), *((maker,) if maker else ())]
        cells = sorted({cell_of[name] for name in names})
        if cells and spec.size_bytes:
            size = spec.size_bytes * unit
            terms += [(variable, size * share) for variable, share in tier.cover(cells)]
    tier.rows.add(terms, limit_bytes * unit)


def _list_trained(flow: GradientFlow) -> dict[str, list[str]]:
    """Return the operators that train each initializer."""
    users: dict[str, list[str]] = {}
    for name, weights in flow.trained.items():
        for weight in weights:
            users.setdefault(weight, []).append(name)
    return users


def _weigh(tier: TierRows, graph: OperatorGraph, unit: float) -> list[Term]:
    """Return terms for the weights of a tier; one that several cells use counts once."""
    users: dict[str, set[int]] = {}
    for operator in graph:
        for weight in operator.weights:
            users.setdefault(weight, set()).add(tier.formulation.coarse.cell_of[operator.name])
    return [
        (variable, graph.weight_bytes[weight] * unit * share)
        for weight, cells in users.items()
        for variable, share in tier.cover(sorted(cells))
    ]


def _list_phases(tier: TierRows, graph: OperatorGraph, tensor: str) -> Iterator[Phase]:
    """Yield when a value is held on a tier; see the module's note."""
    cell_of, last = tier.formulation.coarse.cell_of, len(graph) - 1
    maker = graph.producer(tensor)
    readers = graph.consumers(tensor)
    is_output = tensor in graph.outputs
    made = [] if maker is None else tier.run(cell_of[maker])
    begin = 0 if maker is None else graph.position(maker)
    if not readers:
        if maker is not None:
            yield begin, last if is_output else begin, made
        return
    elsewhere = sorted({cell_of[name] for name in readers} - {cell_of.get(maker or "", -1)})
    if maker is not None and begin > 0 and elsewhere:
        taken_in = tier.rows.add_variable()
        for cell in elsewhere:
            tier.at_least(taken_in, *tier.run(cell), *_negate(made))
        yield 0, begin - 1, [(taken_in, 1.0)]
    held = _hold_leaving(tier, made, elsewhere, is_output=is_output)
    ends = [graph.position(name) for name in readers]
    if held and ends[-1] < last:
        yield ends[-1] + 1, last, held
    for place in reversed(range(len(readers))):
        later, variable = held, tier.rows.add_variable()
        held = [(variable, 1.0)]
        tier.at_least(variable, *tier.run(cell_of[readers[place]]))
        if later:
            tier.at_least(variable, *later)
        if place == 0 and made:
            tier.at_least(variable, *made)
        yield ends[place - 1] + 1 if place else begin, ends[place], held


def _hold_leaving(
    tier: TierRows, made: list[Term], elsewhere: Sequence[int], *, is_output: bool
) -> list[Term]:
    """Return terms that add up to 1 if the tier makes a value and it leaves."""
    if not made or is_output:
        return made
    if not elsewhere:
        return []
    variable = tier.rows.add_variable()
    for cell in elsewhere:
        tier.at_least(variable, *made, *_negate(tier.run(cell)))
    return [(variable, 1.0)]


def _negate(terms: Sequence[Term]) -> list[Term]:
    """Return terms with the other sign."""
    return [(variable, -share) for variable, share in terms]
