"""Data, schedules and checkpoints of training."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from onnxsplit.engines.port import Array
from onnxsplit.errors import BundleError, ChecksumMismatchError, OutputError, UsageError
from onnxsplit.graph import TensorSpec
from onnxsplit.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from onnxsplit.training.data import DataPorts
from onnxsplit.training.reading import open_data
from onnxsplit.training.schedules import RateSchedule
from onnxsplit.training.scores import Tally, score_batch
from tests.training_models import save_data

PORTS = DataPorts(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("N", 3)),),
    label=TensorSpec(name="label", dtype="int64", shape=("N",)),
)


def make_arrays(rows: int, start: int = 0) -> dict[str, Array]:
    ids = np.arange(start, start + rows)
    return {
        "x": np.repeat(ids[:, None], 3, axis=1).astype(np.float64),
        "label": ids.astype("int32"),
    }


def test_an_epoch_shows_every_example_once_and_its_label_with_it() -> None:
    data = open_data(make_arrays(10), PORTS, batch_size=4, seed=1)
    assert data.count() == 3
    batches = list(data.epoch(1))
    assert [batch.id for batch in batches] == ["1/0", "1/1", "1/2"]
    assert [batch.rows for batch in batches] == [4, 4, 2]
    labels = np.concatenate([batch.label for batch in batches])
    values = np.concatenate([batch.inputs["x"][:, 0] for batch in batches])
    assert sorted(labels) == list(range(10))
    assert np.array_equal(labels, values)
    assert batches[0].inputs["x"].dtype == np.float32
    assert batches[0].label.dtype == np.int64


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def list_labels(seed: int | None, epoch: int) -> list[int]:
        data = open_data(make_arrays(12), PORTS, batch_size=5, seed=seed)
        return [int(label) for batch in data.epoch(epoch) for label in batch.label]

    assert list_labels(1, 1) == list_labels(1, 1)
    assert list_labels(1, 1) != list_labels(1, 2)
    assert list_labels(1, 1) != list_labels(2, 1)
    assert list_labels(None, 1) == list_labels(None, 2) == list(range(12))


def test_shards_are_read_one_by_one_and_all_of_them(tmp_path: Path) -> None:
    for place, rows in enumerate((5, 3, 4)):
        save_data(tmp_path / f"part{place}.npz", make_arrays(rows, start=10 * place))
    data = open_data(tmp_path, PORTS, batch_size=2, seed=0)
    labels = [int(label) for batch in data.epoch(1) for label in batch.label]
    assert len(labels) == 12
    assert sorted(labels) == [*range(5), *range(10, 13), *range(20, 24)]
    assert data.count() == 3 + 2 + 2
    assert len({label // 10 for label in labels[:2]}) == 1


def test_pairs_and_mappings_of_an_iterable_are_batches() -> None:
    arrays = make_arrays(4)
    pairs = open_data([(arrays["x"], arrays["label"])], PORTS, batch_size=None, seed=0)
    named = open_data([arrays], PORTS, batch_size=None, seed=0)
    (one,), (other,) = pairs.epoch(1), named.epoch(1)
    assert np.array_equal(one.inputs["x"], other.inputs["x"])
    assert pairs.count() == 1
    assert open_data(iter([arrays]), PORTS, batch_size=None, seed=0).count() is None


def test_a_model_made_for_one_batch_size_gets_full_batches_of_it() -> None:
    fixed = DataPorts(
        inputs=(TensorSpec(name="x", dtype="float32", shape=(4, 3)),), label=PORTS.label
    )
    data = open_data(make_arrays(10), fixed, batch_size=None, seed=0)
    assert [batch.rows for batch in data.epoch(1)] == [4, 4]
    with pytest.raises(UsageError, match="batches of 4 rows only"):
        open_data(make_arrays(10), fixed, batch_size=5, seed=0)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 3))}, "no labels"),
        ({"a": np.zeros(4), "b": np.zeros(4), "label": np.zeros(4)}, "no array 'x'"),
        ({"x": np.zeros((4, 3)), "label": np.zeros(5)}, "different numbers"),
        ({"x": np.zeros((0, 3)), "label": np.zeros(0)}, "too few"),
    ],
)
def test_data_that_does_not_fit_is_refused(arrays: dict[str, Array], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_data(arrays, PORTS, batch_size=2, seed=0)


@pytest.mark.parametrize("wrong", [-1, 4])
def test_labels_that_name_no_class_are_refused(wrong: int) -> None:
    ports = DataPorts(inputs=PORTS.inputs, label=PORTS.label, has_classes=True, classes=4)
    label = np.array([0, 3, wrong, 1])
    arrays = {"x": np.zeros((4, 3)), "label": label}
    with pytest.raises(UsageError, match="numbered from 0 to 3"):
        open_data(arrays, ports, batch_size=4, seed=0)
    with pytest.raises(UsageError, match="numbered from 0 to 3"):
        next(iter(open_data([arrays], ports, batch_size=None, seed=0).epoch(1)))


def test_batches_of_another_shape_are_refused() -> None:
    arrays = {"x": np.zeros((4, 7)), "y": np.zeros(4)}
    with pytest.raises(UsageError, match=r"\[4, 7\].*\['N', 3\]"):
        open_data(arrays, PORTS, batch_size=2, seed=0)
    with pytest.raises(UsageError, match=r"\[4, 7\].*\['N', 3\]"):
        next(iter(open_data([arrays], PORTS, batch_size=None, seed=0).epoch(1)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"label": np.array([0.0, 1.5])}, "no whole numbers"),
        ({"label": np.array([np.nan, 1.0])}, "no whole numbers"),
        ({"label": np.array(["cat", "dog"])}, "give numbers"),
        ({"x": np.ones((2, 3), complex)}, "give numbers"),
    ],
    ids=["fractions", "nan", "words", "complex"],
)
def test_values_that_would_lose_what_they_say_are_refused(
    wrong: dict[str, Array], message: str
) -> None:
    arrays = {"x": np.ones((2, 3), np.float32), "label": np.array([0, 1]), **wrong}
    with pytest.raises(UsageError, match=message):
        list(open_data(arrays, PORTS, batch_size=2, seed=None).epoch(0))


def test_whole_numbers_are_labels_whatever_their_type() -> None:
    for label in (np.array([0.0, 1.0]), np.array([False, True]), np.array([0, 1], np.uint8)):
        data = open_data({"x": np.ones((2, 3)), "label": label}, PORTS, batch_size=2, seed=None)
        batch = next(data.epoch(0))
        assert batch.label.dtype == np.int64
        assert batch.label.tolist() == [0, 1]
        assert batch.inputs["x"].dtype == np.float32


def test_shards_of_another_shape_are_refused_before_any_is_learnt_from(tmp_path: Path) -> None:
    save_data(tmp_path / "a.npz", make_arrays(4))
    save_data(tmp_path / "b.npz", {"x": np.ones((4, 2)), "label": np.zeros(4, np.int64)})
    with pytest.raises(UsageError, match=r"b\.npz: The array 'x' has the shape \[4, 2\]"):
        open_data(tmp_path, PORTS, batch_size=2, seed=None)


def test_files_that_are_no_data_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.npz"):
        with pytest.raises(UsageError):
            open_data(path, PORTS, batch_size=2, seed=0)
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(UsageError, match=r"can't be read as \.npz"):
        open_data(tmp_path / "bad.npz", PORTS, batch_size=2, seed=0)


def test_cosine_falls_to_nothing_after_a_linear_rise() -> None:
    schedule = RateSchedule(rate=1.0, name="cosine", warmup=4, total=104)
    rates = [schedule.at(step) for step in range(1, 106)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[54] == pytest.approx(0.5)
    assert rates[104] == pytest.approx(0.0)
    assert all(one >= other for one, other in pairwise(rates[4:]))


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 0.0}, {"name": "linear"}, {"warmup": -1}, {"name": "step"}, {"name": "cosine"}],
    ids=str,
)
def test_schedules_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        RateSchedule(**{"rate": 0.1, **wrong})  # type: ignore[arg-type]  # what nobody should give


def make_checkpoint(step: int) -> Checkpoint:
    tally = Tally()
    tally.add(score_batch(np.array(0.1), np.eye(3), np.array([0, 1, 0]), 1))
    return Checkpoint(
        bundle="b",
        step=step,
        epoch=2,
        place=3,
        seed=4,
        batch_size=None,
        clients=3,
        scheme="splitfed-v1",
        schedule={"rate": 0.1},
        tally=tally.to_json(),
        states={"device": {"w": np.full((2, 2), step, np.float32)}, "server": {}},
    )


def test_a_checkpoint_comes_back_as_it_was_and_replaces_the_last(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    for step in (1, 2):
        write_checkpoint(folder, make_checkpoint(step))
    found, expected = read_checkpoint(folder), make_checkpoint(2)
    assert np.array_equal(found.states["device"]["w"], expected.states["device"]["w"])
    assert (found.step, found.epoch, found.place, found.seed) == (2, 2, 3, 4)
    assert found.tally == expected.tally
    assert Tally.from_json(dict(found.tally)).total().accuracy == pytest.approx(2 / 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


def test_a_checkpoint_that_was_changed_or_is_none_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    write_checkpoint(folder, make_checkpoint(1))
    with (folder / "device.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ChecksumMismatchError):
        read_checkpoint(folder)
    (folder / "device.safetensors").unlink()
    with pytest.raises(BundleError, match="has no file"):
        read_checkpoint(folder)
    with pytest.raises(BundleError, match="is no checkpoint"):
        read_checkpoint(tmp_path)


def test_a_checkpoint_never_replaces_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="is no checkpoint"):
        write_checkpoint(tmp_path, make_checkpoint(1))
    assert (tmp_path / "mine.txt").exists()
