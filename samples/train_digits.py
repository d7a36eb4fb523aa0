"""Train a small CNN split over two processes on scikit-learn's handwritten digits.

``python samples/train_digits.py -o digits`` writes the model and the data, cuts the model for
training, holds the server's half in a process of its own, trains against it, and scores the
trained bundle's halves on digits that were not trained on. `train-digits.md` does the same by
hand. ``--files-only`` stops after the model and the data.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import onnxsplit as osp
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import OnnxSplitError

CUT_AT = "pool"
EPOCHS, BATCH, RATE = 12, 32, 0.05
TEST_SHARE = 5
"""Every fifth digit is kept for the test."""

Array = npt.NDArray[np.float32]


def make_model(seed: int = 0) -> onnx.ModelProto:
    """Make three convolutions and a classifier, with weights drawn as by He et al. (2015)."""
    random = np.random.default_rng(seed)
    weights: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def hold(name: str, value: npt.NDArray[np.float64]) -> str:
        weights.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def convolve(name: str, value: str, inputs: int, outputs: int) -> str:
        gain = np.sqrt(2 / (inputs * 9))
        kernel = hold(f"{name}.w", random.normal(0, gain, (outputs, inputs, 3, 3)))
        ends = [hold(f"{name}.{part}", np.full(outputs, at)) for part, at in _NORM.items()]
        nodes.append(
            helper.make_node("Conv", [value, kernel], [f"{name}:c"], name, pads=[1, 1, 1, 1])
        )
        nodes.append(
            helper.make_node("BatchNormalization", [f"{name}:c", *ends], [f"{name}:n"], f"{name}n")
        )
        nodes.append(helper.make_node("Relu", [f"{name}:n"], [f"{name}:r"], f"{name}r"))
        return f"{name}:r"

    value = convolve("conv2", convolve("conv1", "image", 1, 16), 16, 16)
    nodes.append(
        helper.make_node("MaxPool", [value], ["pool"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    )
    value = convolve("conv3", "pool", 16, 32)
    nodes.append(helper.make_node("Flatten", [value], ["flat"], "flatten"))
    dense = hold("fc.w", random.normal(0, np.sqrt(1 / 512), (512, 10)))
    nodes.append(
        helper.make_node("Gemm", ["flat", dense, hold("fc.b", np.zeros(10))], ["digit"], "fc")
    )
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("digit", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9, producer_name="samples")
    onnx.checker.check_model(model)
    return model


_NORM = {"scale": 1.0, "bias": 0.0, "mean": 0.0, "variance": 1.0}


def load_digits() -> tuple[Array, npt.NDArray[np.int64]]:
    """Load the digits that ship with scikit-learn: 1797 images of 8 x 8 (Alpaydin, Kaynak 1998)."""
    from sklearn.datasets import load_digits as load  # noqa: PLC0415 - seldom needed, slow

    digits = load()
    images = (digits.images[:, None] / 16).astype(np.float32)
    return images, digits.target.astype(np.int64)


def write_files(folder: Path) -> None:
    """Write the model, data to train and to test with, and images alone."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(make_model(), folder / "digits.onnx")
    images, labels = load_digits()
    is_test = np.arange(len(labels)) % TEST_SHARE == 0
    for name, chosen in (("train", ~is_test), ("test", is_test)):
        np.savez(folder / f"{name}.npz", image=images[chosen], label=labels[chosen])
    np.savez(folder / "images.npz", image=images[is_test])


@contextmanager
def serve(bundle: Path) -> Iterator[str]:
    """Hold the server's half of the training in a process of its own, and give its URL."""
    command = [sys.executable, "-m", "onnxsplit", "serve", str(bundle), "--training"]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*command, "--port", "0", "--format", "json"], stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            raise SystemExit("The server did not start; what it says is above.")
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        process.communicate()


def score_halves(bundle: Path, data: Path) -> float:
    """Run the trained halves one after the other, and return the share of digits they know."""
    with np.load(data) as arrays:
        images, labels = arrays["image"], arrays["label"]
    options = EngineOptions()
    with (
        open_session(bundle / "device.onnx", options) as device,
        open_session(bundle / "server.onnx", options) as server,
    ):
        made = server.run(device.run({"image": images}))["digit"]
    return float((np.asarray(made).argmax(axis=1) == labels).mean())


def main(arguments: list[str]) -> int:
    """Walk from the files to the trained bundle."""
    parser = argparse.ArgumentParser(description="Train a small CNN split over two processes.")
    parser.add_argument("-o", "--output", type=Path, default=Path("digits"), help="a folder")
    parser.add_argument("--files-only", action="store_true", help="write the model and the data")
    parsed = parser.parse_args(arguments)
    folder: Path = parsed.output
    write_files(folder)
    if parsed.files_only:
        print(f"Wrote {folder}/digits.onnx, train.npz, test.npz and images.npz.")
        return 0
    try:
        accuracy = train(folder)
    except OnnxSplitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"The trained halves know {accuracy:.2%} of the digits that were kept for the test.")
    return 0


def train(folder: Path) -> float:
    """Cut, train over two processes, and score the trained halves."""
    bundle = osp.cut(
        folder / "digits.onnx",
        folder / "digits.split",
        dims={"batch": BATCH},
        objective=osp.TrainingDelay(),
        training=osp.Recipe(loss="cross-entropy"),
        cut_at=[CUT_AT],
        force=True,
    )
    with serve(bundle.folder) as url:
        result = osp.train(
            bundle.folder,
            folder / "train.npz",
            evaluation=folder / "test.npz",
            server=url,
            epochs=EPOCHS,
            batch_size=BATCH,
            learning_rate=RATE,
            schedule="cosine",
            output=folder / "digits.trained",
            force=True,
        )
    for epoch in result.epochs:
        score = epoch.evaluation
        if score is not None and score.accuracy is not None:
            print(f"epoch {epoch.epoch:2}: loss {epoch.score.loss:.4f}, test {score.accuracy:.2%}")
    osp.verify(folder / "digits.trained", model=folder / "digits.trained" / "model.onnx")
    return score_halves(folder / "digits.trained", folder / "test.npz")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
