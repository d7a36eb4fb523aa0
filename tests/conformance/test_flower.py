"""Flower schedules the clients: the result is that of the same clients in one process."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxsplit as osp
from onnxsplit.cli.application import run
from onnxsplit.engines.port import Array
from onnxsplit.training.rounds import Scheme
from tests.foreign.flower import federate
from tests.training_models import draw_batch, make_perceptron, save_data

pytestmark = pytest.mark.slow

OPERATORS = ("fc1", "bn", "relu", "fc2", "tanh", "add", "fc3")
ROUNDS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a bundle and two clients' data."""
    made = tmp_path_factory.mktemp("flower")
    onnx.save(make_perceptron(), made / "net.onnx")
    rows = "".join(f"{name},0.002,0.0001\n" for name in OPERATORS)
    (made / "costs.csv").write_text(f"operator,device_seconds,server_seconds\n{rows}")
    command = ["cut", str(made / "net.onnx"), "--dim", "N=16", "--objective", "training"]
    command += ["--costs", str(made / "costs.csv"), "--loss", "cross-entropy", "--cut-at", "t,r"]
    assert run([*command, "-o", str(made / "net.split"), "-q"]) == 0
    for client in range(2):
        values, label = draw_batch((8,), 4, 48 + 32 * client, client)
        save_data(made / f"{client}.npz", {"x": values, "label": label})
    return made


def read_weights(folder: Path) -> dict[str, Array]:
    model = onnx.load(folder / "model.onnx")
    return {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}


@pytest.mark.parametrize("scheme", ["splitfed-v1", "splitfed-v2"])
def test_flower_trains_what_one_process_trains_bit_for_bit(
    folder: Path, tmp_path: Path, scheme: Scheme
) -> None:
    osp.train(
        folder / "net.split",
        folder / "0.npz",
        other_clients=[folder / "1.npz"],
        output=tmp_path / "near",
        epochs=ROUNDS,
        batch_size=16,
        learning_rate=0.05,
        threads=1,
        scheme=scheme,
    )
    with (
        osp.serve(folder / "net.split", training=True, port=0, threads=1) as server,
        federate(tmp_path, 2) as federation,
    ):
        said = federation.run(
            {
                "bundle": folder / "net.split",
                "server": server.urls[0],
                "data": folder,
                "output": tmp_path / "far",
                "rounds": ROUNDS,
                "batch-size": 16,
                "learning-rate": 0.05,
                "scheme": scheme,
            },
            seconds=240,
        )
    assert (tmp_path / "far" / "model.onnx").is_file(), said
    near, far = read_weights(tmp_path / "near"), read_weights(tmp_path / "far")
    assert all(np.array_equal(far[name], value) for name, value in near.items()), said
