"""Tensors of a request against what a model takes."""

from collections.abc import Mapping, Sequence

from onnxsplit.engines.port import Array
from onnxsplit.errors import RequestError, suggest
from onnxsplit.graph import TensorSpec
from onnxsplit.runtime.datatypes import DTYPE_OF, find_datatype, name_datatype


def check_inputs(model: str, inputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> None:
    """Refuse inputs that are missing, unknown, or of another type or shape.

    Parameters
    ----------
    model : str
        Its name, for errors.
    inputs : mapping of str to array
    specs : sequence of TensorSpec
        Symbolic and unknown dims take any size; None takes any shape.

    Raises
    ------
    RequestError
        With the status 400.
    """
    known = {spec.name: spec for spec in specs}
    for name in inputs:
        if name not in known:
            raise RequestError(f"The model {model!r} has no input {name!r}. {suggest(name, known)}")
    for name, spec in known.items():
        if name not in inputs:
            raise RequestError(f"The model {model!r} needs the input {name!r}.")
        _check_tensor(model, inputs[name], spec)


def check_outputs(model: str, wanted: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    """Refuse outputs that the model does not have; RequestError with the status 400."""
    known = [spec.name for spec in specs]
    for name in wanted:
        if name not in known:
            raise RequestError(
                f"The model {model!r} has no output {name!r}. {suggest(name, known)}"
            )


def _check_tensor(model: str, array: Array, spec: TensorSpec) -> None:
    """Refuse one input of another type or shape."""
    found, expected = find_datatype(spec.name, array), name_datatype(spec.name, spec.dtype)
    if found != expected:
        raise RequestError(
            f"The input {spec.name!r} of {model!r} is {expected} ({DTYPE_OF[expected]}),"
            f" and {found} was sent."
        )
    if spec.shape is None:
        return
    fits = len(array.shape) == len(spec.shape) and all(
        not isinstance(dim, int) or dim == size
        for dim, size in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise RequestError(
            f"The input {spec.name!r} of {model!r} has the shape {_write_shape(spec)},"
            f" and {list(array.shape)} was sent."
        )


def _write_shape(spec: TensorSpec) -> str:
    """Write a shape with its symbolic dims."""
    dims = ("?" if dim is None else str(dim) for dim in spec.shape or ())
    return f"[{', '.join(dims)}]"
