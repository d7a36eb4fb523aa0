"""Constraints on small graphs, each checked by hand, without any of the planner's code."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from onnxsplit.graph import OperatorGraph
from onnxsplit.objectives import Energy, InferenceLatency, Power, TrainingDelay
from onnxsplit.planning.demands.constraints import Constraints
from tests.hand_prices import Asked, Learning, Tiers, draw_asked, price_by_hand


@dataclass(frozen=True, kw_only=True)
class Limited:
    """What is asked, and what it must respect."""

    asked: Asked
    constraints: Constraints
    powers: Mapping[str, Power]


def _exact(number: float) -> Fraction:
    return Fraction(str(number))


def draw_limited(rng: random.Random, kind: str) -> Limited:
    """Draw a case with one constraint of a kind, often tight: a figure of some placement."""
    asked = draw_asked(rng, _ASKED.get(kind, rng.choice(["runs", "tiers"])))
    if kind == "latency cap":
        asked = replace(draw_asked(rng, "energy"), places=asked.places)
    asked = _add_weights(rng, asked)
    powers = {
        name: Power(
            compute_watts=rng.choice([0.5, 2.0, 5.0]), transmit_watts=rng.choice([0.0, 1.5])
        )
        for name in asked.names
    }
    return Limited(asked=asked, constraints=_DRAW[kind](rng, asked, powers), powers=powers)


def _add_weights(rng: random.Random, asked: Asked) -> Asked:
    """Give the operators weights, some of them shared, and types."""
    if isinstance(asked.objective, TrainingDelay):
        return asked
    names = [f"w{place}" for place in range(4)]
    graph = replace(
        asked.graph,
        operators=tuple(
            replace(operator, weights=tuple(rng.sample(names, rng.randint(0, 2))))
            for operator in asked.graph
        ),
        tensors={
            name: replace(spec, dtype="int8") if rng.random() < 0.3 else spec
            for name, spec in asked.graph.tensors.items()
        },
        weight_bytes={name: rng.randint(1, 60) for name in names},
    )
    return replace(asked, case=replace(asked.case, graph=graph))


def meets(limited: Limited, tier: Tiers) -> bool:
    """Tell whether a placement meets the constraints, one after the other."""
    asked, wanted = limited.asked, limited.constraints
    last = len(asked.names) - 1
    for name, limit in wanted.memory_bytes.items():
        if _need(limited, tier, 0 if name == "device" else last) > limit:
            return False
    if wanted.max_joules is not None:
        joules = price_by_hand(_as_energy(asked, limited.powers), tier)
        if joules is None or joules > _exact(wanted.max_joules):
            return False
    if wanted.max_seconds is not None:
        seconds = price_by_hand(replace(asked, objective=InferenceLatency()), tier)
        if seconds is None or seconds > _exact(wanted.max_seconds):
            return False
    shares = [share_of(asked, tier, place) for place in range(last + 1)]
    if any(share < _exact(wanted.least_share) for share in shares):
        return False
    return _keeps_names(asked.graph, wanted, tier)


def _as_energy(asked: Asked, powers: Mapping[str, Power]) -> Asked:
    return replace(asked, objective=Energy(powers=powers))


def share_of(asked: Asked, tier: Tiers, place: int) -> Fraction:
    """Return a tier's share of the last tier's seconds, or of the operators if all are zero."""
    groups = asked.profiles[asked.names[-1]].groups
    total = sum(_exact(group.seconds) for group in groups)
    if not total:
        return Fraction(sum(at == place for at in tier.values()), len(tier))
    here = [g for g in groups if tier[g.operators[0]] == place]
    return sum((_exact(group.seconds) for group in here), Fraction(0)) / total


def _need(limited: Limited, tier: Tiers, place: int) -> int:
    graph = limited.asked.graph
    here = [operator for operator in graph if tier[operator.name] == place]
    weights = {weight for operator in here for weight in operator.weights}
    base = sum(graph.weight_bytes[weight] for weight in weights)
    if isinstance(limited.asked.objective, TrainingDelay):
        learning = Learning(graph=graph, frozen=limited.asked.objective.frozen)
        slots = limited.constraints.optimizer_slots
        base += sum((1 + slots) * graph.weight_bytes[w] for w in weights & learning.trained)
        values = {t for operator in here for t in (*operator.inputs, *operator.outputs)}
        return base + sum(graph.tensors[t].size_bytes or 0 for t in values)
    names = {operator.name for operator in here}
    peak = 0
    for step, running in enumerate(here):
        held = 0
        for tensor, spec in graph.tensors.items():
            readers = [op for op in graph if tensor in op.inputs]
            makers = [op.name for op in graph if tensor in op.outputs]
            made_at = [at for at, op in enumerate(here) if tensor in op.outputs]
            ahead = any(tensor in op.inputs for op in here[step:])
            leaves = tensor in graph.outputs or any(op.name not in names for op in readers)
            if made_at:
                is_held = made_at[0] == step or (made_at[0] < step and (ahead or leaves))
            else:
                is_held = ahead and (not makers or makers[0] not in names)
            held += (spec.size_bytes or 0) if is_held else 0
        assert running in here
        peak = max(peak, held)
    return base + peak


def _keeps_names(graph: OperatorGraph, wanted: Constraints, tier: Tiers) -> bool:
    maker = {tensor: op.name for op in graph for tensor in op.outputs}
    crossing = {
        tensor
        for op in graph
        for tensor in op.inputs
        if tier[op.name] > (tier[maker[tensor]] if tensor in maker else 0)
    }
    back = {tensor for tensor in graph.outputs if tensor in maker and tier[maker[tensor]] > 0}
    for tensor in crossing | back:
        if tensor in wanted.banned_tensors or graph.tensors[tensor].dtype in wanted.banned_dtypes:
            return False
    leaving = {t for t in crossing if t not in maker or tier[maker[t]] == 0}
    depths = [depth for t in leaving if (depth := _depth(graph, t)) is not None]
    if any(depth < wanted.private_depth for depth in depths):
        return False
    for tensor in wanted.private_tensors:
        if tensor in maker and tier[maker[tensor]] > 0:
            return False
        if leaving & {tensor, *_upstream(graph, tensor)}:
            return False
    if wanted.device_operators is not None and any(
        op.op_type not in wanted.device_operators and tier[op.name] == 0 for op in graph
    ):
        return False
    return all(
        len({tier[op.name] for op in graph if f"op:{op.op_type}" == glob}) <= 1
        for glob in wanted.keep_together
    )


def _depth(graph: OperatorGraph, tensor: str) -> int | None:
    """The longest way from a model input, by trying all ways."""
    if tensor in graph.inputs:
        return 0
    maker = graph.operator(graph.producer(tensor) or "")
    depths = [depth for name in maker.inputs if (depth := _depth(graph, name)) is not None]
    return max(depths) + 1 if depths else None


def _upstream(graph: OperatorGraph, tensor: str) -> set[str]:
    """Everything that a value is made from, and that a model input goes into."""
    maker = graph.producer(tensor)
    if maker is None:
        return set()
    reads = {name for name in graph.operator(maker).inputs if _depth(graph, name) is not None}
    return reads.union(*(_upstream(graph, name) for name in reads))


def _some_placement(rng: random.Random, asked: Asked) -> Tiers | None:
    """Draw a placement in which nothing comes back, and that is allowed."""
    for _ in range(20):
        tier: dict[str, int] = {}
        for operator in asked.graph:
            least = max((tier[name] for name in asked.graph.predecessors(operator.name)), default=0)
            tier[operator.name] = rng.randint(least, len(asked.names) - 1)
        if price_by_hand(asked, tier) is not None:
            return tier
    return None


def _draw_memory(rng: random.Random, asked: Asked, _: Mapping[str, Power]) -> Constraints:
    bare = Limited(asked=asked, constraints=Constraints(), powers={})
    names = rng.choice([["device"], ["server"], ["device", "server"]])
    limits = {}
    for name in names:
        tier = _some_placement(rng, asked) or dict.fromkeys((op.name for op in asked.graph), 0)
        need = _need(bare, tier, 0 if name == "device" else len(asked.names) - 1)
        limits[name] = max(0, need - rng.choice([0, 0, 1]))
    return Constraints(memory_bytes=limits)


def _draw_joules(rng: random.Random, asked: Asked, powers: Mapping[str, Power]) -> Constraints:
    tier = _some_placement(rng, asked)
    cost = None if tier is None else price_by_hand(_as_energy(asked, powers), tier)
    return Constraints(max_joules=float(cost or 1) * rng.choice([1.0001, 0.9]))


def _draw_seconds(rng: random.Random, asked: Asked, _: Mapping[str, Power]) -> Constraints:
    tier = _some_placement(rng, asked)
    plain = replace(asked, objective=InferenceLatency())
    cost = None if tier is None else price_by_hand(plain, tier)
    return Constraints(max_seconds=float(cost or 1) * rng.choice([1.0001, 0.9]))


def _draw_share(rng: random.Random, _asked: Asked, _: Mapping[str, Power]) -> Constraints:
    return Constraints(least_share=rng.choice([0.05, 0.1, 0.2, 0.3]))


def _draw_tensors(rng: random.Random, asked: Asked, _: Mapping[str, Power]) -> Constraints:
    values = list(asked.graph.tensors)
    return Constraints(banned_tensors=tuple(rng.sample(values, min(3, len(values)))))


def _draw_dtypes(_rng: random.Random, _asked: Asked, _: Mapping[str, Power]) -> Constraints:
    return Constraints(banned_dtypes=("int8",))


def _draw_depth(rng: random.Random, _asked: Asked, _: Mapping[str, Power]) -> Constraints:
    return Constraints(private_depth=rng.randint(1, 3))


def _draw_private(rng: random.Random, asked: Asked, _: Mapping[str, Power]) -> Constraints:
    values = [name for name in asked.graph.tensors if asked.graph.consumers(name)]
    return Constraints(private_tensors=tuple(rng.sample(values, min(1, len(values)))))


def _draw_types(rng: random.Random, _asked: Asked, _: Mapping[str, Power]) -> Constraints:
    return Constraints(device_operators=tuple(rng.sample(["Conv", "Relu", "Add"], 2)))


def _draw_together(rng: random.Random, asked: Asked, _: Mapping[str, Power]) -> Constraints:
    kinds = sorted({op.op_type for op in asked.graph})
    return Constraints(keep_together=(f"op:{rng.choice(kinds)}",))


_DRAW: Mapping[str, Callable[[random.Random, Asked, Mapping[str, Power]], Constraints]] = {
    "memory": _draw_memory,
    "training memory": _draw_memory,
    "energy cap": _draw_joules,
    "latency cap": _draw_seconds,
    "least share": _draw_share,
    "banned tensors": _draw_tensors,
    "banned dtypes": _draw_dtypes,
    "private depth": _draw_depth,
    "private tensors": _draw_private,
    "device operators": _draw_types,
    "keep together": _draw_together,
}
_ASKED = {"training memory": "training"}
KINDS = tuple(_DRAW)
