"""Budgets that a placement is held against: memory, energy, time and the share of the work.

This measures a placement by itself and knows nothing of cuts, so that it can contradict the solver.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnxsplit.errors import UsageError
from onnxsplit.graph import OperatorGraph
from onnxsplit.objectives import TrainingDelay
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.planning.costs.gradients import GradientFlow, follow_gradients
from onnxsplit.planning.costs.memory import measure_peaks, weigh
from onnxsplit.planning.costs.mixes import list_graphs
from onnxsplit.planning.costs.pricing import PricedPlacement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.outlook.shares import weigh_cells
from onnxsplit.tiers import DEVICE, SERVER
from onnxsplit.units import format_duration, format_energy, format_size

_FLOAT_NOISE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Budgets in the terms of one question.

    Parameters
    ----------
    question : Question
    memory_bytes : mapping of str to int
        Tier to what weights and values may take there.
    max_joules, max_seconds : float or None
    least_share : float
    optimizer_slots : int
    """

    question: Question
    memory_bytes: Mapping[str, int]
    max_joules: float | None = None
    max_seconds: float | None = None
    least_share: float = 0.0
    optimizer_slots: int = 0

    @property
    def are_any(self) -> bool:
        """Whether there is a budget at all."""
        return bool(
            self.memory_bytes
            or self.max_joules is not None
            or self.max_seconds is not None
            or self.least_share
        )

    def find_breach(self, priced: PricedPlacement, coarse: CoarseGraph) -> str | None:
        """Say which budget a placement breaks first; None if it keeps them all.

        Parameters
        ----------
        priced : PricedPlacement
        coarse : CoarseGraph
            Its cells' seconds are what the work is counted in.
        """
        return next(self._list_breaches(priced, coarse), None)

    def _list_breaches(self, priced: PricedPlacement, coarse: CoarseGraph) -> Iterator[str]:
        """Yield every budget that a placement breaks."""
        if self.memory_bytes:
            needs = self.measure_bytes(priced.placement)
            for tier, limit in self.memory_bytes.items():
                if needs[tier] > limit:
                    yield f"the {tier} would need {format_size(needs[tier])} of memory"
        joules, seconds = priced.prediction.total_joules, priced.total_seconds
        if self.max_joules is not None and joules is not None and _exceeds(joules, self.max_joules):
            yield f"it would take {format_energy(joules)}"
        if self.max_seconds is not None and _exceeds(seconds, self.max_seconds):
            yield f"it would take {format_duration(seconds)}"
        if self.least_share:
            for tier, share in measure_shares(coarse, priced.placement).items():
                if share < self.least_share - _FLOAT_NOISE:
                    yield f"the {tier} would have {100 * share:.3g} % of the work"

    def measure_bytes(self, placement: Placement) -> Mapping[str, int]:
        """Return what a placement needs in memory on each tier; training by its model.

        Raises
        ------
        UsageError
            The size of a value is not known.
        """
        graphs, objective = list_graphs(self.question), self.question.objective
        for graph in graphs:
            refuse_unknown_sizes(graph)
        if isinstance(objective, TrainingDelay):
            flow = follow_gradients(graphs[0], objective.frozen)
            return measure_training(graphs[0], flow, placement, self.optimizer_slots)
        peaks = measure_peaks(graphs, placement)
        return {tier: peak for tier, peak in peaks.items() if peak is not None}


def set_limits(question: Question, constraints: Constraints) -> Limits:
    """Put the budgets in the terms of a question.

    Parameters
    ----------
    question : Question
    constraints : Constraints

    Raises
    ------
    UsageError
        A tier does not exist, a share can't be kept by all tiers, or energy can't be told.
    """
    tiers = question.topology.tiers
    if constraints.max_joules is not None:
        _check_energy(question)
    if not 0 <= constraints.least_share * len(tiers) <= 1:
        raise UsageError(
            f"--least-share {100 * constraints.least_share:g}%: {len(tiers)} tiers can't all have"
            f" so much of the work; give at most {100 / len(tiers):.3g}%."
        )
    return Limits(
        question=question,
        memory_bytes={
            find_tier(tiers, name): limit for name, limit in constraints.memory_bytes.items()
        },
        max_joules=constraints.max_joules,
        max_seconds=constraints.max_seconds,
        least_share=constraints.least_share,
        optimizer_slots=constraints.optimizer_slots,
    )


def find_tier(tiers: tuple[str, ...], name: str) -> str:
    """Return the tier of a name; ``device`` and ``server`` stand for the first and the last.

    Raises
    ------
    UsageError
        There is none.
    """
    if name in tiers:
        return name
    if name in {DEVICE, SERVER}:
        return tiers[0] if name == DEVICE else tiers[-1]
    raise UsageError(f"There is no tier {name!r}; the tiers are {', '.join(tiers)}.")


def measure_shares(coarse: CoarseGraph, placement: Placement) -> dict[str, float]:
    """Return each tier's share of the work, counted in the last tier's seconds.

    Parameters
    ----------
    coarse : CoarseGraph
    placement : Placement
        It may divide a cell, whose work is then shared equally among its operators.
    """
    weights: list[float] = weigh_cells(coarse, placement.tiers[-1]).tolist()
    shares = dict.fromkeys(placement.tiers, 0.0)
    for cell, weight in zip(coarse.cells, weights, strict=True):
        for name in cell.operators:
            shares[placement.tier_of[name]] += weight / len(cell.operators)
    return shares


def measure_training(
    graph: OperatorGraph, flow: GradientFlow, placement: Placement, slots: int
) -> dict[str, int]:
    """Return what training needs in memory on each tier, by a simple model.

    Parameters
    ----------
    graph : OperatorGraph
    flow : GradientFlow
    placement : Placement
    slots : int
        Values that the optimizer keeps for each trained parameter.

    Notes
    -----
    Weights; for the trained ones as much again for their gradients, and ``slots`` times as much
    for the optimizer; and all values that a tier makes or reads at once, for they are saved until
    the backward pass. Gradients of values are not counted, nor is what could be freed early.
    """
    needs = {}
    for tier in placement.tiers:
        names = placement.operators(tier)
        trained = {weight for name in names for weight in flow.trained.get(name, ())}
        values = {
            tensor
            for name in names
            for tensor in (*graph.operator(name).inputs, *graph.operator(name).outputs)
        }
        needs[tier] = (
            weigh(graph, names)
            + (1 + slots) * sum(graph.weight_bytes[weight] for weight in trained)
            + sum(graph.tensors[tensor].size_bytes or 0 for tensor in values)
        )
    return needs


def refuse_unknown_sizes(graph: OperatorGraph) -> None:
    """Refuse a graph whose memory can't be told.

    Raises
    ------
    UsageError
        The size of a value is not known.
    """
    for name, spec in graph.tensors.items():
        if spec.size_bytes is None:
            raise UsageError(
                f"The memory of a tier can't be told, because the size of {name!r} is not known;"
                " fix the sizes with --shape, --dim or --inputs, or drop the memory limits."
            )


def _check_energy(question: Question) -> None:
    """Refuse an energy cap where energy can't be told."""
    if isinstance(question.objective, TrainingDelay):
        raise UsageError("--max-energy is for inference; the energy of training is not known.")
    if not question.known_powers:
        raise UsageError(
            "--max-energy needs to know what the tiers draw; give --device-watts and what else"
            " counts."
        )


def _exceeds(found: float, limit: float) -> bool:
    """Tell whether a number is above a limit by more than floats can tell."""
    return found > limit * (1 + _FLOAT_NOISE)
