"""``cut --loss`` and ``train``: from a model to a trained, verified bundle."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from safetensors.numpy import load_file

import onnxsplit as osp
from onnxsplit.cli.application import run
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.errors import BundleError, ChecksumMismatchError, OutputError, UsageError
from onnxsplit.training.results import TrainingResult
from tests.contract.workshop import fit
from tests.training_models import draw_batch, make_perceptron, save_data

CUT = ("--dim", "N=16", "--objective", "training", "--costs", "costs.csv", "--loss")
OPERATORS = ("fc1", "bn", "relu", "fc2", "tanh", "add", "fc3")
EPOCHS, ROWS, BATCH = 2, 80, 16


def make_data(rows: int, seed: int) -> dict[str, Array]:
    values, label = draw_batch((8,), 4, rows, seed)
    return {"x": values, "label": label}


def write_costs(folder: Path, operators: Sequence[str]) -> Path:
    """Write a table in which each operator takes as long as the next."""
    rows = "".join(f"{name},0.002,0.0001\n" for name in operators)
    path = folder / f"costs{'' if len(operators) == len(OPERATORS) else len(operators)}.csv"
    path.write_text(f"operator,device_seconds,server_seconds\n{rows}")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, its costs, data, and a bundle that can be trained."""
    made = tmp_path_factory.mktemp("training")
    onnx.save(make_perceptron(), made / "net.onnx")
    write_costs(made, OPERATORS)
    save_data(made / "train.npz", make_data(ROWS, 1))
    save_data(made / "test.npz", make_data(40, 2))
    return made


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    if not (folder / "net.split").exists():
        assert run(["cut", "net.onnx", *CUT, "cross-entropy", "--cut-at", "t,r", "-q"]) == 0
    return folder


def train(here: Path, output: str, **wishes: Any) -> TrainingResult:  # noqa: ANN401 - options of several types
    return osp.train(
        here / "net.split",
        here / "train.npz",
        output=here / output,
        force=True,
        **{"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": 0.1, "threads": 1, **wishes},
    )


