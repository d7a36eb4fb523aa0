"""Load a model from a file, bytes or a protobuf, with external data left on disk."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from onnxsplit.errors import ModelError, UnsupportedModelError
from onnxsplit.graph import ModelIdentity
from onnxsplit.model.bodies import walk_nodes
from onnxsplit.model.identity import hash_structure
from onnxsplit.model.naming import (
    choose_operator_names,
    rename_repeated,
    rename_repeated_body_nodes,
)

ModelSource = str | os.PathLike[str] | bytes | onnx.ModelProto


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in memory; its protobuf is never changed after loading.

    Parameters
    ----------
    proto : onnx.ModelProto
        As in the file, but for node names, which are the unique operator names.
    base_folder : Path or None
        Where external data lies; None for bytes and protobufs.
    identity : ModelIdentity
    renamed : mapping of str to str
        New node name to the model's own, where that was empty or not unique.
    """

    proto: onnx.ModelProto
    base_folder: Path | None
    identity: ModelIdentity
    renamed: Mapping[str, str] = field(default_factory=dict)


def load_model(source: ModelSource, *, base_folder: Path | None = None) -> LoadedModel:
    """Load a model without its external data.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    base_folder : Path, optional
        Where the external data of bytes or a protobuf lies; that of a file lies beside it.

    Returns
    -------
    LoadedModel

    Raises
    ------
    ModelError
        There is no such file, or it is no ONNX model.
    UnsupportedModelError
        The model has no operators or no outputs.
    """
    if isinstance(source, onnx.ModelProto):
        content = source.SerializeToString(deterministic=True)
        proto = onnx.ModelProto()
        proto.CopyFrom(source)
    elif isinstance(source, bytes):
        content, proto = source, _parse(source, "The model")
    else:
        path = Path(source)
        content, base_folder = _read_file(path), path.absolute().parent
        proto = _parse(content, str(path))
    if not proto.graph.node:
        raise UnsupportedModelError("The model has no operators, so there is nothing to split.")
    if not proto.graph.output:
        raise UnsupportedModelError("The model has no outputs, so there is nothing to compute.")
    identity = ModelIdentity(
        sha256=hashlib.sha256(content).hexdigest(), structure=hash_structure(proto)
    )
    renamed = _make_names_unique(proto)
    return LoadedModel(proto=proto, base_folder=base_folder, identity=identity, renamed=renamed)


def check_external_data(model: LoadedModel) -> None:
    """Check that the model's external data is there, long enough, and within its folder.

    Raises
    ------
    ModelError
        A file is missing or too short, its path leaves the model's folder, or the model was given
        as bytes and so has no folder.
    """
    for tensor in find_external_tensors(model.proto):
        location, offset, length = read_external_reference(tensor)
        path = locate_external_data(model, tensor)
        if not path.is_file():
            what = "no file" if path.exists() else "not there"
            raise ModelError(
                f"The weights {tensor.name!r} lie in {location!r}, which is {what};"
                f" put the file into {model.base_folder}."
            )
        size = path.stat().st_size
        if offset + (length or 0) > size:
            raise ModelError(
                f"The external data file {location!r} has {size} bytes, and {tensor.name!r} needs"
                f" {offset + (length or 0)}; it was cut short or belongs to another model."
            )


def locate_external_data(model: LoadedModel, tensor: onnx.TensorProto) -> Path:
    """Return where a tensor's external data lies.

    Raises
    ------
    ModelError
        The path leaves the model's folder, or there is no folder.
    """
    location, _, _ = read_external_reference(tensor)
    if model.base_folder is None:
        raise ModelError(
            f"The weights {tensor.name!r} lie in the external file {location!r}, but the model was"
            " given without a folder; give its path instead."
        )
    if not location:
        raise ModelError(
            f"The weights {tensor.name!r} lie outside the model, in a file that it does not name;"
            " export it again."
        )
    folder = model.base_folder.resolve()
    path = (folder / location).resolve()
    if Path(location).is_absolute() or not path.is_relative_to(folder):
        raise ModelError(
            f"The weights {tensor.name!r} name the external file {location!r}, which is outside"
            " the model's folder; such paths are refused."
        )
    return path


def find_external_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor whose data lies outside the model, wherever it is held."""
    for tensor in find_tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor


def read_external_reference(tensor: onnx.TensorProto) -> tuple[str, int, int | None]:
    """Return location, offset and length (None if not given) of external data.

    Raises
    ------
    ModelError
        Offset or length are no numbers.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries["length"]) if entries.get("length") else None
    except ValueError as error:
        raise ModelError(
            f"The external data of {tensor.name!r} has an offset or length that is no number."
        ) from error
    if offset < 0 or (length or 0) < 0:
        raise ModelError(f"The external data of {tensor.name!r} has a negative offset or length.")
    return entries.get("location", ""), offset, length


def find_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield initializers and tensor attributes of all graphs, bodies and functions."""
    yield from _find_initializers(proto.graph)
    containers: list[onnx.GraphProto | onnx.FunctionProto] = [proto.graph, *proto.functions]
    for container in containers:
        for node in walk_nodes(container):
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                if attribute.HasField("sparse_tensor"):
                    yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
                for body in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    yield from _find_initializers(body)


def _find_initializers(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield a graph's own initializers."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)


def _read_file(path: Path) -> bytes:
    """Read a file's bytes, or say why that can't be done."""
    if path.is_dir():
        raise ModelError(f"{path} is a folder; give the .onnx file itself.")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"There is no file {path}.") from error
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}.") from error


def _parse(content: bytes, name: str) -> onnx.ModelProto:
    """Parse a protobuf and refuse what is no model; protobuf itself parses a lot of garbage."""
    if not content:
        raise ModelError(f"{name} is empty.")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise ModelError(
            f"{name} is no ONNX model, or it is cut short or corrupt; export or copy it again."
        ) from error
    if not proto.HasField("graph") or not proto.ir_version or not proto.opset_import:
        # Models older than IR version 3 name no opset; nothing runs them any more.
        raise ModelError(
            f"{name} is no ONNX model, or it is cut short or corrupt; export or copy it again."
        )
    return proto


def _make_names_unique(proto: onnx.ModelProto) -> dict[str, str]:
    """Give every node its operator name, in place, and return what was renamed."""
    renamed: dict[str, str] = {}
    nodes = proto.graph.node
    for node, name in zip(nodes, choose_operator_names(nodes), strict=True):
        if name != node.name:
            renamed[name] = node.name
            node.name = name
        renamed.update(rename_repeated_body_nodes(node))
    for function in proto.functions:
        renamed.update(rename_repeated(function.node, prefix=function.name))
        for node in function.node:
            renamed.update(rename_repeated_body_nodes(node))
    return renamed
