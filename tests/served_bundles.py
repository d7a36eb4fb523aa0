"""Small bundles with real stages, for whatever serves, exports or runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from onnxsplit.engines.port import Array
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, write_bundle
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.dtypes import read_type
from onnxsplit.placement import Placement
from onnxsplit.stage_entries import StageEntry, spec_to_json
from tests.conformance.harness import prepare_subject
from tests.tiny_models import parse

BATCHED = """
    g (float[batch,3] x) => (float[batch,2] y)
    <float[3,4] w = {1,2,3,4,5,6,7,8,9,10,11,12}, float[4,2] v = {1,-1,2,-2,3,-3,4,-4}> {
        a = MatMul(x, w) h = Tanh(a) b = MatMul(h, v) y = Sigmoid(b)
    }
"""
"""Two layers over a batch of any size."""
BATCHED_FEEDS = {"x": np.array([[0.5, -1.25, 0.25], [0.0, 0.125, -0.5]], dtype=np.float32)}


def make_batched() -> onnx.ModelProto:
    """Return `BATCHED` with named operators."""
    model = parse(BATCHED)
    for node in model.graph.node:
        node.name = f"make_{node.output[0]}"
    return model


def write_split(
    folder: Path,
    model: onnx.ModelProto,
    feeds: Mapping[str, Array],
    *,
    device: Sequence[str],
    sha256: str = "ab" * 32,
    states: Mapping[str, str] | None = None,
) -> StoredBundle:
    """Write a bundle with the named operators on the device and the rest on the server.

    States, inputs by the outputs that they become, live on the server.
    """
    subject = prepare_subject(folder.name, model, feeds)
    rest = [operator.name for operator in subject.graph if operator.name not in device]
    placement = Placement.of_groups({"device": list(device), "server": rest})
    carving = carve_stages(subject.model, subject.graph, placement, subject.boundary)

    inputs, outputs = (
        [spec_to_json(read_type(value.name, value.type)) for value in values]
        for values in (model.graph.input, model.graph.output)
    )

    kept = [
        {"past": past, "present": present, "tier": "server"}
        for past, present in (states or {}).items()
    ]

    def describe(_: Path, entries: tuple[StageEntry, ...]) -> Manifest:
        return Manifest(
            model={"sha256": sha256, "structure": None, "inputs": inputs, "outputs": outputs},
            stages=tuple(
                replace(entry, state_bytes=None if entry.tier == "server" and kept else 0)
                for entry in entries
            ),
            yields=carving.yields,
            crossings=(),
            plan={"tiers": ["device", "server"], **({"data": {"states": kept}} if kept else {})},
            parity=None,
            carving=carving.report.to_json(),
        )

    return write_bundle(folder, carving.stages, describe, model_sha256=sha256)


def write_batched(folder: Path, *, sha256: str = "ab" * 32) -> StoredBundle:
    """Write the batched model, cut in its middle."""
    return write_split(
        folder, make_batched(), BATCHED_FEEDS, device=("make_a", "make_h"), sha256=sha256
    )


TYPES = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float", "double", "string",
)  # fmt: skip
"""Element types, in the words of ONNX's text form, that every server we know can carry."""


def make_typed_feeds(columns: int = 2, rows: int = 3) -> dict[str, Array]:
    """Draw an array of each type, extreme values among them."""
    random = np.random.default_rng(5)
    feeds: dict[str, Array] = {}
    for name in TYPES:
        if name == "string":
            words = ["", "é", "a\0b", "x" * 300]
            feeds["x_string"] = np.array(random.choice(words, (rows, columns)), dtype=object)
            continue
        dtype = np.dtype({"float": "float32", "double": "float64"}.get(name, name))
        raw = random.bytes(rows * columns * dtype.itemsize)
        drawn = np.frombuffer(raw, dtype if dtype.kind != "b" else np.uint8).reshape(rows, columns)
        feeds[f"x_{name}"] = drawn % 2 == 0 if dtype.kind == "b" else np.array(drawn)
    feeds["x_float"][0, :2] = (np.nan, -np.inf)
    return feeds


def write_typed(folder: Path) -> StoredBundle:
    """Write a model whose halves hand on a tensor of each type unchanged."""
    inputs = ", ".join(f"{name}[rows,columns] x_{name}" for name in TYPES)
    outputs = ", ".join(f"{name}[rows,columns] y_{name}" for name in TYPES)
    nodes = " ".join(f"m_{n} = Identity(x_{n}) y_{n} = Identity(m_{n})" for n in TYPES)
    model = parse(f"g ({inputs}) => ({outputs}) {{ {nodes} }}")
    for node in model.graph.node:
        node.name = f"make_{node.output[0]}"
    device = [f"make_m_{name}" for name in TYPES]
    return write_split(folder, model, make_typed_feeds(), device=device)


def write_counting(folder: Path) -> StoredBundle:
    """Write a model whose server half adds up what it was sent, and gives the sum's negative."""
    model = parse("""
        g (float[1,3] x, float[1,3] past) => (float[1,3] y, float[1,3] present) {
            h = Abs(x) present = Add(h, past) y = Neg(present)
        }
    """)
    for node in model.graph.node:
        node.name = f"make_{node.output[0]}"
    zeros = np.zeros((1, 3), np.float32)
    feeds = {"x": zeros, "past": zeros}
    return write_split(folder, model, feeds, device=("make_h",), states={"past": "present"})
