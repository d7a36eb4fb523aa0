"""Backward over forward seconds of a training step, by operator type, over sample networks.

Each network's unsplit step is profiled as users do it, with ``--training``. Both directions are
kernels of the same runs, so that a busy machine disturbs both alike. In a network the ratio of a
type is the way back and the update of the groups that it dominates, over their forward pass; told
is the median over the networks in which the type takes at least a hundredth of the forward time.
These are the ratios that stand in where nobody measured (`planning.costs.backward`). An inference
is measured beside: where weights are inputs, a forward pass takes longer.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.engines.environment import describe_machine
from onnxsplit.engines.port import EngineOptions
from onnxsplit.planning.costs.backward import find_dominant_type
from onnxsplit.progress import SilentProgress
from onnxsplit.workflows.benches import MeasuringOptions
from onnxsplit.workflows.costing import measure_here
from onnxsplit.workflows.preparation import InputOptions, PreparedModel, prepare_by_running
from onnxsplit.workflows.training_profiles import measure_training
from samples.networks import build

_WIDE = {"width": 0.5, "image_size": 96}
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "bert": {"sequence_length": 32, "depth": 1 / 6, "width": 0.5},
    "convnext": {**_WIDE, "depth": 0.5},
    "densenet121": {**_WIDE, "depth": 0.5},
    "gpt2": {"sequence_length": 32, "depth": 1 / 6, "width": 0.5},
    "mobilenetv2": _WIDE,
    "mobilenetv3": _WIDE,
    "resnet18": _WIDE,
    "squeezenet": _WIDE,
    "unet": {"image_size": 64, "width": 0.25},
    "vit": {**_WIDE, "depth": 0.25},
}
"""At sizes at which a step of eight takes some tenths of a second on one core."""

BATCH = 8
_LEAST_SHARE = 0.01
"""Of the forward pass, below which a type is too small to be measured."""


def main(argv: Sequence[str]) -> None:
    """Profile the networks and print the ratios."""
    parser = argparse.ArgumentParser(prog="backward", description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help="some of the networks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each profile")
    options = parser.parse_args(argv)
    measuring = MeasuringOptions(
        engine=EngineOptions(threads=options.threads), cache=False, budget_seconds=options.seconds
    )
    networks = {}
    found: dict[str, list[float]] = {}
    for name in options.networks:
        sys.stderr.write(f"{name}\n")
        networks[name] = _compare(_prepare(name), measuring)
        for kind, ratio in networks[name]["ratios"].items():
            found.setdefault(kind, []).append(ratio)
    ratios = {
        kind: {"ratio": round(statistics.median(values), 2), "networks": len(values)}
        for kind, values in sorted(found.items(), key=lambda entry: -len(entry[1]))
    }
    report = {
        "machine": describe_machine(),
        "threads": options.threads,
        "batch": BATCH,
        "networks": networks,
        "ratios": ratios,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _prepare(name: str) -> PreparedModel:
    """Build a network and run it once."""
    model = build(name, batch=BATCH, **NETWORKS[name])
    return prepare_by_running(model, InputOptions(), EngineOptions(threads=1), SilentProgress())


def _compare(prepared: PreparedModel, measuring: MeasuringOptions) -> dict[str, Any]:
    """Measure a network and compare the directions of its step by type."""
    progress = SilentProgress()
    inference = measure_here(prepared, "device", measuring, progress)
    step = measure_training(prepared, "device", Recipe(), measuring, progress)
    forward: dict[str, float] = {}
    backward: dict[str, float] = {}
    for group in step.groups:
        kind = find_dominant_type(group, prepared.graph)
        forward[kind] = forward.get(kind, 0.0) + group.seconds
        backward[kind] = backward.get(kind, 0.0) + (group.backward_seconds or 0.0)
    whole = sum(forward.values())
    return {
        "inference_seconds": round(inference.total_seconds, 6),
        "forward_seconds": round(whole, 6),
        "backward_seconds": round(sum(backward.values()), 6),
        "ratios": {
            kind: round(backward[kind] / seconds, 2)
            for kind, seconds in forward.items()
            if seconds >= _LEAST_SHARE * whole
        },
    }
