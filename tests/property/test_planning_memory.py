"""Peaks against a simulation that holds and frees values one by one."""

import random
from collections.abc import Iterator
from dataclasses import replace

from onnxsplit.graph import OperatorGraph
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.memory import measure_memory
from tests.random_graphs import draw_graph, list_ideals


def _add_weights(rng: random.Random, graph: OperatorGraph) -> OperatorGraph:
    """Give the operators weights, some of them shared."""
    names = [f"w{place}" for place in range(4)]
    return replace(
        graph,
        operators=tuple(
            replace(operator, weights=tuple(rng.sample(names, rng.randint(0, 2))))
            for operator in graph
        ),
        weight_bytes={name: rng.randint(1, 50) for name in names},
    )


def _hold(graph: OperatorGraph, here: set[str]) -> Iterator[int]:
    """Yield the bytes held during each operator of a tier, asking of each value if it is."""
    order = [operator for operator in graph if operator.name in here]
    for step, running in enumerate(order):
        before = {name for operator in order[:step] for name in operator.outputs}
        ahead = {name for operator in order[step:] for name in operator.inputs}
        held = 0
        for name, spec in graph.tensors.items():
            elsewhere = [user for user in graph.consumers(name) if user not in here]
            leaves = name in graph.outputs or bool(elsewhere)
            is_made_here = graph.producer(name) in here
            is_held = (
                name in running.outputs
                or (name in before and (name in ahead or leaves))
                or (not is_made_here and name in ahead)
            )
            held += (spec.size_bytes or 0) if is_held else 0
        yield held


def test_the_peak_of_each_tier_is_that_of_a_simulation() -> None:
    inner = shared = 0
    for seed in range(300):
        rng = random.Random(seed)
        graph = _add_weights(rng, draw_graph(rng, most=9))
        ideal = rng.choice(list(list_ideals(graph)))
        tier_of = {op.name: "device" if op.name in ideal else "server" for op in graph}
        placement = Placement(tiers=("device", "server"), tier_of=tier_of)
        for tier, memory in measure_memory(graph, placement).items():
            here = {name for name, where in tier_of.items() if where == tier}
            held = list(_hold(graph, here))
            weights = {w for op in graph if op.name in here for w in op.weights}
            assert memory is not None
            assert memory.activation_bytes == max(held, default=0), f"seed {seed}, {tier}"
            assert memory.weight_bytes == sum(graph.weight_bytes[w] for w in weights)
            assert memory.peak_bytes == memory.weight_bytes + memory.activation_bytes
            if memory.peak_operator is not None:
                names = [op.name for op in graph if op.name in here]
                place = names.index(memory.peak_operator)
                assert held[place] == max(held)
                inner += 0 < place < len(names) - 1
        used = [weight for operator in graph for weight in operator.weights]
        shared += len(set(used)) < len(used)
    assert inner >= 60, "too few peaks within a tier"
    assert shared >= 100


def test_an_unknown_size_leaves_the_tier_that_holds_it_unknown() -> None:
    rng = random.Random(5)
    graph = draw_graph(rng, most=6)
    last = graph.operators[-1]
    name = last.outputs[-1]
    vague = replace(
        graph, tensors={**graph.tensors, name: replace(graph.tensors[name], dtype=None)}
    )
    tier_of = {op.name: "server" if op is last else "device" for op in graph}
    found = measure_memory(vague, Placement(tiers=("device", "server"), tier_of=tier_of))
    assert found["server"] is None
    assert found["device"] is not None


def test_a_tier_without_operators_needs_nothing() -> None:
    graph = draw_graph(random.Random(2), most=4)
    tier_of = dict.fromkeys((operator.name for operator in graph), "server")
    memory = measure_memory(graph, Placement(tiers=("device", "server"), tier_of=tier_of))
    assert memory["device"] is not None
    assert memory["device"].peak_bytes == 0
    assert memory["device"].peak_operator is None