def test_cut_writes_training_stages_and_says_what_they_were_held_against(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    command = ["cut", "net.onnx", *CUT, "cross-entropy", "--cut-at", "t,r", "--format", "json"]
    assert run(command) == 0
    document = json.loads(capsys.readouterr().out)
    fit(document)
    training = document["training"]
    assert training["evidence"]["steps"] == 3
    assert training["saved_bytes"] > 0
    assert [stage["name"] for stage in training["stages"]] == [
        *("device_forward", "server_train", "device_backward")
    ]
    assert set(training["files"]) < {path.name for path in (here / "net.split").iterdir()}
    state = load_file(here / "net.split" / "device_state.safetensors")
    assert np.array_equal(state["w1"], np.asarray(state["w1"]))
    assert not state["momentum|w1"].any()
    assert run(["verify", "net.split", "-q"]) == 0
    assert run(["cut", "net.onnx", *CUT, "mse", "--cut-at", "r", "-q", "-o", "net.split"]) == 0
    assert run(command) == 0


@pytest.mark.parametrize("labels_at", ["server", "device"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_bundle_is_trained_and_comes_back_as_a_model(
    here: Path, capsys: pytest.CaptureFixture[str], labels_at: str, optimizer: str
) -> None:
    options = ["--labels", labels_at, "--optimizer", optimizer, "--cut-at", "n", "-q"]
    bundle = f"{labels_at}-{optimizer}"
    assert run(["cut", "net.onnx", *CUT, "cross-entropy", *options, "-o", bundle]) == 0
    capsys.readouterr()
    command = ["train", bundle, "--data", "train.npz", "--evaluation", "test.npz", "--epochs", "15"]
    command += ["--batch-size", "16", "--learning-rate", "0.02", "--schedule", "cosine"]
    assert run([*command, "--format", "json", "--threads", "1", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    fit(document)
    losses = [epoch["evaluation"]["loss"] for epoch in document["epochs"]]
    assert losses[-1] < 0.8 * losses[0]
    assert document["step"]["measured_seconds"].keys() >= {"device_forward", "server"}
    trained = here / f"{bundle}.trained"
    assert run(["verify", str(trained), "--model", str(trained / "model.onnx"), "-q"]) == 0
    fit(json.loads((trained / "split.json").read_text()))
    predictions = run_model(trained / "model.onnx", make_data(40, 2)["x"])
    accuracy = float((predictions.argmax(axis=1) == make_data(40, 2)["label"]).mean())
    assert document["epochs"][-1]["evaluation"]["accuracy"] == pytest.approx(accuracy)


def run_model(path: Path, x: Array) -> Array:
    with open_session(path, EngineOptions(threads=1)) as session:
        return np.asarray(session.run({"x": x})["y"])


def test_a_trained_model_predicts_what_its_halves_predicted(here: Path) -> None:
    data = make_data(40, 2)
    result = train(here, "equal", evaluation=data)
    assert result.model is not None
    logits = run_model(Path(result.model), data["x"]).astype(np.float64)
    chosen = logits[np.arange(40), data["label"]]
    loss = float((np.log(np.exp(logits).sum(axis=1)) - chosen).mean())
    evaluation = result.epochs[-1].evaluation
    assert evaluation is not None
    assert evaluation.loss == pytest.approx(loss, rel=1e-5)


def read_outcome(result: TrainingResult, checkpoint: Path) -> dict[str, bytes]:
    assert result.model is not None
    kept = {path.name: path.read_bytes() for path in sorted(checkpoint.glob("*.safetensors"))}
    return {**kept, "model": Path(result.model).read_bytes()}


@pytest.mark.parametrize("stop", [3, 5, 7])
def test_a_resumed_training_equals_one_that_was_never_interrupted(here: Path, stop: int) -> None:
    options: dict[str, Any] = {"schedule": "cosine", "warmup": 2, "seed": 5}
    whole, halves = here / f"kept-{stop}-a", here / f"kept-{stop}-b"
    full = train(here, "full", checkpoint=whole, **options)
    train(here, "part", checkpoint=halves, checkpoint_every=1, steps=stop, **options)
    resumed = train(here, "part", checkpoint=halves, resume=True, **options)
    assert resumed.steps == full.steps == EPOCHS * ROWS // BATCH
    assert read_outcome(resumed, halves) == read_outcome(full, whole)
    assert resumed.epochs[-1].score == full.epochs[-1].score


def test_a_checkpoint_of_another_training_is_refused(here: Path) -> None:
    kept = here / "kept-other"
    train(here, "other", checkpoint=kept)
    with pytest.raises(UsageError, match=r"other options: the seed was 0, and is 1"):
        train(here, "other", checkpoint=kept, resume=True, seed=1)
    options = ["--optimizer", "adam", "--cut-at", "n", "-q", "-o", "another"]
    assert run(["cut", "net.onnx", *CUT, "cross-entropy", *options]) == 0
    with pytest.raises(ChecksumMismatchError, match="another bundle"):
        osp.train(here / "another", here / "train.npz", checkpoint=kept, resume=True)
    with pytest.raises(UsageError, match="--checkpoint"):
        train(here, "other", resume=True)


def test_an_iterable_of_batches_trains_what_a_file_does(here: Path) -> None:
    data = make_data(ROWS, 1)
    pairs = [
        (data["x"][start : start + BATCH], data["label"][start : start + BATCH])
        for start in range(0, ROWS, BATCH)
    ]
    one = osp.train(here / "net.split", pairs, output=here / "pairs", force=True, threads=1)
    other = train(here, "file", shuffle=False, epochs=1, learning_rate=0.01)
    assert one.epochs[0].score == other.epochs[0].score


@pytest.mark.parametrize("recompute", [False, True])
def test_a_model_that_draws_random_numbers_trains_and_says_what_that_means(
    here: Path,
    recompute: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    model = make_perceptron()
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(0.5, np.float32), "ratio"),
            numpy_helper.from_array(np.array(True), "training"),  # noqa: FBT003 - a tensor's value
        ]
    )
    fed = next(node for node in model.graph.node if node.name == "fc2")
    fed.input[0] = "dropped"
    drop = helper.make_node("Dropout", ["r", "ratio", "training"], ["dropped"], "drop")
    model.graph.node.insert(3, drop)
    bundle = osp.cut(
        model,
        here / f"random-{recompute}",
        cut_at=["t", "r"],
        costs=write_costs(here, (*OPERATORS, "drop")),
        dims={"N": 16},
        objective=osp.TrainingDelay(),
        training=osp.Recipe(recompute=recompute, optimizer=osp.Optimizer(name="adam")),
    )
    assert bundle.manifest.training is not None
    assert bundle.manifest.training["evidence"] is None
    assert any("drop draw random numbers" in note for note in bundle.manifest.training["notes"])
    result = osp.train(
        bundle.folder, make_data(ROWS, 1), epochs=8, batch_size=BATCH, output=here / "r", force=True
    )
    assert result.epochs[-1].score.loss < result.epochs[0].score.loss


def test_a_training_that_diverges_stops_and_says_so(here: Path) -> None:
    data = make_data(ROWS, 1)
    data["x"][7, 3] = np.nan
    with pytest.raises(UsageError, match=r"The loss is nan at step \d: .*diverged"):
        osp.train(here / "net.split", data, output=here / "diverged", threads=1)
    assert not (here / "diverged").exists()


def test_an_output_that_is_taken_is_refused_before_any_work(here: Path) -> None:
    taken = here / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="no training of this bundle"):
        osp.train(here / "net.split", make_data(ROWS, 1), output=taken)
    for _ in range(2):  # what an earlier training of the bundle wrote is replaced
        osp.train(here / "net.split", make_data(ROWS, 1), output=here / "twice", threads=1)


def test_a_checkpoint_that_could_not_be_kept_is_refused_before_any_work(here: Path) -> None:
    (here / "letters").mkdir()
    (here / "letters" / "one.txt").write_text("dear")
    for place, message in {
        "letters": "is no checkpoint",
        "net.split/kept": "lost with the bundle",
        "lost/kept": "lost with the output",
    }.items():
        with pytest.raises(OutputError, match=message):
            train(here, "lost", checkpoint=here / place, learning_rate=1e30)  # it would diverge
    with pytest.raises(UsageError, match="name its folder by --checkpoint"):
        train(here, "lost", checkpoint_every=1)
    assert not (here / "lost").exists()


def test_what_can_not_be_trained_says_why(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["cut", "net.onnx", "--costs", "costs.csv", "--dim", "N=1", "-q", "-o", "plain"]) == 0
    )
    with pytest.raises(BundleError, match="has no training stages"):
        osp.train(here / "plain", here / "train.npz")
    cases = {
        "give --objective training": ["--costs", "costs.csv", "--loss", "mse", "--dim", "N=1"],
        "give --loss as well": ["--optimizer", "adam"],
        "'hinge' is unknown": [*CUT, "hinge"],
        "is for --optimizer sgd": [*CUT, "mse", "--optimizer", "adam", "--momentum", "0.5"],
    }
    for message, options in cases.items():
        capsys.readouterr()
        assert run(["cut", "net.onnx", *options, "-o", "wrong"]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert not (here / "wrong").exists()
    assert run(["train", "net.split", "--data", "nowhere.npz"]) == 2
    assert "nowhere.npz does not exist" in capsys.readouterr().err
