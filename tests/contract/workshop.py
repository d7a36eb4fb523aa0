"""What the contract tests share: a model, its bundle, and what a command left."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from jsonschema import Draft202012Validator
from onnx import TensorProto, helper, numpy_helper

from onnxsplit.reporting.schemas import load_schema

SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a command left: its exit code and both streams."""

    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        """Parse stdout as the one document that it must be, and hold it against its schema."""
        document: dict[str, Any] = json.loads(self.out)
        fit(document)
        return document

    def error(self) -> dict[str, Any]:
        """Parse the last line of stderr as an error document."""
        document = json.loads(self.err.splitlines()[-1])
        fit(document)
        error: dict[str, Any] = document["error"]
        return error


Command = Callable[..., Finished]


def fit(document: dict[str, Any]) -> None:
    """Hold a document against the schema that it names."""
    name = document["schema"].removeprefix("onnxsplit.").removesuffix("/1")
    faults = [
        error.message for error in Draft202012Validator(load_schema(name)).iter_errors(document)
    ]
    assert faults == []


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """A folder with a model, its profiles and a bundle, made by the commands themselves."""

    folder: Path
    cut: Finished

    @property
    def model(self) -> Path:
        return self.folder / "net.onnx"

    @property
    def bundle(self) -> Path:
        return self.folder / "net.split"

    @property
    def device(self) -> Path:
        return self.folder / "device.json"

    @property
    def server(self) -> Path:
        return self.folder / "server.json"

    def cut_options(self) -> list[str]:
        return ["--device", str(self.device), "--server", str(self.server), "--link", "ethernet"]

    def chain_options(self) -> list[str]:
        tiers = {"a phone": self.device, "edge/box": self.server, "cloud": self.server}
        named = [word for name, file in tiers.items() for word in ("--tier", f"{name}={file}")]
        places = ["--input-at", "image=a phone", "--output-at", "scores=cloud"]
        return [*named, "--link", "ethernet", "--link", "wifi", *places, "--pin", "cloud=classify"]


def slow_down(source: Path, target: Path, *, factor: float) -> None:
    """Write the profile of a machine that is so many times slower."""
    document = json.loads(source.read_text(encoding="utf-8"))
    for group in document["groups"]:
        group["seconds"] *= factor
    document["tier"] = "device"
    target.write_text(json.dumps(document), encoding="utf-8")


def make_net() -> onnx.ModelProto:
    """Two convolutions that shrink the image, and a classifier."""
    random = np.random.default_rng(SEED)

    def weights(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(random.normal(0, 0.1, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
        helper.make_node(
            "MaxPool", ["r1"], ["p1"], name="pool1", kernel_shape=[4, 4], strides=[4, 4]
        ),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], name="relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["g"], name="pool2"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w3"], ["scores"], name="classify"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        initializer=[
            weights("w1", 4, 3, 3, 3),
            weights("w2", 32, 4, 3, 3),
            weights("w3", 32, 10),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
