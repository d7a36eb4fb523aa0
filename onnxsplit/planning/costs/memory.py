"""What a placement needs in memory on each tier: weights, and the peak of values in a fixed order.

Note on lifetimes. A tier runs its operators in graph order. A value takes memory from the operator
that makes it on, or from the start if the tier takes it in, up to the last operator of the tier
that reads it; what leaves the tier, as a crossing or as a model output, is held to the end. What
nothing on the tier reads takes memory while it is made, and an input that goes unread takes none.
For this order the peak is exact. An engine may need more: scratch memory of a kernel, weights laid
out anew, inputs that the caller holds on to, and the gaps between blocks of an allocator.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onnxsplit.graph import Operator, OperatorGraph
from onnxsplit.placement import Placement
from onnxsplit.profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class TierMemory:
    """What a tier holds while it runs its operators.

    Parameters
    ----------
    weight_bytes : int
        Initializers that its operators depend on, each once.
    activation_bytes : int
        Most bytes of values that are held at a time.
    peak_operator : str or None
        The operator during which that is; None for a tier without operators.
    """

    weight_bytes: int
    activation_bytes: int
    peak_operator: str | None

    @property
    def peak_bytes(self) -> int:
        """Weights and values together."""
        return self.weight_bytes + self.activation_bytes


def measure_memory(graph: OperatorGraph, placement: Placement) -> Mapping[str, TierMemory | None]:
    """Tell what a placement needs in memory on each tier; see the module's note.

    Parameters
    ----------
    graph : OperatorGraph
    placement : Placement
        Of this graph's operators, over any number of tiers.

    Returns
    -------
    mapping of str to TierMemory or None
        None where the size of a value that the tier holds is not known.

    Notes
    -----
    O(n + m).
    """
    return {tier: _measure_tier(graph, placement, tier) for tier in placement.tiers}


def measure_peaks(graphs: Sequence[OperatorGraph], placement: Placement) -> dict[str, int | None]:
    """Return the most bytes that each tier holds at any of several shapes; None if not known.

    Parameters
    ----------
    graphs : sequence of OperatorGraph
        One model at its shapes.
    placement : Placement
    """
    needs = [measure_memory(graph, placement) for graph in graphs]
    peaks: dict[str, int | None] = {}
    for tier in placement.tiers:
        found = [memory.peak_bytes for need in needs if (memory := need[tier]) is not None]
        peaks[tier] = max(found) if len(found) == len(needs) else None
    return peaks


def weigh(graph: OperatorGraph, operators: Iterable[str]) -> int:
    """Return the bytes of the initializers that some operators depend on, each once.

    Parameters
    ----------
    graph : OperatorGraph
    operators : iterable of str
    """
    names = {weight for name in operators for weight in graph.operator(name).weights}
    return sum(graph.weight_bytes[name] for name in names)


def state_memory(profile: Profile, graph: OperatorGraph, limit_bytes: int) -> Profile:
    """Return a profile that says what its operators need, and how much memory the tier has.

    Parameters
    ----------
    profile : Profile
        In this graph's names.
    graph : OperatorGraph
    limit_bytes : int
        What the tier has for weights and values.

    Returns
    -------
    Profile
        Groups hold ``weight_bytes`` (a weight that several groups read counts in each) and
        ``activation_bytes`` (what they make), the profile ``memory_limit_bytes`` and
        ``whole_peak_bytes`` (null where a size is not known).
    """
    tensors = {name: profile.tensors.get(name, spec) for name, spec in graph.tensors.items()}
    real = replace(graph, tensors=tensors)
    tier_of = dict.fromkeys((operator.name for operator in graph), profile.tier)
    whole = measure_memory(real, Placement(tiers=(profile.tier,), tier_of=tier_of))[profile.tier]
    return replace(
        profile,
        groups=tuple(
            replace(group, extra={**group.extra, **_describe(real, group.operators)})
            for group in profile.groups
        ),
        extra={
            **profile.extra,
            "memory_limit_bytes": limit_bytes,
            "whole_peak_bytes": None if whole is None else whole.peak_bytes,
        },
    )


def _describe(graph: OperatorGraph, operators: Sequence[str]) -> dict[str, int]:
    """Return the bytes of the weights that some operators read and of the values they make."""
    made = (tensor for name in operators for tensor in graph.operator(name).outputs)
    return {
        "weight_bytes": weigh(graph, operators),
        "activation_bytes": sum(graph.tensors[tensor].size_bytes or 0 for tensor in made),
    }


def _measure_tier(graph: OperatorGraph, placement: Placement, tier: str) -> TierMemory | None:
    """Sweep over one tier's operators."""
    operators = [operator for operator in graph if placement.tier_of[operator.name] == tier]
    if not operators:
        return TierMemory(weight_bytes=0, activation_bytes=0, peak_operator=None)
    changes = np.zeros(len(operators) + 1, dtype=np.int64)
    for name, first, last in _list_lifetimes(graph, operators):
        size_bytes = graph.tensors[name].size_bytes
        if size_bytes is None:
            return None
        changes[first] += size_bytes
        changes[last + 1] -= size_bytes
    held = np.cumsum(changes[:-1])
    peak = int(np.argmax(held))
    return TierMemory(
        weight_bytes=weigh(graph, tuple(operator.name for operator in operators)),
        activation_bytes=int(held[peak]),
        peak_operator=operators[peak].name,
    )


def _list_lifetimes(
    graph: OperatorGraph, operators: list[Operator]
) -> Iterator[tuple[str, int, int]]:
    """Yield each value that a tier holds, with the first and the last place that it is held at."""
    end = len(operators) - 1
    place_of = {operator.name: place for place, operator in enumerate(operators)}
    last_read = {
        name: place for place, operator in enumerate(operators) for name in operator.inputs
    }
    outputs = set(graph.outputs)
    made = {name: place for place, operator in enumerate(operators) for name in operator.outputs}
    for name, place in made.items():
        leaves = name in outputs or any(user not in place_of for user in graph.consumers(name))
        yield name, place, end if leaves else max(place, last_read.get(name, place))
    for name, place in last_read.items():
        if name not in made:
            yield name, 0, place
