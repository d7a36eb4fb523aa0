"""Seconds per training step of whole networks, beside PyTorch on the same CPU if installed.

A step is forward, cross-entropy, backward and SGD with momentum; batch normalisations use their
batch. Ours is the unsplit training graph, which a split equals bit for bit. Steps of both take
turns, so that all see the same disturbances, and the first of each, which allocates, is left out.
The losses of the first steps are compared, so that both surely compute the same.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from onnxsplit.autodiff.halves.forward import prepare_forward
from onnxsplit.autodiff.halves.graphs import differentiate_step, list_states, place_step
from onnxsplit.autodiff.halves.parts import UNSPLIT
from onnxsplit.autodiff.halves.recipe import Optimizer, Recipe
from onnxsplit.autodiff.halves.stages import build_stages
from onnxsplit.engines.environment import describe_machine
from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.engines.stateful import OrtState, open_stateful
from onnxsplit.model.inference import infer_specs
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.gradients import follow_gradients
from samples.networks import build
from tests.bench.torch_networks import TorchStep, is_installed

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "resnet18": {},
    "mobilenetv2": {},
    "densenet121": {},
    "bert": {"sequence_length": 128, "depth": 1 / 6},
}
RATE, MOMENTUM = 0.01, 0.9
SEED = 0


class OurStep:
    """Training steps of a network on onnxruntime.

    Parameters
    ----------
    proto : onnx.ModelProto
    threads : int
    """

    def __init__(self, proto: onnx.ModelProto, *, threads: int) -> None:
        model = load_model(proto)
        graph = read_graph(model, infer_specs(model))
        flow = follow_gradients(graph, ())
        trained = {name: names for name, names in flow.trained.items() if name in flow.backward}
        everywhere = Placement(
            tiers=("device", "server"), tier_of={operator.name: "server" for operator in graph}
        )
        optimizer = Optimizer(momentum=MOMENTUM)
        forward = prepare_forward(model, everywhere, trained, Recipe(optimizer=optimizer))
        (stage,) = build_stages(place_step(differentiate_step(forward, optimizer), UNSPLIT))
        options = EngineOptions(threads=threads)
        states = list_states(forward, optimizer)
        state = OrtState({name: held.value for name, held in states.items()}, options)
        self.operators = len(stage.proto.graph.node)
        self._session = open_stateful(
            stage.proto.SerializeToString(), state, stage.updates, options
        )

    def run(self, feeds: Mapping[str, Array], label: Array) -> float:
        """Run one step and return its loss."""
        given = {**feeds, "label": label, "learning_rate": np.asarray(RATE), "step": np.asarray(0)}
        wanted = {spec.name: given[spec.name] for spec in self._session.inputs}
        return float(np.asarray(self._session.run(wanted)["loss"]))


def draw_batch(proto: onnx.ModelProto) -> tuple[dict[str, Array], Array]:
    """Draw inputs and labels; no token is hidden."""
    random = np.random.default_rng(SEED)
    feeds: dict[str, Array] = {}
    for value in proto.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if value.name == "attention_mask":
            feeds[value.name] = np.ones(shape, np.int64)
        elif value.name == "input_ids":
            feeds[value.name] = random.integers(0, 1000, shape)
        else:
            feeds[value.name] = random.standard_normal(shape).astype(np.float32)
    return feeds, random.integers(0, 10, len(next(iter(feeds.values()))))


def measure(
    proto: onnx.ModelProto, *, threads: int, rounds: int, with_torch: bool
) -> dict[str, Any]:
    """Time steps of one network in turns."""
    feeds, label = draw_batch(proto)
    ours = OurStep(proto, threads=threads)
    steps: dict[str, OurStep | TorchStep] = {"onnxsplit": ours}
    if with_torch:
        steps["pytorch"] = TorchStep(proto, threads=threads, rate=RATE, momentum=MOMENTUM)
    losses = {name: step.run(feeds, label) for name, step in steps.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begun = time.perf_counter()
            step.run(feeds, label)
            seconds[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    found: dict[str, Any] = {
        "operators": ours.operators,
        **{f"{name}_seconds": value for name, value in medians.items()},
        **{f"{name}_first_loss": value for name, value in losses.items()},
    }
    if with_torch:
        pairs = zip(seconds["onnxsplit"], seconds["pytorch"], strict=True)
        found["ratio"] = statistics.median(mine / other for mine, other in pairs)
    return found


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench training", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help="leave PyTorch out")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Measure and print JSON."""
    parsed = parse_arguments(arguments)
    with_torch = is_installed() and not parsed.alone
    results = {}
    for name in parsed.networks:
        sizes = dict(NETWORKS[name])
        if "sequence_length" not in sizes:
            sizes["image_size"] = parsed.image_size
        proto = build(name, batch=parsed.batch, seed=SEED, **sizes)
        for threads in parsed.threads:
            sys.stderr.write(f"{name}, {threads} threads\n")
            results[f"{name}, {threads} threads"] = measure(
                proto, threads=threads, rounds=parsed.rounds, with_torch=with_torch
            )
    told = {
        "machine": describe_machine(),
        "batch": parsed.batch,
        "image_size": parsed.image_size,
        "pytorch": with_torch,
        "results": results,
    }
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
