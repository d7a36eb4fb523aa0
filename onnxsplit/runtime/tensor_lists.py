"""The tensors of a message: their entries in the JSON head, and their bytes behind it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnxsplit.engines.port import Array
from onnxsplit.errors import ProtocolError
from onnxsplit.runtime.datatypes import find_datatype
from onnxsplit.runtime.json_heads import read_parameters, read_text
from onnxsplit.runtime.listed_tensors import read_list, write_list
from onnxsplit.runtime.raw_tensors import check_shape, read_raw, write_raw

BINARY_SIZE = "binary_data_size"


def write_tensors(
    tensors: Mapping[str, Array], is_binary: Callable[[str], bool]
) -> tuple[list[dict[str, Any]], tuple[memoryview, ...]]:
    """Write tensors.

    Parameters
    ----------
    tensors : mapping of str to array
    is_binary : callable
        Whether a tensor's elements travel as bytes rather than in the JSON.

    Returns
    -------
    list of dict, tuple of memoryview
        Entries of the head, and the bytes of those that travel so.

    Raises
    ------
    UnsupportedModelError
        The protocol has no name for an element type.
    ProtocolError
        JSON has no way to write a value.
    """
    entries = []
    buffers = []
    for name, array in tensors.items():
        datatype = find_datatype(name, array)
        entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if is_binary(name):
            raw = write_raw(array, datatype)
            entry["parameters"] = {BINARY_SIZE: len(raw)}
            buffers.append(raw)
        else:
            entry["data"] = write_list(name, array, datatype)
        entries.append(entry)
    return entries, tuple(buffers)


def read_tensors(entries: Sequence[Mapping[str, Any]], binary: memoryview) -> dict[str, Array]:
    """Read tensors; arrays are views of the binary data where they can be.

    Parameters
    ----------
    entries : sequence of mapping
        Of the head; their names are known to be strings and different.
    binary : memoryview of bytes
        What follows the head, which they must use up.

    Raises
    ------
    ProtocolError
        An entry is malformed, or sizes do not match.
    """
    tensors = {}
    place = 0
    for entry in entries:
        name = entry["name"]
        datatype = read_text(entry, "datatype", f"tensor {name!r}")
        shape = check_shape(name, entry.get("shape"))
        size = _read_binary_size(name, entry)
        if size is None:
            tensors[name] = read_list(name, datatype, shape, entry["data"])
            continue
        if size > len(binary) - place:
            raise ProtocolError(
                f"Tensor {name!r} should have {size} bytes of binary data, and the body holds only"
                f" {len(binary) - place} more."
            )
        tensors[name] = read_raw(name, datatype, shape, binary[place : place + size])
        place += size
    if place != len(binary):
        raise ProtocolError(f"{len(binary) - place} bytes of binary data belong to no tensor.")
    return tensors


def _read_binary_size(name: str, entry: Mapping[str, Any]) -> int | None:
    """Return how many bytes a tensor has behind the head; None if its elements are in the head."""
    parameters = read_parameters(entry, f"tensor {name!r}")
    if "shared_memory_region" in parameters:
        raise ProtocolError(f"Tensor {name!r} lies in shared memory, which is not supported.")
    if (BINARY_SIZE in parameters) == ("data" in entry):
        raise ProtocolError(f"Tensor {name!r} must have either 'data' or {BINARY_SIZE!r}.")
    if BINARY_SIZE not in parameters:
        return None
    size = parameters[BINARY_SIZE]
    if type(size) is not int or size < 0:
        raise ProtocolError(
            f"The {BINARY_SIZE} of tensor {name!r} is {size!r}; it must be a whole number of bytes."
        )
    return size
