"""How long formulating, solving and certifying take, beside networkx in the same run."""

import argparse
import importlib
import itertools
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import networkx as nx

from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.mincut import SINK, SOURCE, certify, solve_prepared
from onnxsplit.mincut.maxflow import find_maximum_flow
from onnxsplit.mincut.problem import Vertices
from onnxsplit.mincut.ticks import INFINITE_TICKS, choose_scale
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import infer_tensors
from onnxsplit.model.sizes import SizeOptions, fix_input_specs
from onnxsplit.planning.costs.question import pose_question
from onnxsplit.planning.cuts.bandwidths import find_frontier
from onnxsplit.planning.cuts.formulation import Formulation
from onnxsplit.planning.cuts.reduction import Reduction
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.plans import make_plan
from onnxsplit.planning.solvers import open_solver, prepare
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link, Topology
from samples.networks import NAMES, build

TOPOLOGY = Topology.pair(Link.parse("wifi"))
DEEP = "gpt2:4"
"""A GPT-2 of 48 layers."""

_LOOK_UPS = 1000


def list_graphs(names: Sequence[str], sizes: Sequence[int]) -> Iterator[tuple[str, OperatorGraph]]:
    """Yield sample networks at full depth, or ``NAME:DEPTH`` times that, and random graphs."""
    for name in names:
        network, _, depth = name.partition(":")
        # Narrow: only the graph and its sizes count here, and weights take memory.
        model = load_model(build(network, width=1 / 4, depth=float(depth) if depth else None))
        specs = fix_input_specs(model, SizeOptions())
        yield name, read_graph(model, infer_tensors(model, specs))
    for size in sizes:
        yield f"random-{size}", draw_layers(size)


def draw_layers(size: int) -> OperatorGraph:
    """Draw a deep graph with skips and a few operators of two outputs."""
    rng = random.Random(size)
    operators: list[Operator] = []
    values = ["x"]
    for index in range(size):
        reads = {values[-1], *rng.sample(values[-12:], min(len(values), rng.choice([0, 0, 1, 2])))}
        makes = [f"t{index}", f"u{index}"] if rng.random() < 0.1 else [f"t{index}"]
        operators.append(
            Operator(
                name=f"op{index}",
                op_type="Op",
                domain="",
                index=index,
                inputs=tuple(sorted(reads)),
                outputs=tuple(makes),
            )
        )
        values += makes
    shrink = [rng.randint(10_000, 400_000) for _ in values]
    return OperatorGraph(
        identity=ModelIdentity(),
        operators=tuple(operators),
        tensors={
            name: TensorSpec(name=name, dtype="uint8", shape=(count,))
            for name, count in zip(values, shrink, strict=True)
        },
        inputs=("x",),
        outputs=(values[-1],),
    )


def draw_profiles(graph: OperatorGraph) -> dict[str, Profile]:
    """Draw seconds: a server of 10 ms, a device twenty times slower."""
    rng = random.Random(7)
    weights = [rng.random() for _ in graph]
    unit = 0.01 / sum(weights)
    server = Profile(
        tier="server",
        groups=tuple(
            OperatorGroup(operators=(operator.name,), seconds=weight * unit)
            for operator, weight in zip(graph, weights, strict=True)
        ),
    )
    return {"device": server.scale(0.05), "server": server}


def measure(call: Callable[[], object], runs: int) -> float:
    """Return the median milliseconds of a call, after one to warm up."""
    call()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return round(1000 * statistics.median(seconds), 3)


