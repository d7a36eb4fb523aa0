"""How long carving and saving a large model takes, and how much memory at its peak.

A process of its own loads a generated model, carves it into two stages and writes them. Its peak
(``VmHWM`` of Linux) is compared with the weights: with external data it stays far below them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxsplit.model.carving import carve_stages
from onnxsplit.model.inference import infer_specs
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.saving import write_model
from onnxsplit.placement import Placement

SIDE = 4096
LAYER_BYTES = SIDE * SIDE * 4


def main(argv: Sequence[str]) -> None:
    """Generate a model, carve and save it in a process of its own, and print what that took."""
    parser = argparse.ArgumentParser(prog="carve", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="weights of the model")
    parser.add_argument("--inline", action="store_true", help="weights within the model file")
    parser.add_argument("--folder", type=Path, help="where the files are made; a temporary folder")
    parser.add_argument("--carve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.carve is not None:
        sys.stdout.write(json.dumps(_measure(options.carve)))
        return
    layers = max(2, options.megabytes * 1_000_000 // LAYER_BYTES)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "model.onnx"
        _generate(path, layers, inline=options.inline)
        command = [sys.executable, "-m", "tests.bench.carving", "--carve", str(path)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own module
    measured = json.loads(result.stdout)
    weights = layers * LAYER_BYTES
    report = {
        "weights_bytes": weights,
        "weights": "inline" if options.inline else "external",
        **measured,
        "peak_to_weights": measured["peak_bytes"] / weights,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _measure(path: Path) -> Mapping[str, object]:
    """Load, carve and save, with the time of each and the peak so far."""
    marks = [time.perf_counter()]
    started_bytes = _read_peak()
    model = load_model(path)
    specs = infer_specs(model)
    graph = read_graph(model, specs)
    marks.append(time.perf_counter())
    names = [operator.name for operator in graph]
    half = len(names) // 2
    placement = Placement.of_groups({"device": names[:half], "server": names[half:]})
    carving = carve_stages(model, graph, placement, specs)
    marks.append(time.perf_counter())
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for stage in carving.stages:
            write_model(stage.proto, Path(folder), stage.tier, base_folder=stage.base_folder)
        marks.append(time.perf_counter())
        written = sum(file.stat().st_size for file in Path(folder).iterdir())
    steps = ("load", "carve", "save")
    seconds = {name: marks[place + 1] - marks[place] for place, name in enumerate(steps)}
    return {
        "seconds": seconds,
        "written_bytes": written,
        "started_bytes": started_bytes,
        "peak_bytes": _read_peak(),
    }


def _generate(path: Path, layers: int, *, inline: bool) -> None:
    """Write a chain of matrix products, one layer's weights at a time."""
    rng = np.random.default_rng(0)
    block = rng.standard_normal((SIDE, SIDE), dtype=np.float32).tobytes()
    nodes, tensors = [], []
    with path.with_name("model.data").open("wb") as data:
        for layer in range(layers):
            nodes.append(helper.make_node("MatMul", [f"v{layer}", f"w{layer}"], [f"v{layer + 1}"]))
            tensor = TensorProto(name=f"w{layer}", dims=(SIDE, SIDE), data_type=TensorProto.FLOAT)
            if inline:
                tensor.raw_data = block
            else:
                tensor.data_location = TensorProto.EXTERNAL
                place = {"location": "model.data", "offset": data.tell(), "length": len(block)}
                for key, value in place.items():
                    tensor.external_data.add(key=key, value=str(value))
                data.write(block)
            tensors.append(tensor)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", SIDE])
        for name in ("v0", f"v{layers}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)


def _read_peak() -> int:
    """Return this process's peak of resident memory in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    main(sys.argv[1:])
