"""Training with the server's half behind a server: bit for bit what one process learns."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxsplit as osp
from onnxsplit.cli.application import run
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import PeerMismatchError, RequestError, TransportError, UsageError
from onnxsplit.model.bundle import read_bundle
from onnxsplit.runtime.messages import InferRequest
from onnxsplit.runtime.ports import ServedModel
from onnxsplit.runtime.running_server import RunningServer
from onnxsplit.training.data import Batch
from onnxsplit.training.endpoint import serve_training
from onnxsplit.training.hosting import HostedHalves
from onnxsplit.training.remote import RemoteServer
from onnxsplit.training.results import TrainingResult
from onnxsplit.training.section import TrainingSection, read_section
from tests.training_models import draw_batch, make_perceptron, save_data
from tests.training_served import LocalTransport

ROWS, BATCH, EPOCHS = 160, 16, 2
STEPS = EPOCHS * ROWS // BATCH
OPERATORS = ("fc1", "bn", "relu", "fc2", "tanh", "add", "fc3")
WAYS = {
    "sgd": ("--cut-at", "t,r", "--optimizer", "sgd"),
    "adam": ("--cut-at", "r", "--optimizer", "adam"),
    "labels": ("--cut-at", "t,r", "--labels", "device"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data and a bundle for each way of training."""
    made = tmp_path_factory.mktemp("network")
    onnx.save(make_perceptron(), made / "net.onnx")
    rows = "".join(f"{name},0.002,0.0001\n" for name in OPERATORS)
    (made / "costs.csv").write_text(f"operator,device_seconds,server_seconds\n{rows}")
    for name, seed in (("train", 1), ("other", 2), ("test", 3)):
        values, label = draw_batch((8,), 4, ROWS, seed)
        save_data(made / f"{name}.npz", {"x": values, "label": label})
    for way, words in WAYS.items():
        command = ["cut", str(made / "net.onnx"), "--dim", "N=16", "--objective", "training"]
        command += ["--costs", str(made / "costs.csv"), "--loss", "cross-entropy", *words]
        assert run([*command, "-o", str(made / f"{way}.split"), "-q"]) == 0
    return made


@pytest.fixture
def server(folder: Path) -> Iterator[RunningServer]:
    bundles = [folder / f"{way}.split" for way in WAYS]
    with osp.serve(bundles, training=True, port=0, threads=1) as running:
        yield running


def train(folder: Path, way: str, output: str, **wishes: Any) -> TrainingResult:  # noqa: ANN401 - options of several types
    return osp.train(
        folder / f"{way}.split",
        folder / "train.npz",
        output=folder / output,
        force=True,
        **{"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": 0.05, "threads": 1, **wishes},
    )


def read_weights(folder: Path, output: str) -> dict[str, bytes]:
    model = onnx.load(folder / output / "model.onnx")
    return {w.name: onnx.numpy_helper.to_array(w).tobytes() for w in model.graph.initializer}


def list_losses(result: TrainingResult) -> list[float]:
    return [epoch.score.loss for epoch in result.epochs]


@pytest.mark.parametrize("way", WAYS)
def test_a_training_across_a_server_equals_one_in_a_process_bit_for_bit(
    folder: Path, server: RunningServer, way: str
) -> None:
    near = train(folder, way, "near", evaluation=folder / "test.npz")
    far = train(folder, way, "far", evaluation=folder / "test.npz", server=server.urls[0])
    assert far.steps == near.steps == STEPS
    assert list_losses(far) == list_losses(near)
    assert [epoch.evaluation for epoch in far.epochs] == [epoch.evaluation for epoch in near.epochs]
    assert read_weights(folder, "far") == read_weights(folder, "near")
    assert "network" in far.measured
    assert "network" not in near.measured
    assert {"device_forward", "server", "device_backward", "network"} <= far.predicted.keys()
    assert not {"activation_upload", "gradient_download", "round_trip"} & far.predicted.keys()


def test_a_half_that_has_learnt_is_not_trained_anew_by_mistake(
    folder: Path, server: RunningServer
) -> None:
    first = train(folder, "sgd", "one", server=server.urls[0])
    with pytest.raises(UsageError, match=f"has learnt {STEPS} steps already"):
        train(folder, "sgd", "two", server=server.urls[0])
    again = osp.TrainingServer(url=server.urls[0], renew=True)
    second = train(folder, "sgd", "two", server=again)
    assert list_losses(second) == list_losses(first)
    assert read_weights(folder, "two") == read_weights(folder, "one")


