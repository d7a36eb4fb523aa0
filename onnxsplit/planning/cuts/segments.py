"""Parts of a model, one after the other, each of which fits a memory, to be profiled there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from onnxsplit.errors import UsageError
from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.memory import TierMemory, measure_memory
from onnxsplit.planning.cuts.separators import find_single_tensor_cuts
from onnxsplit.planning.outlook.shares import sum_crossings
from onnxsplit.units import format_size

_HERE, _ELSEWHERE = "here", "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Consecutive operators of the graph's order.

    Parameters
    ----------
    operators : tuple of str
    memory : TierMemory
        What they need when they are loaded alone.
    """

    operators: tuple[str, ...]
    memory: TierMemory


def choose_segments(
    graph: OperatorGraph, budget_bytes: int, *, copies: int = 1
) -> tuple[Segment, ...]:
    """Divide a model into as few segments as greedily fit a memory.

    Parameters
    ----------
    graph : OperatorGraph
    budget_bytes : int
        Memory for weights and values.
    copies : int
        How many sessions are loaded at a time, each with weights and values of its own.

    Returns
    -------
    tuple of Segment
        Each as long as fits. They end at cut vertices, where one tensor crosses; only a block that
        does not fit in one piece is divided further, where the fewest bytes cross. Values of
        unknown size count as nothing, and nothing is divided where one would cross.

    Raises
    ------
    UsageError
        An operator, or what can't be divided, does not fit alone; the message says what would.

    Notes
    -----
    O((c + log n) n) for c cut vertices.
    """
    stuck = frozenset(n for n, spec in graph.tensors.items() if spec.travel_obstacle is not None)
    division = _Division(
        graph=_count_unknown_as_nothing(graph),
        limit_bytes=budget_bytes // copies,
        stops=(*(cut.device_operators for cut in find_single_tensor_cuts(graph)), len(graph)),
        stuck=stuck,
    )
    segments: list[Segment] = []
    start = 0
    while start < len(graph):
        end = division.extend(start)
        if end is None:
            raise UsageError(division.explain(start, copies))
        segments.append(division.make(start, end))
        start = end
    return tuple(segments)


def need_memory(graph: OperatorGraph) -> TierMemory:
    """Tell what the whole model needs in one piece; values of unknown size count as nothing.

    Parameters
    ----------
    graph : OperatorGraph
    """
    return _measure(_count_unknown_as_nothing(graph), 0, len(graph))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Division:
    """Where segments may end, and what they need."""

    graph: OperatorGraph
    limit_bytes: int
    stops: Sequence[int]
    stuck: frozenset[str]

    def extend(self, start: int) -> int | None:
        """Return where the segment that begins here ends at best; None if none fits."""
        furthest = None
        for stop in self.stops:
            if stop > start:
                if not self._fits(start, stop):
                    break
                furthest = stop
        return self._divide_block(start) if furthest is None else furthest

    def make(self, start: int, end: int) -> Segment:
        """Return a segment."""
        return Segment(
            operators=tuple(operator.name for operator in self.graph.operators[start:end]),
            memory=_measure(self.graph, start, end),
        )

    def explain(self, start: int, copies: int) -> str:
        """Say what does not fit, and what would."""
        end = next(self._list_ends(start))
        first, last = (self.graph.operators[place].name for place in (start, end - 1))
        what = (
            f"The operator {first!r}" if first == last else f"What lies from {first!r} to {last!r}"
        )
        need = copies * _measure(self.graph, start, end).peak_bytes
        return (
            f"{what} does not fit the memory alone: measuring it takes {format_size(need)};"
            f" give --memory at least that, or profile on a larger machine of the same kind."
        )

    def _divide_block(self, start: int) -> int | None:
        """Return the place within a block, as far as fits, where the fewest bytes cross."""
        ends = list(self._list_ends(start))
        low, high = 0, len(ends)
        while low < high:  # Longer segments need more, but for values whose last reader they add.
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._fits(start, ends[middle]) else (low, middle)
        fitting = [end for end in ends[:low] if self._fits(start, end)]
        if not fitting:
            return None
        sizes, _ = sum_crossings(self.graph, self.stuck)
        later = fitting[len(fitting) // 2 :]  # Short segments lose fusions, and there are more.
        return min(later, key=lambda end: (sizes[end], -end))

    def _list_ends(self, start: int) -> Iterator[int]:
        """Yield the places within a block where all that crosses can travel."""
        stop = next(stop for stop in self.stops if stop > start)
        _, stuck = sum_crossings(self.graph, self.stuck)
        yield from (end for end in range(start + 1, stop + 1) if not stuck[end] or end == stop)

    def _fits(self, start: int, end: int) -> bool:
        """Tell whether a segment fits."""
        return _measure(self.graph, start, end).peak_bytes <= self.limit_bytes


def _measure(graph: OperatorGraph, start: int, end: int) -> TierMemory:
    """Tell what some consecutive operators need when they are alone."""
    tier_of = {
        operator.name: _HERE if start <= place < end else _ELSEWHERE
        for place, operator in enumerate(graph)
    }
    memory = measure_memory(graph, Placement(tiers=(_HERE, _ELSEWHERE), tier_of=tier_of))[_HERE]
    return memory or TierMemory(weight_bytes=0, activation_bytes=0, peak_operator=None)


def _count_unknown_as_nothing(graph: OperatorGraph) -> OperatorGraph:
    """Return the graph with empty values where the size is not known."""
    return replace(
        graph,
        tensors={
            name: TensorSpec(name=name, dtype="uint8", shape=(0,))
            if spec.size_bytes is None
            else spec
            for name, spec in graph.tensors.items()
        },
    )
