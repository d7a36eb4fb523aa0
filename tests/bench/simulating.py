"""How long a simulation of a million decisions takes, beside deciding one link at a time."""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxsplit.graph import OperatorGraph
from onnxsplit.objectives import InferenceLatency, TrainingDelay
from onnxsplit.planning.costs.question import DataPlaces, Question
from onnxsplit.planning.cuts.bandwidths import find_frontier
from onnxsplit.planning.plans import make_plan
from onnxsplit.planning.solvers import prepare
from onnxsplit.progress import SilentProgress
from onnxsplit.simulation.course import run_scenario
from onnxsplit.simulation.encounters import draw_encounters
from onnxsplit.simulation.fleets import build_kinds
from onnxsplit.simulation.mobility import RandomWaypoint
from onnxsplit.simulation.radio import Radio
from onnxsplit.simulation.results import SimulationResult
from onnxsplit.simulation.scenario_files import EDGE_POLICIES, POLICIES
from onnxsplit.simulation.scenarios import DeviceGroup, Machine, ModelSpec, Scenario, Timeline
from onnxsplit.tiers import Link, Topology
from tests.bench.solving import list_graphs
from tests.sample_graphs import draw_costs

_SPEEDS = {"slow": 0.5, "middling": 2.0, "fast": 8.0}
_SINGLE = 200
"""Links that are decided one at a time."""


def main(argv: Sequence[str]) -> None:
    """Simulate and print seconds."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--networks", nargs="*", default=["googlenet", "densenet121"])
    parser.add_argument("--objective", choices=["training", "latency"], default="training")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    report = [_measure(name, graph, options) for name, graph in list_graphs(options.networks, [])]
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _measure(name: str, graph: OperatorGraph, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one network."""
    scenario = _build_scenario(options)
    profiles = draw_costs(graph)
    machines = {
        "server": profiles["server"],
        **{kind: profiles["device"].scale(speed) for kind, speed in _SPEEDS.items()},
    }
    drawing = [_time(lambda: draw_encounters(scenario))[0] for _ in range(options.rounds)]
    runs = [
        _time(lambda: run_scenario(scenario, graph, machines, DataPlaces(), SilentProgress()))
        for _ in range(options.rounds)
    ]
    results = [result for _, result in runs]
    (kind, *_) = build_kinds(scenario, graph, machines, DataPlaces())
    return {
        "network": name,
        "objective": options.objective,
        "operators": len(graph),
        "decisions": results[0].decisions,
        "drawing_seconds": statistics.median(drawing),
        "whole_seconds": statistics.median(seconds for seconds, _ in runs),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "policies": {
            policy: _describe(policy, results)
            for policy in (outcome.name for outcome in results[0].outcomes)
        },
        "one_at_a_time_microseconds": _decide_singly(kind.question, results[0]),
    }


def _build_scenario(options: argparse.Namespace) -> Scenario:
    """Build a fleet that is served whole in every epoch."""
    share = options.devices // len(_SPEEDS)
    counts = [share, share, options.devices - 2 * share]
    training = options.objective == "training"
    return Scenario(
        name="fleet",
        model=ModelSpec(file=Path("none")),
        objective=TrainingDelay(iterations=10) if training else InferenceLatency(),
        server=Machine(name="server"),
        devices=tuple(
            DeviceGroup(machine=Machine(name=kind), count=count)
            for kind, count in zip(_SPEEDS, counts, strict=True)
        ),
        timeline=Timeline(epochs=options.epochs, per_epoch=options.devices),
        network=Radio(state="poor"),
        mobility=RandomWaypoint(
            side_metres=300.0, slowest_metres_per_second=0.5, fastest_metres_per_second=10.0
        ),
        round_trip_seconds=0.005,
        policies=tuple(name for name in POLICIES if name not in EDGE_POLICIES),
        seeds=tuple(range(options.seeds)),
    )


def _describe(policy: str, results: Sequence[SimulationResult]) -> dict[str, float]:
    """Describe one policy's work, medians over the rounds."""
    outcomes = [result.find(policy) for result in results]
    decide = statistics.median(outcome.decide_seconds for outcome in outcomes)
    return {
        "prepare_seconds": statistics.median(outcome.prepare_seconds for outcome in outcomes),
        "decide_seconds": decide,
        "nanoseconds_each": 1e9 * decide / results[0].decisions,
        "placements": len(outcomes[0].cuts),
    }


def _decide_singly(question: Question, result: SimulationResult) -> dict[str, float]:
    """Decide links one at a time: by look-up, by a prepared solve, and by a plan from scratch."""
    met = result.encounters
    links = [
        Link(
            up_bytes_per_second=float(up),
            down_bytes_per_second=float(down),
            round_trip_seconds=question.topology.links[0].round_trip_seconds,
        )
        for up, down in zip(
            met.up_bytes_per_second.ravel()[:_SINGLE],
            met.down_bytes_per_second.ravel()[:_SINGLE],
            strict=True,
        )
    ]
    frontier = find_frontier(question, two_dimensional=True)
    prepared = prepare(question)
    ways: dict[str, tuple[Callable[[Link], object], int]] = {
        "look_up": (frontier.at, _SINGLE),
        "prepared_solve": (lambda link: prepared.solve(Topology.pair(link)), _SINGLE),
        "plan": (lambda link: make_plan(replace(question, topology=Topology.pair(link))), 10),
    }
    return {
        name: 1e6 * statistics.median(_time(lambda: decide(link))[0] for link in links[:count])  # noqa: B023 - called at once
        for name, (decide, count) in ways.items()
    }


def _time(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that work took, and what it returned."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
