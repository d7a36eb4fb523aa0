"""Save models: weights within the file while they are small, else in one file beside it."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from google.protobuf.message import EncodeError

from onnxsplit.engines.ort_format import write_ort_format
from onnxsplit.errors import OutputError
from onnxsplit.model.loading import find_external_tensors
from onnxsplit.model.publication import open_draft, publish
from onnxsplit.model.weights import DataWriter, measure_external, read_chunks

FILE_LIMIT_BYTES = 1_900_000_000
"""A protobuf can't exceed 2 GiB; nodes, names and types need some of that too."""
INLINE_LIMIT_BYTES = 64_000_000
"""External weights up to this size are taken into the model file, so that one file is enough."""
SMALL_BYTES = 1024
"""Tensors below this stay in the model file: shape inference wants to see them there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """The files of a model, by name, with their hashes.

    Parameters
    ----------
    file : str
    sha256 : str
    data_files : mapping of str to str
        External data file to its sha256; at most one.
    """

    file: str
    sha256: str
    data_files: Mapping[str, str] = field(default_factory=dict)


def save_model(
    proto: onnx.ModelProto, path: Path, *, base_folder: Path | None, force: bool = False
) -> SavedModel:
    """Save a model; its files appear whole, by rename, or not at all.

    Parameters
    ----------
    proto : onnx.ModelProto
        Is not changed.
    path : Path
        Large weights go to ``<stem>.data`` beside it.
    base_folder : Path or None
        Where the model's present external data lies.
    force : bool
        Replace files that are there.

    Raises
    ------
    OutputError
        A file is there and may not be replaced, or the files can't be written.
    ModelError
        External data can't be read.
    """
    target = path.absolute()
    _check_free(target, force=force)
    with open_draft(target) as draft:
        saved = write_model(proto, draft, target.stem, base_folder=base_folder, file=target.name)
        names = (*saved.data_files, saved.file)
        for name in names:
            _check_free(target.with_name(name), force=force)
        publish([(draft / name, target.with_name(name)) for name in names])
    return saved


def write_model(
    proto: onnx.ModelProto,
    folder: Path,
    stem: str,
    *,
    base_folder: Path | None,
    file: str | None = None,
) -> SavedModel:
    """Write a model's files into a folder that has none of them yet.

    Parameters
    ----------
    proto : onnx.ModelProto
        Is not changed. External data is streamed: no more than a few MB of it are in memory,
        unless it is small enough to be taken into the file.
    folder : Path
    stem : str
        The files are ``<stem>.onnx`` and, for large weights, ``<stem>.data``.
    base_folder : Path or None
        Where the model's present external data lies.
    file : str, optional
        Another name than ``<stem>.onnx``.

    Returns
    -------
    SavedModel
        The same model gives the same bytes.

    Raises
    ------
    OSError
        A file can't be written.
    ModelError
        External data can't be read.
    OutputError
        The model is larger than a file can be, even without its weights.
    """
    external_bytes = sum(measure_external(tensor) for tensor in find_external_tensors(proto))
    data_files: dict[str, str] = {}
    if external_bytes > INLINE_LIMIT_BYTES or external_bytes + proto.ByteSize() > FILE_LIMIT_BYTES:
        proto = _copy(proto)
        name = f"{stem}.data"
        with DataWriter(folder / name, base_folder) as writer:
            for tensor in _choose_tensors(proto):
                writer.move(tensor)
            data_files[name] = writer.close()
    if external_bytes:
        proto = proto if data_files else _copy(proto)
        for tensor in find_external_tensors(proto):
            if not data_files or measure_external(tensor) < SMALL_BYTES:
                take_in(tensor, base_folder)
    return _write(proto, folder / (file or f"{stem}.onnx"), data_files)


def write_ort_model(
    proto: onnx.ModelProto, folder: Path, stem: str, *, base_folder: Path | None
) -> dict[str, str]:
    """Write a model in onnxruntime's mobile format, and the operators that a small build needs.

    Parameters
    ----------
    proto, folder, stem, base_folder
        As for `write_model`.

    Returns
    -------
    dict of str to str
        File to its sha256; the model first.

    Raises
    ------
    OSError, OutputError, ModelError
        As for `write_model`, or onnxruntime can't convert the model.
    """
    with tempfile.TemporaryDirectory(prefix="onnxsplit-stage-") as place:
        saved = write_model(proto, Path(place), "stage", base_folder=base_folder)
        names = write_ort_format(Path(place) / saved.file, folder, stem)
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def write_model_sharing(
    proto: onnx.ModelProto, folder: Path, stem: str, writer: DataWriter, *, base_folder: Path | None
) -> SavedModel:
    """Write a model whose larger weights go to a data file that it shares with others.

    Parameters
    ----------
    proto : onnx.ModelProto
        Is not changed.
    folder : Path
        Where the data file lies as well.
    stem : str
        The file is ``<stem>.onnx``.
    writer : DataWriter
        Of the shared file; it holds every weight once.
    base_folder : Path or None
        Where the model's present external data lies.

    Returns
    -------
    SavedModel
        Without data files: the shared one has no hash until all is written.

    Raises
    ------
    OSError
        A file can't be written.
    ModelError
        External data can't be read.
    OutputError
        The model is larger than a file can be, even without its weights.
    """
    proto = _copy(proto)
    for tensor in find_external_tensors(proto):
        if measure_external(tensor) < SMALL_BYTES:
            take_in(tensor, base_folder)
    for tensor in _choose_tensors(proto):
        writer.move(tensor)
    return _write(proto, folder / f"{stem}.onnx", {})


def _write(proto: onnx.ModelProto, path: Path, data_files: Mapping[str, str]) -> SavedModel:
    """Write the model's own file."""
    content = _serialize(proto, path.stem)
    with path.open("xb") as output:
        output.write(content)
    digest = hashlib.sha256(content).hexdigest()
    return SavedModel(file=path.name, sha256=digest, data_files=data_files)


def _check_free(path: Path, *, force: bool) -> None:
    """Refuse to replace a file without leave, and anything else at all."""
    if path.exists() and not (force and path.is_file()):
        advice = "give --force to replace it" if path.is_file() else "choose another name"
        raise OutputError(f"{path} is there already; {advice}.")


def _choose_tensors(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    """List the tensors that go to the data file: external ones, and large initializers."""
    external = [t for t in find_external_tensors(proto) if measure_external(t) >= SMALL_BYTES]
    return [*external, *(t for t in proto.graph.initializer if len(t.raw_data) >= SMALL_BYTES)]


def take_in(tensor: onnx.TensorProto, base_folder: Path | None) -> None:
    """Take external data into the model."""
    tensor.raw_data = b"".join(read_chunks(tensor, base_folder))
    tensor.ClearField("data_location")
    del tensor.external_data[:]


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that may be changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def _serialize(proto: onnx.ModelProto, stem: str) -> bytes:
    """Serialize a model so that equal ones give equal bytes."""
    try:
        return proto.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise OutputError(
            f"The model {stem!r} is larger than the 2 GB that a model file can be, even with its"
            " initializers in a file of their own; constants within operators take the space."
        ) from error
