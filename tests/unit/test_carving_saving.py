"""Files of models: weights inside or beside them, whole or not at all."""

import errno
import hashlib
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxsplit.engines.ort import open_session
from onnxsplit.errors import ModelError, OutputError
from onnxsplit.model import saving, weights
from onnxsplit.model.saving import save_model
from tests.conformance.harness import PLAIN
from tests.tiny_models import X, parse, store_externally

FLOATS = 400


def make_model() -> onnx.ModelProto:
    """Build a model with two weights of 1600 bytes, one of which is used twice, and a small one."""
    model = parse(f"""
        g (float[2,3] x) => (float[2,3] y, float[{FLOATS}] p, float[{FLOATS}] q) {{
            y = Add(x, small) r = Neg(one) p = Mul(r, one) q = Abs(other)
        }}
    """)
    rng = np.random.default_rng(3)
    for name, shape in (("one", (FLOATS,)), ("other", (FLOATS,)), ("small", (2, 3))):
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def make_external(folder: Path) -> onnx.ModelProto:
    """Put the weights of `make_model` into a file of the folder."""
    model = make_model()
    content = store_externally(model, ("one", "other", "small"), "weights.bin")
    (folder / "weights.bin").write_bytes(content)
    return model


def run(path: Path) -> dict[str, bytes]:
    with open_session(path, PLAIN) as session:
        return {name: np.asarray(v).tobytes() for name, v in session.run({"x": X}).items()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def expected(source: Path) -> dict[str, bytes]:
    onnx.save(make_model(), source / "plain.onnx")
    return run(source / "plain.onnx")


def test_small_external_weights_are_taken_into_the_file(
    tmp_path: Path, source: Path, expected: dict[str, bytes]
) -> None:
    saved = save_model(make_external(source), tmp_path / "m.onnx", base_folder=source)
    assert not saved.data_files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "source"]
    assert run(tmp_path / "m.onnx") == expected


def test_large_external_weights_go_to_one_file_beside_the_model(
    tmp_path: Path, source: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "INLINE_LIMIT_BYTES", 1000)
    saved = save_model(make_external(source), tmp_path / "m.onnx", base_folder=source)
    assert list(saved.data_files) == ["m.data"]
    assert run(tmp_path / "m.onnx") == expected
    tensors = {
        t.name: t
        for t in onnx.load(tmp_path / "m.onnx", load_external_data=False).graph.initializer
    }
    for name in ("one", "other"):
        entries = {entry.key: entry.value for entry in tensors[name].external_data}
        assert entries["location"] == "m.data"
        assert int(entries["offset"]) % 4096 == 0
        assert int(entries["length"]) == 4 * FLOATS
    assert len(tensors["small"].raw_data) == 24


def test_the_largest_tensors_are_placed_where_any_system_maps_them(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "INLINE_LIMIT_BYTES", 1000)
    monkeypatch.setattr(weights, "LARGE_BYTES", 1600)
    save_model(make_external(source), tmp_path / "m.onnx", base_folder=source)
    graph = onnx.load(tmp_path / "m.onnx", load_external_data=False).graph
    offsets = [int(t.external_data[1].value) for t in graph.initializer if t.external_data]
    assert offsets == [0, 65536]


def test_a_model_too_large_for_one_file_moves_its_weights_out(
    tmp_path: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "FILE_LIMIT_BYTES", 1000)
    model = make_model()
    saved = save_model(model, tmp_path / "m.onnx", base_folder=None)
    assert list(saved.data_files) == ["m.data"]
    assert (tmp_path / "m.onnx").stat().st_size < 1000
    assert run(tmp_path / "m.onnx") == expected
    assert model == make_model()


def test_tensors_that_share_their_source_share_their_place(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "INLINE_LIMIT_BYTES", 1000)
    model = make_external(source)
    del model.graph.initializer[1].external_data[:]
    model.graph.initializer[1].external_data.extend(model.graph.initializer[0].external_data)
    save_model(model, tmp_path / "m.onnx", base_folder=source)
    assert (tmp_path / "m.data").stat().st_size == 4 * FLOATS
    outputs = run(tmp_path / "m.onnx")
    one = numpy_helper.to_array(make_model().graph.initializer[0])
    assert outputs["q"] == np.abs(one).tobytes()


def test_hashes_are_those_of_the_files_and_do_not_change(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "INLINE_LIMIT_BYTES", 1000)
    model = make_external(source)
    one = save_model(model, tmp_path / "m.onnx", base_folder=source)
    for name, digest in {one.file: one.sha256, **one.data_files}.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    assert save_model(model, tmp_path / "m.onnx", base_folder=source, force=True) == one


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"m\.onnx is there already; give --force"):
        save_model(make_model(), path, base_folder=None)
    assert path.read_bytes() == b"mine"
    save_model(make_model(), path, base_folder=None, force=True)
    assert onnx.load(path) == make_model()


def test_a_data_file_that_is_there_is_not_replaced_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "FILE_LIMIT_BYTES", 1000)
    (tmp_path / "m.data").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"m\.data is there already"):
        save_model(make_model(), tmp_path / "m.onnx", base_folder=None)
    assert [path.name for path in tmp_path.iterdir()] == ["m.data"]


def test_a_folder_is_never_replaced_by_a_model(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose another name"):
        save_model(make_model(), tmp_path, base_folder=None, force=True)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "permission denied"), (errno.EIO, "put")],
)
def test_a_failing_disk_gives_one_sentence_and_leaves_nothing(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(code, "Input/output error")

    monkeypatch.setattr(saving, "INLINE_LIMIT_BYTES", 1000)
    model = make_external(source)
    monkeypatch.setattr(weights.DataWriter, "_append", fail)
    with pytest.raises(OutputError, match=reason):
        save_model(model, tmp_path / "new" / "m.onnx", base_folder=source)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_missing_and_short_weights_are_told(tmp_path: Path, source: Path) -> None:
    model = make_external(source)
    data = source / "weights.bin"
    data.write_bytes(data.read_bytes()[:-5])
    with pytest.raises(ModelError, match="ends 5 bytes before the end of 'small'"):
        save_model(model, tmp_path / "m.onnx", base_folder=source)
    data.unlink()
    with pytest.raises(ModelError, match=r"weights\.bin"):
        save_model(model, tmp_path / "m.onnx", base_folder=source)
    with pytest.raises(ModelError, match="without a folder"):
        save_model(model, tmp_path / "m.onnx", base_folder=None)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_missing_length_follows_from_the_type(tmp_path: Path, source: Path) -> None:
    model = make_external(source)
    for tensor in model.graph.initializer:
        del tensor.external_data[2]
    save_model(model, tmp_path / "m.onnx", base_folder=source)
    tensors = onnx.load(tmp_path / "m.onnx").graph.initializer
    assert [t.raw_data for t in tensors] == [t.raw_data for t in make_model().graph.initializer]


def test_weights_are_read_in_chunks(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "CHUNK_BYTES", 100)
    tensor = make_external(source).graph.initializer[0]
    chunks = list(weights.read_chunks(tensor, source))
    assert max(map(len, chunks)) == 100
    assert b"".join(chunks) == make_model().graph.initializer[0].raw_data
