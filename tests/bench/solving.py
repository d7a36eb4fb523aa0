"""How long formulating, solving and certifying take, beside networkx in the same run."""

import argparse
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
from onnxsplit.mincut.ticks import INFINITE_TICKS, choose_scale
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import infer_tensors
from onnxsplit.model.sizes import SizeOptions, fix_input_specs
from onnxsplit.planning.constraints import Constraints
from onnxsplit.planning.formulation import Formulation
from onnxsplit.planning.plans import make_plan, open_solver
from onnxsplit.planning.question import pose_question
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link, Topology
from samples.networks import NAMES, build

TOPOLOGY = Topology.pair(Link.parse("wifi"))


def list_graphs(names: Sequence[str], sizes: Sequence[int]) -> Iterator[tuple[str, OperatorGraph]]:
    """Yield sample networks at full depth, and random layered graphs."""
    for name in names:
        # Narrow: only the graph and its sizes count here, and weights take memory.
        model = load_model(build(name, width=1 / 4))
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
        "device_operators": len(
            formulation.read_placement(cut.source_side, graph).operators("device")
        ),
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
    }
    if len(graph) <= networkx:
        network = _to_networkx(structure.tails.tolist(), structure.heads.tolist(), ticks.tolist())
        row["networkx_preflow_push_ms"] = measure(
            lambda: nx.minimum_cut_value(
                network, SOURCE, SINK, flow_func=nx.algorithms.flow.preflow_push
            ),
            1,
        )
        row["networkx_over_ours"] = round(
            row["networkx_preflow_push_ms"] / row["solve_certified_ms"], 1
        )
    return row


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
    parser.add_argument("--networks", nargs="*", default=list(NAMES))
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
        "rows": rows,
    }
    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")
