"""Real types and sizes of every value: one run, and shape inference where nothing ran.

Note on boundary dims. A stage must accept every size that the whole model accepts, so a wrong fixed
dim at the boundary is an error, and an unknown one is not. A dim is given a number only where
inference with the model's own symbols proves it, or where the model has no free dims and the value
does not depend on data; it is given a symbol where inference names one of the inputs' symbols, or
where two runs with different sizes both agree with exactly one of them. Else it stays unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from onnxsplit.engines.narrow import NARROW_TYPES
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions, Feeds
from onnxsplit.errors import OnnxSplitError
from onnxsplit.graph import Dim, TensorSpec
from onnxsplit.model.bodies import list_makes
from onnxsplit.model.dtypes import read_type
from onnxsplit.model.inference import infer_specs
from onnxsplit.model.inputs import draw_inputs
from onnxsplit.model.loading import LoadedModel
from onnxsplit.model.sizes import SizeOptions, fix_input_specs, read_input_specs


def resolve_tensors(
    model: LoadedModel, feeds: Feeds, options: EngineOptions
) -> dict[str, TensorSpec]:
    """Learn the type and shape of every value of the top graph by running the model.

    Parameters
    ----------
    model : LoadedModel
    feeds : mapping of str to array
    options : EngineOptions
        Its optimisation level is not used: operators run as they stand, on onnxruntime.

    Returns
    -------
    dict of str to TensorSpec
        Concrete shapes; kinds other than ``tensor`` where values are sequences or optionals.

    Raises
    ------
    ModelError
        The model can't be loaded or run.

    Notes
    -----
    One traced run; a second run for values that the trace does not tell (those that no kernel of
    the model's own name makes), and inference for what neither yields.
    """
    plain = replace(options.reference, optimization="disabled")
    content = model.proto.SerializeToString()
    with open_session(content, plain, base_folder=model.base_folder, trace=True) as session:
        results = session.run(feeds)
        events = session.end_profiling()
    makes = {node.name: list_makes(node) for node in model.proto.graph.node}
    inferred = infer_specs(model, {name: describe_value(name, feeds[name]) for name in feeds})
    resolved: dict[str, TensorSpec] = {}
    for event in events:
        names = makes.get(event.operator, ())
        if len(names) == len(event.output_types):
            for name, (dtype, shape) in zip(names, event.output_types, strict=True):
                # A provider may compute float16 in float32: what the model says is what travels.
                said = inferred[name].dtype if name in inferred else None
                resolved[name] = TensorSpec(name=name, dtype=said or dtype, shape=shape)
    declared = {value.name: read_type(value.name, value.type) for value in model.proto.graph.output}
    for name, value in {**feeds, **results}.items():
        resolved[name] = describe_value(name, value, declared.get(name))
    missing = [name for names in makes.values() for name in names if name not in resolved]
    if missing:
        resolved.update(_run_for_outputs(model, feeds, plain, missing))
    # An optional that holds a tensor is traced as that tensor; its type is an optional still.
    boxed = {
        name: spec for name, spec in inferred.items() if spec.kind not in {"tensor", "unknown"}
    }
    return {**inferred, **resolved, **boxed}


def describe_value(name: str, value: Any, declared: TensorSpec | None = None) -> TensorSpec:  # noqa: ANN401 - arrays, lists, None
    """Describe what a session took or gave.

    Parameters
    ----------
    name : str
    value : array, list or None
    declared : TensorSpec, optional
        What the model says of it; decides the kind of lists and of None.
    """
    if declared is not None and declared.kind not in {"tensor", "unknown"}:
        return TensorSpec(name=name, dtype=None, shape=None, kind=declared.kind)
    if value is None:
        return TensorSpec(name=name, dtype=None, shape=None, kind="optional")
    if isinstance(value, list | tuple):
        return TensorSpec(name=name, dtype=None, shape=None, kind="sequence")
    if isinstance(value, dict):
        return TensorSpec(name=name, dtype=None, shape=None, kind="map")
    array = np.asarray(value)
    dtype = "string" if array.dtype.kind in "OUS" else _name_dtype(array.dtype)
    return TensorSpec(name=name, dtype=dtype, shape=tuple(array.shape))


def infer_tensors(model: LoadedModel, inputs: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    """Learn what can be known without running the model or reading its weights.

    Parameters
    ----------
    model : LoadedModel
    inputs : mapping of str to TensorSpec
        Concrete input shapes.
    """
    return {**infer_specs(model, inputs), **inputs}


def find_symbolic_specs(
    model: LoadedModel,
    tensors: Mapping[str, TensorSpec],
    names: Iterable[str],
    options: EngineOptions,
) -> dict[str, TensorSpec]:
    """Return types of boundary values with the model's own symbolic dims.

    Parameters
    ----------
    model : LoadedModel
    tensors : mapping of str to TensorSpec
        Concrete sizes, from `resolve_tensors`.
    names : iterable of str
        The values that are wanted.
    options : EngineOptions

    Returns
    -------
    dict of str to TensorSpec
        See the module's note on boundary dims.
    """
    wanted = list(dict.fromkeys(names))
    inputs = read_input_specs(model)
    known = infer_specs(model)
    inferred = {name: _trust(name, known.get(name), tensors[name]) for name in wanted}
    declared = {**inferred, **{name: inputs[name] for name in wanted if name in inputs}}
    vague = [name for name in wanted if None in (declared[name].shape or ())]
    symbols = {dim for spec in inputs.values() for dim in spec.shape or () if isinstance(dim, str)}
    if not vague or not symbols:
        return declared
    return {**declared, **_name_by_second_run(model, tensors, declared, vague, options)}


def _trust(name: str, inferred: TensorSpec | None, real: TensorSpec) -> TensorSpec:
    """Merge what was inferred with what was met; where they contradict, what was met wins."""
    if real.shape is None or real.kind != "tensor":
        return real
    shape = inferred.shape if inferred is not None else None
    if shape is None or len(shape) != len(real.shape):
        return TensorSpec(name=name, dtype=real.dtype, shape=(None,) * len(real.shape))
    dims = zip(shape, real.shape, strict=True)
    merged: tuple[Dim, ...] = tuple(
        None if isinstance(dim, int) and dim != met else dim for dim, met in dims
    )
    return TensorSpec(name=name, dtype=real.dtype, shape=merged)


def _name_by_second_run(
    model: LoadedModel,
    tensors: Mapping[str, TensorSpec],
    declared: Mapping[str, TensorSpec],
    vague: Sequence[str],
    options: EngineOptions,
) -> dict[str, TensorSpec]:
    """Run at other sizes, and name the dims that follow exactly one symbol."""
    first = _bind(model, tensors)
    # Different steps keep two symbols of the same size apart.
    second = {symbol: size + 1 + step for step, (symbol, size) in enumerate(sorted(first.items()))}
    try:
        specs = fix_input_specs(model, SizeOptions(dims=second))
        feeds = draw_inputs(model, specs, seed=1)
        other = _run_for_outputs(model, feeds, replace(options, optimization="disabled"), vague)
    except OnnxSplitError:
        # Not every size is a valid one; then nothing is learnt, and the dims stay unknown.
        return {}
    named: dict[str, TensorSpec] = {}
    for name in vague:
        spec, one, two = declared[name], tensors[name].shape, other[name].shape
        if spec.shape is None or one is None or two is None or len(one) != len(two):
            continue
        dims = zip(spec.shape, one, two, strict=True)
        shape = tuple(_name_dim(a, b, first, second) if dim is None else dim for dim, a, b in dims)
        named[name] = replace(spec, shape=shape)
    return named


def _name_dim(one: Dim, two: Dim, first: Mapping[str, int], second: Mapping[str, int]) -> Dim:
    """Return the one symbol that explains both sizes, or None."""
    matches = [symbol for symbol in first if first[symbol] == one and second[symbol] == two]
    return matches[0] if one != two and len(matches) == 1 else None


def _bind(model: LoadedModel, tensors: Mapping[str, TensorSpec]) -> dict[str, int]:
    """Return the size that each of the inputs' symbols had."""
    return {
        dim: met
        for name, spec in read_input_specs(model).items()
        for dim, met in zip(spec.shape or (), tensors[name].shape or (), strict=False)
        if isinstance(dim, str) and isinstance(met, int)
    }


def _run_for_outputs(
    model: LoadedModel, feeds: Feeds, options: EngineOptions, names: Sequence[str]
) -> dict[str, TensorSpec]:
    """Run once with inner values as outputs and describe them."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    present = {value.name for value in proto.graph.output}
    proto.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in present
    )
    content = proto.SerializeToString()
    with open_session(content, options, base_folder=model.base_folder) as session:
        types = {spec.name: spec for spec in session.outputs}
        results = session.run(feeds, names)
    return {name: describe_value(name, value, types.get(name)) for name, value in results.items()}


def _name_dtype(dtype: np.dtype[Any]) -> str:
    """Return an array's element type in our words, which are not always those of ml_dtypes."""
    narrow = (name for name, entry in NARROW_TYPES.items() if entry.numpy == dtype)
    return next(narrow, str(dtype.name))
