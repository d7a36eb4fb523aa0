"""Training in two processes: the commands, a server that is killed and comes back."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxsplit as osp
from onnxsplit.cli.application import run
from onnxsplit.engines.port import Array
from onnxsplit.runtime.http_transport import HttpTransport
from onnxsplit.training.remote import RemoteServer
from tests.contract.workshop import fit
from tests.training_models import draw_batch, make_perceptron, save_data

OPERATORS = ("fc1", "bn", "relu", "fc2", "tanh", "add", "fc3")
ROWS, BATCH, EPOCHS = 480, 16, 4
STEPS = EPOCHS * ROWS // BATCH


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a bundle and data."""
    made = tmp_path_factory.mktemp("processes")
    onnx.save(make_perceptron(), made / "net.onnx")
    rows = "".join(f"{name},0.002,0.0001\n" for name in OPERATORS)
    (made / "costs.csv").write_text(f"operator,device_seconds,server_seconds\n{rows}")
    values, label = draw_batch((8,), 4, ROWS, 1)
    save_data(made / "train.npz", {"x": values, "label": label})
    command = ["cut", str(made / "net.onnx"), "--dim", "N=16", "--objective", "training"]
    command += ["--costs", str(made / "costs.csv"), "--loss", "cross-entropy", "--cut-at", "t,r"]
    assert run([*command, "--optimizer", "adam", "-o", str(made / "net.split"), "-q"]) == 0
    return made


@contextmanager
def serve(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Hold the server's half in a process of its own."""
    words = ["serve", folder / "net.split", "--training", "--port", port, "--threads", 1]
    popen = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "onnxsplit", *map(str, words), "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert popen.stdout is not None
        document = json.loads(popen.stdout.readline())
        assert "net.state" in {model["name"] for model in document["models"]}
        yield popen
    finally:
        popen.kill()
        popen.communicate()


def train(folder: Path, output: str, *words: object) -> subprocess.Popen[str]:
    """Train in a process of its own."""
    command = ["train", folder / "net.split", "--data", folder / "train.npz", "-o", folder / output]
    command += ["--epochs", EPOCHS, "--batch-size", BATCH, "--threads", 1, "--force", *words]
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "onnxsplit", *map(str, command), "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def find_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def read_weights(folder: Path, output: str) -> dict[str, Array]:
    model = onnx.load(folder / output / "model.onnx")
    return {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    fit(document)
    return document


def test_a_server_that_is_killed_within_an_epoch_loses_and_doubles_nothing(folder: Path) -> None:
    near = osp.train(
        folder / "net.split",
        folder / "train.npz",
        output=folder / "near",
        epochs=EPOCHS,
        batch_size=BATCH,
        threads=1,
    )
    port = find_port()
    kept = folder / "checkpoint"
    url = f"http://127.0.0.1:{port}"
    with serve(folder, port) as first:
        device = train(
            folder, "far", "--server", url, "--checkpoint", kept, "--checkpoint-every", 7
        )
        wait_for_step(kept, 40, device)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with serve(folder, port):
        document = finish(device)
    assert document["steps"] == STEPS
    assert any("went away after step" in note for note in document["notes"])
    expected, found = read_weights(folder, "near"), read_weights(folder, "far")
    assert all(np.array_equal(found[name], value) for name, value in expected.items())
    assert document["epochs"][-1]["loss"] == near.epochs[-1].score.loss


def wait_for_step(checkpoint: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Wait until a checkpoint has come so far."""
    end = time.monotonic() + 100
    while time.monotonic() < end and process.poll() is None:
        try:
            document = json.loads((checkpoint / "checkpoint.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            document = {"step": 0}
        if document["step"] >= step:
            return
        time.sleep(0.005)
    pytest.fail(f"The training did not come to step {step}.")


def test_without_a_checkpoint_a_lost_server_ends_the_training_with_exit_three(
    folder: Path,
) -> None:
    port = find_port()
    with serve(folder, port) as first:
        words = ("--server", f"http://127.0.0.1:{port}", "--patience", "1s", "--epochs", "4000")
        device = train(folder, "lost", *words)
        server = RemoteServer(HttpTransport(f"http://127.0.0.1:{port}"), "net")
        while server.count_steps() < 3:
            assert device.poll() is None
            time.sleep(0.01)
        server.close()
        first.send_signal(signal.SIGKILL)
        _, err = device.communicate(timeout=120)
    assert device.returncode == 3, err
    assert "--checkpoint" in json.loads(err.splitlines()[-1])["error"]["message"]
    assert not (folder / "lost").exists()
