"""From the kernels of a run to groups of the model's operators, as far as the engine tells."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxsplit.engines.port import KernelEvent
from onnxsplit.graph import OperatorGraph
from onnxsplit.profiling.executed import ExecutedNode
from onnxsplit.profiling.fusion import FusedGraph, FusedGroup, group_operators

TRUNCATED_SECONDS = 0.5e-6
"""What a duration loses on average when it is cut to whole microseconds."""

_LEAST_SHARE = 0.1
"""Share of a traced duration that is left to a kernel, however much tracing takes."""

SMALL_OPERATORS = 8
"""Operators up to which a group of several kernels still says where time goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """The kernels of every run, and the groups of operators that they belong to.

    Parameters
    ----------
    fused : FusedGraph
        Its places are those of the kernels within each run.
    runs : tuple of sequences of KernelEvent
        All with the same kernels in the same order.
    overhead_seconds : float
        What tracing adds to the time of each kernel.
    """

    fused: FusedGraph
    runs: tuple[Sequence[KernelEvent], ...]
    overhead_seconds: float = 0.0

    def sum_seconds(self, places: Sequence[int]) -> list[float]:
        """Add up the seconds of some kernels in each run, without what tracing adds."""
        return [sum(self._correct(run[place].seconds) for place in places) for run in self.runs]

    @property
    def known_share(self) -> float:
        """Share of the time that belongs to a group, over all runs; 1 if nothing ran."""
        whole = sum(self.sum_seconds(range(len(self.runs[0])))) if self.runs else 0.0
        return 1.0 - sum(self.sum_seconds(self.fused.strays)) / whole if whole else 1.0

    def _correct(self, seconds: float) -> float:
        """Take off what tracing adds to a kernel."""
        traced = seconds + TRUNCATED_SECONDS
        return max(_LEAST_SHARE * traced, traced - self.overhead_seconds)


def split_runs(events: Sequence[KernelEvent]) -> dict[int, list[KernelEvent]]:
    """Group the kernels by run."""
    runs: dict[int, list[KernelEvent]] = defaultdict(list)
    for event in events:
        runs[event.run].append(event)
    return dict(runs)


def attribute(
    graph: OperatorGraph,
    runs: Sequence[Sequence[KernelEvent]],
    executed: Sequence[ExecutedNode] | None,
    overhead_seconds: float = 0.0,
) -> tuple[Attribution, bool]:
    """Find the operators behind the kernels of some runs.

    Parameters
    ----------
    graph : OperatorGraph
    runs : sequence of runs
    executed : sequence of ExecutedNode, optional
        The graph that the engine ran, where it shows it.
    overhead_seconds : float
        What tracing adds to the time of each kernel.

    Returns
    -------
    attribution : Attribution
        Of the runs whose kernels are those of the first.
    traced_back : bool
        Whether they were traced back through the executed graph; else kernels belong to the
        operators of the same name and type, and all others to nobody.
    """
    if not runs:
        alone = tuple(FusedGroup(operators=(operator.name,)) for operator in graph)
        return Attribution(fused=FusedGraph(groups=alone), runs=()), executed is not None
    first = runs[0]
    alike = tuple(run for run in runs if _list_kernels(run) == _list_kernels(first))
    if executed is not None and fits_graph(first, executed):
        fused, traced_back = group_operators(graph, executed), True
    else:
        fused, traced_back = group_by_name(graph, first), False
    return Attribution(fused=fused, runs=alike, overhead_seconds=overhead_seconds), traced_back


def group_by_name(graph: OperatorGraph, kernels: Sequence[KernelEvent]) -> FusedGraph:
    """Give each kernel to the operator of the same name and type, the first one only."""
    place_of: dict[str, int] = {}
    for place, kernel in enumerate(kernels):
        name = kernel.operator
        if name in graph and graph.operator(name).op_type == kernel.op_type:
            place_of.setdefault(name, place)
    owned = set(place_of.values())
    return FusedGraph(
        groups=tuple(
            FusedGroup(
                operators=(operator.name,),
                nodes=(place_of[operator.name],) if operator.name in place_of else (),
            )
            for operator in graph
        ),
        strays=tuple(place for place in range(len(kernels)) if place not in owned),
    )


def fits_graph(kernels: Sequence[KernelEvent], executed: Sequence[ExecutedNode]) -> bool:
    """Tell whether a run's kernels are these nodes, in this order."""
    return len(kernels) == len(executed) and all(
        kernel.op_type == node.op_type and node.name in {"", kernel.operator}
        for kernel, node in zip(kernels, executed, strict=True)
    )


def place_operators(attribution: Attribution) -> dict[str, str]:
    """Return the provider of each operator: that of the longest kernel of its group."""
    if not attribution.runs:
        return {}
    run = attribution.runs[-1]
    providers: dict[str, str] = {}
    for group in attribution.fused.groups:
        kernels = [run[place] for place in group.nodes or group.layout]
        if kernels:
            longest = max(kernels, key=lambda kernel: kernel.seconds)
            providers.update(dict.fromkeys(group.operators, longest.provider))
    return providers


def measure_memory(attribution: Attribution, first_run: Sequence[KernelEvent]) -> Mapping[int, int]:
    """Return what the engine holds for values while each kernel of the first run runs.

    Without the weights that it laid out anew at load, and without the model inputs, which the
    caller holds. Empty if the engine does not tell, or ran other kernels than later on.
    """
    if not attribution.runs or _list_kernels(first_run) != _list_kernels(attribution.runs[0]):
        return {}
    held = {place: k.held_bytes for place, k in enumerate(first_run) if k.held_bytes is not None}
    if 0 not in held:
        return {}
    before = held[0] - first_run[0].output_bytes
    return {place: max(0, count - before) for place, count in held.items()}


def _list_kernels(run: Sequence[KernelEvent]) -> list[tuple[str, str]]:
    """Name the kernels of a run."""
    return [(kernel.operator, kernel.op_type) for kernel in run]
