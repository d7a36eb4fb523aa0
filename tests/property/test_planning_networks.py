"""Known answers for well-known networks, and one value by every method."""

import random
from functools import cache

import networkx as nx
import numpy as np
import pytest

from onnxsplit.graph import OperatorGraph
from onnxsplit.mincut import SINK, SOURCE
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import infer_tensors
from onnxsplit.model.sizes import SizeOptions, fix_input_specs
from onnxsplit.objectives import TrainingDelay
from onnxsplit.planning.costs.question import Question, pose_question
from onnxsplit.planning.cuts.bandwidths import find_frontier
from onnxsplit.planning.inspection import inspect_graph
from onnxsplit.planning.solvers import prepare
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link, Topology
from samples.networks import NAMES, build, build_reduced

WIDTH = 1 / 8
"""Of the channels: the sizes keep their ratios, and the graphs their shape."""


@cache
def _read(name: str, *, reduced: bool = False) -> OperatorGraph:
    model = load_model(build_reduced(name) if reduced else build(name, width=WIDTH))
    return read_graph(model, infer_tensors(model, fix_input_specs(model, SizeOptions())))


def _list_contracting(name: str) -> dict[str, bool]:
    """Return the blocks of several operators, by their last one."""
    blocks = inspect_graph(_read(name)).blocks
    return {block.last: block.contracts for block in blocks if block.operators > 1}


def test_googlenet_contracts_in_3a_3b_and_4e_alone() -> None:
    found = _list_contracting("googlenet")
    contracting = {name.split("/")[0] for name, contracts in found.items() if contracts}
    assert contracting == {"inception3a", "inception3b", "inception4e"}
    assert len(found) == 9


def test_resnet50_contracts_but_for_the_transitions_that_shrink() -> None:
    found = _list_contracting("resnet50")
    staying = {name.split("/")[0] for name, contracts in found.items() if not contracts}
    assert staying == {"layer2.0", "layer3.0", "layer4.0"}
    assert len(found) == 16


def test_resnet18_contracts_everywhere() -> None:
    found = _list_contracting("resnet18")
    assert len(found) == 8
    assert all(found.values())


def _pose(graph: OperatorGraph, rng: random.Random, *, training: bool) -> Question:
    weights = [rng.randint(1, 50) for _ in graph]
    slow = rng.choice([5, 20])
    profiles = {
        tier: Profile(
            tier=tier,
            groups=tuple(
                OperatorGroup(
                    operators=(operator.name,),
                    seconds=weight * factor * 1e-5,
                    backward_seconds=2 * weight * factor * 1e-5,
                )
                for operator, weight in zip(graph, weights, strict=True)
            ),
        )
        for tier, factor in (("device", slow), ("server", 1))
    }
    link = Link(up_bytes_per_second=1e6, down_bytes_per_second=2e6, round_trip_seconds=0.005)
    objective = TrainingDelay(iterations=3) if training else None
    return pose_question(graph, profiles, Topology.pair(link), objective=objective)


@pytest.mark.parametrize("training", [False, True], ids=["latency", "training"])
@pytest.mark.parametrize("name", NAMES)
def test_general_blockwise_and_networkx_agree_on_a_network(name: str, *, training: bool) -> None:
    question = _pose(_read(name, reduced=True), random.Random(5), training=training)
    general, blockwise = (prepare(question, method=m) for m in ("general", "blockwise"))
    vertices = [p.reduction.problem.structure.vertex_count for p in (general, blockwise)]
    assert vertices[1] < vertices[0]
    for rate in (1e4, 1e6, 1e8):
        link = Link(
            up_bytes_per_second=rate, down_bytes_per_second=2 * rate, round_trip_seconds=0.005
        )
        topology = Topology.pair(link)
        whole, small = general.solve(topology), blockwise.solve(topology)
        assert small.value == pytest.approx(whole.value, rel=1e-6)
        assert small.price().value == pytest.approx(small.value, rel=1e-9)
    problem = general.reduction.problem
    network: nx.DiGraph[int] = nx.DiGraph()
    capacities = problem.costs @ np.array([1.0, 1e-8, 0.5e-8, 0.005])
    for tail, head, capacity, never in zip(
        problem.structure.tails.tolist(),
        problem.structure.heads.tolist(),
        capacities.tolist(),
        problem.never.tolist(),
        strict=True,
    ):
        if never:
            network.add_edge(tail, head)
        elif capacity:
            network.add_edge(tail, head, capacity=capacity)
    always = float(general.formulation.charges.always @ np.array([1.0, 1e-8, 0.5e-8, 0.005]))
    value = nx.minimum_cut_value(network, SOURCE, SINK) + always
    assert value == pytest.approx(small.value, rel=1e-6)
    frontier = find_frontier(question)
    assert frontier.at(link).cost(link) == pytest.approx(small.value, rel=1e-6)
