"""Predicted against measured seconds of a split training step, and a split against an unsplit one.

Both tiers are one core of this machine, measured as `profile --training` does, so that what is
left is the prediction's error and the machine's unrest. The halves learn in one process: what
travels is not part of it. The unsplit step runs before and after.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

import onnxsplit as osp
from onnxsplit.engines.environment import describe_machine
from samples.networks import build
from tests.bench.training import OurStep, draw_batch

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "resnet18": {"image_size": 64, "width": 0.5, "classes": 10},
    "squeezenet": {"image_size": 96, "width": 0.5, "classes": 10},
    "mobilenetv2": {"image_size": 64, "width": 0.5, "classes": 10},
    "densenet121": {"image_size": 64, "width": 0.5, "classes": 10},
    "bert": {"sequence_length": 64, "depth": 1 / 6, "width": 0.5},
}
COMPUTING = ("device_forward", "server", "device_backward")


def measure(name: str, *, batch: int, steps: int, folder: Path) -> dict[str, Any]:
    """Plan, train and compare one network."""
    proto = build(name, batch=batch, seed=0, **NETWORKS[name])
    bundle = osp.cut(
        proto,
        folder / "net.split",
        device="local",
        server="local",
        threads=1,
        objective=osp.TrainingDelay(iterations=steps),
        training=osp.Recipe(loss="cross-entropy"),
        force=True,
    )
    unsplit = [time_unsplit(proto, steps)]
    result = osp.train(
        bundle.folder,
        draw_batches(proto, steps),
        epochs=2,
        threads=1,
        learning_rate=1e-4,
        output=folder / "net.trained",
        force=True,
    )
    unsplit.append(time_unsplit(proto, steps))
    predicted, measured = (
        sum(seconds.get(kind, 0.0) for kind in COMPUTING)
        for seconds in (result.predicted, result.measured)
    )
    return {
        "predicted_seconds": predicted,
        "split_seconds": measured,
        "unsplit_seconds": statistics.mean(unsplit),
        "measured_over_predicted": measured / predicted,
        "split_over_unsplit": measured / statistics.mean(unsplit),
        "parts_predicted": dict(result.predicted),
        "parts_measured": dict(result.measured),
    }


def draw_batches(proto: onnx.ModelProto, count: int) -> list[dict[str, Any]]:
    """Draw one batch, to be learnt from again and again."""
    feeds, label = draw_batch(proto)
    return [{**feeds, "label": label}] * count


def time_unsplit(proto: onnx.ModelProto, steps: int) -> float:
    """Return the mean seconds of an unsplit step, as those of the split one are told."""
    step = OurStep(proto, threads=1)
    feeds, label = draw_batch(proto)
    taken = list(_time(step, feeds, label, steps + 1))
    return statistics.mean(taken[1:])


def _time(step: OurStep, feeds: Mapping[str, Any], label: Any, count: int) -> Iterator[float]:  # noqa: ANN401 - an array
    """Time some steps."""
    for _ in range(count):
        begun = time.perf_counter()
        step.run(feeds, label)
        yield time.perf_counter() - begun


def main(arguments: Sequence[str]) -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench delay", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parsed = parser.parse_args(arguments)
    results = {}
    for name in parsed.networks:
        sys.stderr.write(f"{name}\n")
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measure(
                name, batch=parsed.batch, steps=parsed.steps, folder=Path(folder)
            )
    told = {"machine": describe_machine(), "batch": parsed.batch, "results": results}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
