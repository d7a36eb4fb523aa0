"""What a served model takes and gives, as JSON of the Open Inference Protocol, version 2."""

from collections.abc import Mapping, Sequence
from typing import Any

from onnxsplit.errors import ProtocolError
from onnxsplit.graph import Dim, TensorSpec
from onnxsplit.runtime.datatypes import DTYPE_OF, find_numpy_dtype, name_datatype
from onnxsplit.runtime.json_heads import parse_json, read_objects, read_parameters, read_text
from onnxsplit.runtime.messages import ModelMetadata

_ANY = -1


def write_metadata(metadata: ModelMetadata) -> dict[str, Any]:
    """Return metadata as JSON.

    Symbolic and unknown dims are -1; a shape of unknown rank is written as ``[-1]``, for the
    protocol has no way to say it. ``parameters`` are an addition that other clients pass over.

    Raises
    ------
    UnsupportedModelError
        The protocol has no name for an element type.
    """
    return {
        "name": metadata.name,
        "versions": list(metadata.versions),
        "platform": metadata.platform,
        "inputs": _write_specs(metadata.inputs),
        "outputs": _write_specs(metadata.outputs),
        **({"parameters": dict(metadata.parameters)} if metadata.parameters else {}),
    }


def read_metadata(data: bytes | bytearray | memoryview) -> ModelMetadata:
    """Read metadata; dims of -1 become None.

    Raises
    ------
    ProtocolError
        It is malformed.
    """
    document = parse_json(data, "metadata")
    versions = document.get("versions", [])
    if not isinstance(versions, list) or not all(isinstance(entry, str) for entry in versions):
        raise ProtocolError("The metadata must have a list of strings under 'versions'.")
    return ModelMetadata(
        name=read_text(document, "name", "metadata"),
        versions=tuple(versions),
        platform=read_text(document, "platform", "metadata", ""),
        inputs=tuple(map(_read_spec, read_objects(document, "inputs", "metadata"))),
        outputs=tuple(map(_read_spec, read_objects(document, "outputs", "metadata"))),
        parameters=read_parameters(document, "metadata"),
    )


def _write_specs(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    """Write inputs or outputs."""
    return [
        {
            "name": spec.name,
            "datatype": name_datatype(spec.name, spec.dtype),
            "shape": [_ANY] if spec.shape is None else [_write_dim(dim) for dim in spec.shape],
        }
        for spec in specs
    ]


def _write_dim(dim: Dim) -> int:
    """Write one dim."""
    return dim if isinstance(dim, int) else _ANY


def _read_spec(entry: Mapping[str, Any]) -> TensorSpec:
    """Read one input or output."""
    name = entry["name"]
    datatype = read_text(entry, "datatype", f"tensor {name!r}")
    find_numpy_dtype(datatype)
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(type(dim) is int and dim >= _ANY for dim in shape):
        raise ProtocolError(
            f"The shape of tensor {name!r} must be a list of whole numbers, -1 for any size."
        )
    dims = tuple(None if dim == _ANY else dim for dim in shape)
    return TensorSpec(name=name, dtype=DTYPE_OF[datatype], shape=dims)
