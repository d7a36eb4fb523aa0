"""ONNX's element types and value types in the words of `onnxsplit.graph`."""

from collections.abc import Mapping

import onnx

from onnxsplit.graph import Dim, TensorSpec, ValueKind

_RENAMED: Mapping[str, str] = {"float": "float32", "double": "float64"}


def _name_dtypes() -> dict[int, str]:
    """Map every element type of the installed onnx to its name in lower case."""
    names = {value: name.lower() for name, value in onnx.TensorProto.DataType.items()}
    return {value: _RENAMED.get(name, name) for value, name in names.items() if value}


DTYPE_NAMES: Mapping[int, str] = _name_dtypes()
DTYPE_NUMBERS: Mapping[str, int] = {name: number for number, name in DTYPE_NAMES.items()}


def read_type(name: str, value_type: onnx.TypeProto) -> TensorSpec:
    """Read a value's type.

    Parameters
    ----------
    name : str
    value_type : onnx.TypeProto
        May be empty.

    Returns
    -------
    TensorSpec
        Symbolic dims are str, unknown dims None; of a sequence or optional only the element type.
    """
    field = value_type.WhichOneof("value")
    if field in {"tensor_type", "sparse_tensor_type"}:
        kind: ValueKind = "tensor" if field == "tensor_type" else "sparse_tensor"
        tensor = getattr(value_type, field)
        dtype = DTYPE_NAMES.get(tensor.elem_type)
        shape = tuple(map(_read_dim, tensor.shape.dim)) if tensor.HasField("shape") else None
        return TensorSpec(name=name, dtype=dtype, shape=shape, kind=kind)
    if field == "sequence_type":
        return TensorSpec(name=name, dtype=None, shape=None, kind="sequence")
    if field == "optional_type":
        return TensorSpec(name=name, dtype=None, shape=None, kind="optional")
    if field == "map_type":
        return TensorSpec(name=name, dtype=None, shape=None, kind="map")
    return TensorSpec(name=name, dtype=None, shape=None, kind="unknown")


def _read_dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    """Read one dim."""
    field = dim.WhichOneof("value")
    if field == "dim_value":
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return dim.dim_param or None


def write_type(spec: TensorSpec) -> onnx.ValueInfoProto:
    """Write a dense tensor's type; the inverse of `read_type`."""
    info = onnx.ValueInfoProto(name=spec.name)
    tensor = info.type.tensor_type
    tensor.elem_type = DTYPE_NUMBERS[spec.dtype] if spec.dtype else 0
    if spec.shape is not None:
        tensor.shape.SetInParent()
        for dim in spec.shape:
            entry = tensor.shape.dim.add()
            if isinstance(dim, int):
                entry.dim_value = dim
            elif dim is not None:
                entry.dim_param = dim
    return info
