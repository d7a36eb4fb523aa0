"""Put the stages of a bundle back together."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message

from onnxsplit.errors import BundleError, ModelError
from onnxsplit.manifest import MANIFEST_FILE, Manifest
from onnxsplit.model.bundle import check_files
from onnxsplit.model.fields import copy_fields, encode
from onnxsplit.model.index import index_model
from onnxsplit.model.layout import (
    FUNCTIONS,
    GRAPH_LISTS,
    PREFIX,
    Places,
    list_entries,
    read_layout,
)
from onnxsplit.model.loading import find_tensors
from onnxsplit.model.narrowing import strip_wires
from onnxsplit.model.weights import read_chunks


def merge_stages(folder: Path, manifest: Manifest) -> onnx.ModelProto:
    """Put a bundle's stages back together.

    Parameters
    ----------
    folder : Path
    manifest : Manifest

    Returns
    -------
    onnx.ModelProto
        The source model, entry by entry and in its order, but for what carving dropped (see the
        manifest) and with the unique operator names. External data refers to files in ``folder``.

    Raises
    ------
    BundleError
        A file is missing or malformed, two stages disagree about what they both hold, or a part of
        the model is in no stage.
    ChecksumMismatchError
        A file is not the one that was written.
    """
    check_files(folder, manifest)
    if not manifest.stages:
        raise BundleError(f"The bundle {folder} has no stages.")
    merged = join_stages([_read_stage(folder / stage.file) for stage in manifest.stages], folder)
    missing = set(manifest.yields).symmetric_difference(v.name for v in merged.graph.output)
    if missing:
        raise BundleError(
            f"The stages do not make a whole model: the output {min(missing)!r} is not both in the"
            f" stages and in {MANIFEST_FILE}."
        )
    return merged


def join_stages(stages: Sequence[onnx.ModelProto], folder: Path | None) -> onnx.ModelProto:
    """Put stages back together: every entry in its place, what several stages hold taken once.

    What encodes and decodes crossings is left out.

    Parameters
    ----------
    stages : sequence of onnx.ModelProto
        At least one.
    folder : Path or None
        Where external data lies.

    Raises
    ------
    BundleError
        The stages disagree about what they both hold, or a part of the model is in none of them.
    """
    stages = [strip_wires(stage) for stage in stages]
    layouts = [read_layout(stage) for stage in stages]
    merged = _join_headers(stages)
    for name in (*GRAPH_LISTS, FUNCTIONS):
        list_entries(merged, name).extend(_join_entries(folder, name, stages, layouts))
    try:
        index_model(merged)
    except ModelError as error:
        raise BundleError(f"The stages do not make a whole model. {error}") from error
    return merged


def _read_stage(path: Path) -> onnx.ModelProto:
    """Read a stage's file."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise BundleError(f"The stage {path} can't be read; cut the model again.") from error
    return proto


def _join_headers(stages: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """Return what the stages have in common beside the lists, without our own metadata."""
    headers = []
    for stage in stages:
        header = onnx.ModelProto()
        copy_fields(stage, header, leave={"graph", FUNCTIONS})
        copy_fields(stage.graph, header.graph, leave=GRAPH_LISTS)
        kept = [entry for entry in header.metadata_props if not entry.key.startswith(PREFIX)]
        del header.metadata_props[:]
        header.metadata_props.extend(kept)
        headers.append(header)
    if any(encode(header) != encode(headers[0]) for header in headers):
        raise BundleError(
            "The stages disagree about opsets, versions or metadata; they come from different"
            " models, or one was changed."
        )
    return headers[0]


def _join_entries(
    folder: Path | None, name: str, stages: Sequence[onnx.ModelProto], layouts: Sequence[Places]
) -> list[Message]:
    """Return one list of the model; what several stages hold is taken once."""
    found: dict[int, Message] = {}
    for stage, layout in zip(stages, layouts, strict=True):
        # Crossings come after the entries that have a place.
        for place, entry in zip(layout[name], list_entries(stage, name), strict=False):
            if not _is_same(folder, name, found.setdefault(place, entry), entry):
                raise BundleError(
                    f"The stages disagree about entry {place} of the model's {name!r}; they come"
                    " from different models, or one was changed."
                )
    return [found[place] for place in sorted(found)]


def _is_same(folder: Path | None, name: str, one: Message, other: Message) -> bool:
    """Tell whether two entries are equal, wherever the data of their tensors lies."""
    if one is other or encode(one) == encode(other):
        return True
    return _digest(folder, name, one) == _digest(folder, name, other)


def _digest(folder: Path | None, name: str, entry: Message) -> bytes:
    """Encode an entry with hashes in place of its tensors' raw or external data."""
    holder = onnx.ModelProto()
    list_entries(holder, name).append(entry)
    for tensor in find_tensors(holder):
        digest = hashlib.sha256(tensor.raw_data)
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            for chunk in read_chunks(tensor, folder):
                digest.update(chunk)
        tensor.raw_data = digest.digest()
        tensor.ClearField("data_location")
        del tensor.external_data[:]
    return encode(holder)
