"""Several clients: what each scheme comes to, against training alone and averages by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxsplit as osp
from onnxsplit.cli.application import run
from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.errors import UsageError
from onnxsplit.graph import TensorSpec
from onnxsplit.model.bundle import read_bundle
from onnxsplit.training.data import Batch, DataPorts, IterableData
from onnxsplit.training.results import TrainingResult
from onnxsplit.training.rounds import SCHEMES, Fleet, average
from onnxsplit.training.section import read_section
from tests.training_models import draw_batch, make_perceptron, save_data

OPERATORS = ("fc1", "bn", "relu", "fc2", "tanh", "add", "fc3")
LABEL = TensorSpec(name="label", dtype="int64", shape=None)
NO_DATA = IterableData(
    batches=[],
    ports=DataPorts(inputs=(), label=TensorSpec(name="label", dtype="int64", shape=None)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a bundle and data."""
    made = tmp_path_factory.mktemp("clients")
    onnx.save(make_perceptron(), made / "net.onnx")
    rows = "".join(f"{name},0.002,0.0001\n" for name in OPERATORS)
    (made / "costs.csv").write_text(f"operator,device_seconds,server_seconds\n{rows}")
    command = ["cut", str(made / "net.onnx"), "--dim", "N=16", "--objective", "training"]
    command += ["--costs", str(made / "costs.csv"), "--loss", "cross-entropy", "--cut-at", "t,r"]
    assert run([*command, "-o", str(made / "net.split"), "-q"]) == 0
    for seed in range(3):
        save_data(made / f"{seed}.npz", make_data(48 + 16 * seed, seed))
    return made


def make_data(rows: int, seed: int) -> dict[str, Array]:
    values, label = draw_batch((8,), 4, rows, seed)
    return {"x": values, "label": label}


def train(folder: Path, data: object, *others: object, **wishes: Any) -> TrainingResult:  # noqa: ANN401 - options of several types
    return osp.train(
        folder / "net.split",
        data,  # type: ignore[arg-type]  # of the kinds that the tests try
        other_clients=others,  # type: ignore[arg-type]  # likewise
        output=folder / "trained",
        force=True,
        **{"epochs": 1, "batch_size": 16, "learning_rate": 0.05, "threads": 1, **wishes},
    )


def read_weights(folder: Path) -> dict[str, Array]:
    model = onnx.load(folder / "trained" / "model.onnx")
    return {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}


def is_same(one: dict[str, Array], other: dict[str, Array]) -> bool:
    return all(np.array_equal(one[name], value) for name, value in other.items())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_clients_with_nothing_to_say_change_nothing(folder: Path, scheme: str) -> None:
    alone = train(folder, folder / "0.npz", epochs=3)
    weights = read_weights(folder)
    shared = train(folder, folder / "0.npz", epochs=3, scheme=scheme)
    assert is_same(read_weights(folder), weights)
    assert [e.score for e in shared.epochs] == [e.score for e in alone.epochs]


def test_twins_with_a_server_half_each_come_to_what_one_learns(folder: Path) -> None:
    data = make_data(64, 4)
    train(folder, data)
    weights = read_weights(folder)
    train(folder, data, data, scheme="splitfed-v1")
    assert is_same(read_weights(folder), weights)


def test_sequential_clients_learn_as_one_that_has_their_data_in_turn(folder: Path) -> None:
    parts = [make_data(48, 5), make_data(32, 6)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    train(folder, whole, shuffle=False)
    weights = read_weights(folder)
    result = train(folder, *parts, shuffle=False, scheme="sequential")
    assert result.steps == 5
    assert is_same(read_weights(folder), weights)


def test_splitfed_v1_averages_what_each_client_learns_alone(folder: Path) -> None:
    clients = [make_data(48, 7), make_data(80, 8)]
    learnt = []
    for data in clients:
        train(folder, data)
        learnt.append(read_weights(folder))
    result = train(folder, *clients, scheme="splitfed-v1")
    found = read_weights(folder)
    assert result.steps == 5
    for name, value in found.items():
        one, other = (np.asarray(weights[name], np.float64) for weights in learnt)
        assert np.array_equal(value, ((48 * one + 80 * other) / 128).astype(value.dtype)), name


def test_splitfed_v2_keeps_one_server_half_and_averages_the_devices(folder: Path) -> None:
    clients = [make_data(16, 9), make_data(32, 10)]
    train(folder, *clients, scheme="splitfed-v2", shuffle=False)
    found = read_weights(folder)
    section = read_section(folder, read_bundle(folder / "net.split").manifest)
    device = section.open_device(folder / "net.split", EngineOptions(threads=1))
    server = section.open_server(folder / "net.split", EngineOptions(threads=1))
    start, made, step = device.read_state(), {}, 0
    for client in Fleet(clients=(NO_DATA, NO_DATA), scheme="splitfed-v2").order(1):
        device.write_state(start)
        for first in range(0, len(clients[client]["label"]), 16):
            rows = {name: value[first : first + 16] for name, value in clients[client].items()}
            step += 1
            batch = Batch(id=f"1/{first // 16}", inputs={"x": rows["x"]}, label=rows["label"])
            device.step(server, batch, 0.05, step)
        made[client] = device.read_state()
    for name in start:
        one, other = (np.asarray(made[client][name], np.float64) for client in (0, 1))
        mean = (16 * one + 32 * other) / 48
        if name in found:
            assert np.allclose(found[name], mean, rtol=1e-6, atol=0), name
    for name, value in server.read_state().items():
        if name in found:
            assert np.array_equal(found[name], value), name
    assert {"w1", "w3"} <= found.keys()
    device.close()
    server.close()


def test_an_average_is_that_of_the_numbers() -> None:
    states = [{"a": np.array(pair, np.float32)} for pair in ([1, 2], [4, 8])]
    assert average(states, [1, 2])["a"].tolist() == [3.0, 6.0]
    assert average(states[:1], [7])["a"].dtype == np.float32


def test_data_is_divided_among_clients(folder: Path) -> None:
    data = make_data(96, 3)
    shares = [{name: value[place::2] for name, value in data.items()} for place in range(2)]
    train(folder, *shares, scheme="splitfed-v1")
    weights = read_weights(folder)
    train(folder, data, clients=2, scheme="splitfed-v1")
    assert is_same(read_weights(folder), weights)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rounds_resume_bit_for_bit(folder: Path, scheme: str) -> None:
    clients = [folder / f"{seed}.npz" for seed in range(3)]
    full = train(folder, *clients, epochs=4, scheme=scheme)
    weights = read_weights(folder)
    kept = folder / f"checkpoint-{scheme}"
    train(folder, *clients, epochs=2, scheme=scheme, checkpoint=kept)
    rest = train(folder, *clients, epochs=4, scheme=scheme, checkpoint=kept, resume=True)
    assert rest.steps == full.steps
    assert is_same(read_weights(folder), weights)
    assert [e.score for e in rest.epochs] == [e.score for e in full.epochs[2:]]
    with pytest.raises(UsageError, match="the number of clients was 3, and is 1"):
        train(folder, clients[0], epochs=4, scheme=scheme, checkpoint=kept, resume=True)


@pytest.mark.parametrize(
    ("wishes", "complaint"),
    [
        ({"clients": 0}, "number of clients is 0"),
        ({"scheme": "splitfed"}, "splitfed-v1"),
        ({"clients": 2, "checkpoint_every": 1, "checkpoint": "c"}, "leave out"),
        ({"clients": 100}, "too few|no batches|examples"),
    ],
)
def test_what_makes_no_sense_is_refused(
    folder: Path, wishes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        train(folder, folder / "0.npz", **wishes)