def measure_graph(name: str, graph: OperatorGraph, *, runs: int, networkx: int) -> dict[str, Any]:
    """Measure one graph."""
    profiles = draw_profiles(graph)
    formulation = _formulate(graph, profiles)
    structure, capacities = formulation.structure, formulation.capacities
    cut = solve_prepared(structure, capacities)
    merged = structure.merge(capacities)
    ticks = choose_scale(merged, float(cut.certificate.cut_ticks * cut.certificate.tick)).quantise(
        merged
    )
    flow = find_maximum_flow(structure, ticks)
    row: dict[str, Any] = {
        "graph": name,
        "operators": len(graph),
        "vertices": cut.statistics.vertices,
        "arcs": cut.statistics.arcs,
        "formulate_ms": measure(lambda: _formulate(graph, profiles), runs),
        "solve_certified_ms": measure(lambda: solve_prepared(structure, capacities), runs),
        "solve_with_ties_ms": measure(
            lambda: solve_prepared(structure, capacities, tie_breaks=formulation.tie_breaks), runs
        ),
        "flow_alone_ms": measure(lambda: find_maximum_flow(structure, ticks), runs),
        "certificate_alone_ms": measure(
            lambda: certify(structure, ticks, flow, structure.reach(SOURCE, flow < ticks)), runs
        ),
        "whole_plan_ms": measure(
            lambda: make_plan(pose_question(graph, profiles, TOPOLOGY)), max(1, runs // 3)
        ),
        **measure_blocks(graph, profiles, runs=runs),
    }
    repeated = row["blockwise_repeated_ms"]
    if len(graph) <= networkx:
        network = _to_networkx(structure.tails.tolist(), structure.heads.tolist(), ticks.tolist())
        row["networkx_preflow_push_ms"] = measure(
            lambda: nx.minimum_cut_value(
                network, SOURCE, SINK, flow_func=nx.algorithms.flow.preflow_push
            ),
            1,
        )
        row["networkx_over_repeated"] = round(row["networkx_preflow_push_ms"] / repeated, 1)
    row["ortools_ms"] = _measure_ortools(structure.tails, structure.heads, ticks, runs)
    row["general_over_blockwise"] = round(row["general_repeated_ms"] / repeated, 1)
    return row


def measure_blocks(
    graph: OperatorGraph, profiles: dict[str, Profile], *, runs: int
) -> dict[str, Any]:
    """Measure what is prepared once, repeated solves for other links, frontiers and look-ups.

    Every solve here breaks ties and is certified, on the graph that it solves.
    """
    question = pose_question(graph, profiles, TOPOLOGY)
    general, blockwise = prepare(question, method="general"), prepare(question)
    frontier = find_frontier(question, prepared=blockwise)
    links = [Link(up_bytes_per_second=r, down_bytes_per_second=r) for r in (1e5, 1e6, 1e7, 1e8)]
    topologies = itertools.cycle([Topology.pair(link) for link in links])
    (link,) = TOPOLOGY.links

    def look_up() -> None:
        for _ in range(_LOOK_UPS):
            frontier.at(link)

    return {
        "contracted_vertices": blockwise.reduction.contraction.problem.vertex_count,
        "contract_ms": measure(
            lambda: Reduction.of(question, blockwise.formulation, method="blockwise"),
            max(1, runs // 2),
        ),
        "blockwise_first_ms": measure(
            lambda: prepare(question).solve(next(topologies)), max(1, runs // 2)
        ),
        "general_repeated_ms": measure(lambda: general.solve(next(topologies)), 2 * runs),
        "blockwise_repeated_ms": measure(lambda: blockwise.solve(next(topologies)), 2 * runs),
        "frontier_segments": len(frontier.segments),
        "frontier_solves": frontier.solves,
        "frontier_first_ms": measure(lambda: find_frontier(question), max(1, runs // 2)),
        "frontier_prepared_ms": measure(
            lambda: find_frontier(question, prepared=blockwise), max(1, runs // 2)
        ),
        "look_up_us": round(1000 * measure(look_up, runs) / _LOOK_UPS, 2),
    }


def _measure_ortools(tails: Vertices, heads: Vertices, ticks: Vertices, runs: int) -> float | None:
    """Measure OR-tools on the same integers, building included; None if it is not installed."""
    try:
        max_flow = importlib.import_module("ortools.graph.python.max_flow")
    except ModuleNotFoundError:
        return None

    def solve() -> None:
        engine = max_flow.SimpleMaxFlow()
        engine.add_arcs_with_capacity(tails, heads, ticks)
        engine.solve(SOURCE, SINK)

    return measure(solve, runs)


def _formulate(graph: OperatorGraph, profiles: dict[str, Profile]) -> Formulation:
    """Build the cut problem from graph and profiles."""
    question = pose_question(graph, profiles, TOPOLOGY)
    return open_solver(question, Constraints()).formulation


def _to_networkx(tails: list[int], heads: list[int], ticks: list[int]) -> "nx.DiGraph[int]":
    """Build the same problem for networkx; an arc without capacity is infinite there."""
    network: nx.DiGraph[int] = nx.DiGraph()
    for tail, head, capacity in zip(tails, heads, ticks, strict=True):
        if capacity >= INFINITE_TICKS:
            network.add_edge(tail, head)
        elif capacity:
            network.add_edge(tail, head, capacity=capacity)
    return network


def main(arguments: list[str]) -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench solve", description=__doc__)
    parser.add_argument("--networks", nargs="*", default=[*NAMES, DEEP])
    parser.add_argument("--sizes", nargs="*", type=int, default=[3_000, 20_000])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument(
        "--networkx-up-to", type=int, default=20_000, help="operators beyond which it is left out"
    )
    options = parser.parse_args(arguments)
    rows = [
        measure_graph(name, graph, runs=options.runs, networkx=options.networkx_up_to)
        for name, graph in list_graphs(options.networks, options.sizes)
    ]
    document = {
        "bench": "solve",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "medians_of": options.runs,
        "includes": (
            "solve_certified: certification; solve_with_ties, general_repeated, blockwise_* and"
            " frontier_*: tie-breaking and certification on the graph solved; flow_alone, networkx"
            " and ortools: neither"
        ),
        "rows": rows,
    }
    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")