def test_another_bundle_on_the_server_is_refused(folder: Path, server: RunningServer) -> None:
    other = osp.TrainingServer(url=server.urls[0], name="adam")
    with pytest.raises(PeerMismatchError, match="copy the same bundle"):
        train(folder, "sgd", "wrong", server=other)
    absent = osp.TrainingServer(url=server.urls[0], name="nothing")
    with pytest.raises(RequestError, match=r"nothing\.state"):
        train(folder, "sgd", "wrong", server=absent)


def open_served(folder: Path, way: str) -> tuple[TrainingSection, dict[str, ServedModel]]:
    """Open the models of a training without a server."""
    bundle = read_bundle(folder / f"{way}.split")
    section = read_section(bundle.folder, bundle.manifest)
    options = EngineOptions(threads=1)
    halves = HostedHalves(lambda: section.open_server(bundle.folder, options), most_clients=2)
    models = serve_training(section, "net", halves)
    return section, {model.metadata.name: model for model in models}


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_lost_connection_neither_loses_nor_doubles_a_step(folder: Path, lost: str) -> None:
    section, models = open_served(folder, "sgd")
    transport = LocalTransport(models, losing=itertools.cycle(["", "", lost]))
    remote = RemoteServer(transport, "net")
    alone = section.open_server(folder / "sgd.split", EngineOptions(threads=1))
    pairs = []
    for half in (remote, alone):
        device = section.open_device(folder / "sgd.split", EngineOptions(threads=1))
        losses = []
        for step in range(1, 13):
            values, label = draw_batch((8,), 4, 16, step)
            batch = Batch(id=f"1/{step}", inputs={"x": values}, label=label)
            losses.append(device.step(half, batch, 0.05, step).score.loss)
        pairs.append((losses, {**device.read_state(), **half.read_state()}))
        device.close()
    (losses, state), (expected_losses, expected) = pairs
    assert transport.losses >= 4
    assert losses == expected_losses
    assert all(np.array_equal(state[name], value) for name, value in expected.items())
    assert remote.count_steps() == alone.count_steps() == 12
    remote.write_state(expected, step=7)
    assert remote.count_steps() == 7
    for model in models.values():
        model.close()


def test_each_client_may_have_a_half_of_its_own(folder: Path) -> None:
    section, models = open_served(folder, "sgd")
    shared = RemoteServer(LocalTransport(models), "net")
    first = RemoteServer(LocalTransport(models), "net", client="first")
    state = shared.read_state()
    raised = {name: value + 1 for name, value in state.items()}
    first.write_state(raised, step=3)
    assert (first.count_steps(), shared.count_steps()) == (3, 0)
    assert all(np.array_equal(shared.read_state()[n], v) for n, v in state.items())
    RemoteServer(LocalTransport(models), "net", client="second").count_steps()
    third = RemoteServer(LocalTransport(models), "net", client="third")
    with pytest.raises(RequestError, match="2 clients at a time"):
        third.count_steps()
    first.drop()
    assert third.count_steps() == 0
    assert section.fingerprint in str(models["net.state"].metadata.parameters)
    for model in models.values():
        model.close()


@pytest.mark.parametrize(
    ("model", "change", "complaint"),
    [
        ("server_train", {"step": 2}, "next step is 1"),
        ("server_train", {"step": -1}, "can't be negative"),
        ("server_train", {"step": "1"}, "must be a int"),
        ("server_train", {"learning_rate": None}, "learning_rate"),
        ("server_train", {"batch_id": 4}, "batch_id"),
        ("server_train", {"client": 3}, "client"),
        ("state", {"write": "all"}, "'part' or 'last'"),
        ("state", {"write": "last"}, "lacks"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_learnt(
    folder: Path, model: str, change: dict[str, Any], complaint: str
) -> None:
    _, models = open_served(folder, "sgd")
    served = models[f"net.{model}"]
    specs = served.metadata.inputs if model != "state" else ()
    inputs = {
        spec.name: np.zeros([d if isinstance(d, int) else 4 for d in spec.shape or ()], spec.dtype)
        for spec in specs
    }
    parameters = {"step": 1, "batch_id": "1/0", "learning_rate": 0.1, **change}
    parameters = {name: value for name, value in parameters.items() if value is not None}
    before = RemoteServer(LocalTransport(models), "net")
    state = before.read_state()
    with pytest.raises(RequestError, match=complaint):
        served.infer(InferRequest(model=served.metadata.name, inputs=inputs, parameters=parameters))
    assert before.count_steps() == 0
    assert all(np.array_equal(before.read_state()[n], v) for n, v in state.items())
    for one in models.values():
        one.close()


def test_a_server_that_stays_away_ends_the_training_in_one_sentence(folder: Path) -> None:
    gone = osp.TrainingServer(url="http://127.0.0.1:9", patience_seconds=0.1)
    with pytest.raises(TransportError, match="can't be reached"):
        train(folder, "sgd", "gone", server=gone)
