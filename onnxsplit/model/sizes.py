"""Fix the shapes of a model's inputs from what the model and the caller say."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from onnxsplit.errors import UnknownShapeError, UsageError, suggest
from onnxsplit.graph import Dim, TensorSpec
from onnxsplit.model.dtypes import read_type
from onnxsplit.model.loading import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeOptions:
    """What the caller says of the inputs' shapes.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Input name to its whole shape.
    dims : mapping of str to int
        Symbolic dim to its value.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)


def read_declared_specs(model: LoadedModel) -> dict[str, TensorSpec]:
    """Return the declared types of all model inputs and outputs, with symbolic dims."""
    graph = model.proto.graph
    return {
        value.name: read_type(value.name, value.type) for value in (*graph.output, *graph.input)
    }


def read_input_specs(model: LoadedModel) -> dict[str, TensorSpec]:
    """Return the inputs that must be fed, with symbolic dims as the model has them."""
    graph = model.proto.graph
    stored = {tensor.name for tensor in graph.initializer}
    stored.update(tensor.values.name for tensor in graph.sparse_initializer)
    declared = read_declared_specs(model)
    return {value.name: declared[value.name] for value in graph.input if value.name not in stored}


def fix_input_specs(model: LoadedModel, options: SizeOptions) -> dict[str, TensorSpec]:
    """Give every dim of every input a number.

    Parameters
    ----------
    model : LoadedModel
    options : SizeOptions

    Returns
    -------
    dict of str to TensorSpec
        Dense inputs have whole shapes; sequences and optionals stay as they are.

    Raises
    ------
    UnknownShapeError
        A dim has no number; the message names it and the flag that gives it one.
    UsageError
        A given shape or dim does not fit the model.
    """
    specs = read_input_specs(model)
    _check_names(options, specs)
    symbols = {**_bind_symbols(options, specs), **options.dims}
    fixed = {name: _fix(spec, options.shapes.get(name), symbols) for name, spec in specs.items()}
    _refuse_open_dims(fixed)
    return fixed


def _check_names(options: SizeOptions, specs: Mapping[str, TensorSpec]) -> None:
    """Refuse names that the model does not have, and dims that are no sizes."""
    symbols = {dim for spec in specs.values() for dim in spec.shape or () if isinstance(dim, str)}
    for name, shape in options.shapes.items():
        if name not in specs:
            raise UsageError(f"--shape {name}: the model has no such input. {suggest(name, specs)}")
        if any(dim < 0 for dim in shape):
            raise UsageError(f"--shape {name}: a dim is negative in {_write(shape)}.")
    for symbol, value in options.dims.items():
        if symbol not in symbols:
            raise UsageError(f"--dim {symbol}: no input has such a dim. {suggest(symbol, symbols)}")
        if value < 0:
            raise UsageError(f"--dim {symbol}={value}: a dim can't be negative.")


def _bind_symbols(options: SizeOptions, specs: Mapping[str, TensorSpec]) -> dict[str, int]:
    """Learn symbolic dims from whole shapes, so that inputs that share them agree."""
    symbols: dict[str, int] = {}
    for name, shape in options.shapes.items():
        declared = specs[name].shape
        if declared is None:
            continue
        if len(declared) != len(shape):
            raise UsageError(
                f"--shape {name}={_write(shape)} has {len(shape)} dims, and the model's input has"
                f" {len(declared)}: {_write(declared)}."
            )
        for dim, value in zip(declared, shape, strict=True):
            if isinstance(dim, str) and symbols.setdefault(dim, value) != value:
                raise UsageError(
                    f"--shape gives the dim {dim!r} two values: {symbols[dim]} and {value}."
                )
    for symbol, value in options.dims.items():
        if symbols.get(symbol, value) != value:
            raise UsageError(
                f"--dim {symbol}={value} contradicts --shape, which makes it {symbols[symbol]}."
            )
    return symbols


def _fix(spec: TensorSpec, shape: tuple[int, ...] | None, symbols: Mapping[str, int]) -> TensorSpec:
    """Fix the dims of one input that something gives a number to."""
    if spec.kind != "tensor" or (spec.shape is None and shape is None):
        return spec
    declared: tuple[Dim, ...] = (None,) * len(shape or ()) if spec.shape is None else spec.shape
    given: tuple[int | None, ...] = shape or (None,) * len(declared)
    dims = zip(declared, given, strict=True)
    fixed = [_fix_dim(spec, axis, dim, value, symbols) for axis, (dim, value) in enumerate(dims)]
    return replace(spec, shape=tuple(fixed))


def _fix_dim(
    spec: TensorSpec, axis: int, dim: Dim, given: int | None, symbols: Mapping[str, int]
) -> Dim:
    """Fix one dim, or leave it as it is where nothing gives it a number."""
    if isinstance(dim, int):
        if given is not None and given != dim:
            raise UsageError(
                f"--shape {spec.name}: dim {axis} is fixed to {dim} in the model, not {given}."
            )
        return dim
    if given is not None:
        return given
    return symbols.get(dim, dim) if isinstance(dim, str) else dim


def _refuse_open_dims(specs: Mapping[str, TensorSpec]) -> None:
    """Name every dim that is still open, and the flags that fix them all at once."""
    tensors = [spec for spec in specs.values() if spec.kind == "tensor"]
    for spec in tensors:
        if spec.shape is None:
            raise UnknownShapeError(
                f"The input {spec.name!r} has no shape in the model;"
                f" add {_flag('shape', f'{spec.name}=1,3,224,224')} (with its own dims)."
            )
    named = _find_symbols(tensors)
    unnamed = [spec for spec in tensors if None in (spec.shape or ())]
    if not named and not unnamed:
        return
    places = [f"the dim {dim!r} of {name!r}" for dim, name in named.items()]
    places += [f"dim {(spec.shape or ()).index(None)} of {spec.name!r}" for spec in unnamed]
    covered = _find_symbols(unnamed)
    flags = [_flag("dim", f"{dim}=1") for dim in named if dim not in covered]
    flags += [_flag("shape", f"{spec.name}={_fill(spec)}") for spec in unnamed]
    raise UnknownShapeError(
        f"No size is known for {', '.join(places)}; give {' '.join(flags)}, with your own numbers."
    )


def _find_symbols(specs: Iterable[TensorSpec]) -> dict[str, str]:
    """Return each symbolic dim with the first input that has it."""
    symbols: dict[str, str] = {}
    for spec in specs:
        for dim in spec.shape or ():
            if isinstance(dim, str):
                symbols.setdefault(dim, spec.name)
    return symbols


def _fill(spec: TensorSpec) -> str:
    """Write a shape with ones for what is open."""
    return _write(dim if isinstance(dim, int) else 1 for dim in spec.shape or ())


def _flag(name: str, value: str) -> str:
    """Write a flag as a shell takes it."""
    return f"--{name} {shlex.quote(value)}"


def _write(shape: Iterable[Dim]) -> str:
    """Write a shape as the flags have it."""
    return ",".join("?" if dim is None else str(dim) for dim in shape)
