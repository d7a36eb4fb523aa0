"""From a model file to its operator graph with real sizes: the first steps of every command."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onnxsplit.engines.port import EngineOptions, Feeds
from onnxsplit.errors import ModelError, ProfileMismatchError
from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.model.inputs import Array, check_feeds, draw_inputs, read_batches
from onnxsplit.model.loading import LoadedModel, ModelSource, check_external_data, load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import describe_value, infer_tensors, resolve_tensors
from onnxsplit.model.sizes import SizeOptions, fix_input_specs, read_input_specs
from onnxsplit.planning.costs.matching import check_identity, shares_names
from onnxsplit.profiles import Profile
from onnxsplit.progress import Progress

InputSource = str | os.PathLike[str] | Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """How the model's inputs are fixed.

    Parameters
    ----------
    shapes : mapping of str to sequence of int
        Input name to its whole shape.
    dims : mapping of str to int
        Symbolic dim to its value.
    inputs : path or mapping of str to array, optional
        An ``.npz`` file or arrays to feed; they fix the shapes as well.
    batches : int
        Sets of inputs to draw where none are given.
    seed : int
        Of the drawing.
    """

    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    inputs: InputSource | None = None
    batches: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """A model with its graph, its sizes and, where it was run, what it was fed.

    Parameters
    ----------
    model : LoadedModel
    graph : OperatorGraph
    tensors : mapping of str to TensorSpec
        Real sizes.
    batches : tuple of mapping
        Inputs; empty if the model was not run.
    source : str
        Where the inputs came from.
    """

    model: LoadedModel
    graph: OperatorGraph
    tensors: Mapping[str, TensorSpec]
    batches: tuple[Feeds, ...] = ()
    source: str = ""


def prepare_by_running(
    source: ModelSource,
    options: InputOptions,
    engine: EngineOptions,
    progress: Progress,
    *,
    profiles: Sequence[Profile] = (),
) -> PreparedModel:
    """Load a model, run it once for its real sizes, and read its graph.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    options : InputOptions
    engine : EngineOptions
    progress : Progress
    profiles : sequence of Profile
        Their input shapes fix symbolic dims that the options leave open.

    Raises
    ------
    ModelError
        The model can't be read or run.
    UnknownShapeError
        A dim has no size; the message names the flag that gives it one.
    UsageError
        An input does not fit the model.
    ProfileMismatchError
        A profile was measured at other sizes.
    """
    progress.report("reading the model")
    model = load_model(source)
    for profile in profiles:
        check_identity(profile, model.identity)
    check_external_data(model)
    batches, origin = make_batches(model, options, profiles)
    progress.report("running the model once for its sizes")
    tensors = resolve_tensors(model, batches[0], engine)
    for profile in profiles:
        _check_sizes(profile, model, tensors)
    graph = read_graph(model, tensors)
    return PreparedModel(model=model, graph=graph, tensors=tensors, batches=batches, source=origin)


def prepare_by_inference(
    source: ModelSource, options: InputOptions, progress: Progress
) -> PreparedModel:
    """Load a model and infer its sizes, without ever running it or reading external weights.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    options : InputOptions
    progress : Progress

    Raises
    ------
    ModelError, UnknownShapeError, UsageError
        As for `prepare_by_running`, but for what only running shows.
    """
    progress.report("reading the model")
    model = load_model(source)
    check_external_data(model)
    batches, origin = make_batches(model, options)
    declared = read_input_specs(model)
    specs = {name: describe_value(name, batches[0][name], declared[name]) for name in declared}
    tensors = infer_tensors(model, specs)
    graph = read_graph(model, tensors)
    return PreparedModel(model=model, graph=graph, tensors=tensors, batches=batches, source=origin)


def prepare_from_profiles(
    source: ModelSource,
    options: InputOptions,
    engine: EngineOptions,
    progress: Progress,
    *,
    profiles: Sequence[Profile],
) -> PreparedModel:
    """Load a model and read its graph; it is run only if sizes are missing and weights are there.

    Sizes are those that the profiles met while measuring, and what shape inference adds.

    Parameters
    ----------
    source, options, engine, progress, profiles
        As for `prepare_by_running`.

    Raises
    ------
    ModelError, UnknownShapeError, UsageError, ProfileMismatchError
        As for `prepare_by_running`, but weights that are missing are no error.
    """
    progress.report("reading the model")
    model = load_model(source)
    for profile in profiles:
        check_identity(profile, model.identity)
    if options.inputs is None:
        specs = fix_input_specs(model, _fill_sizes(model, options, profiles))
    else:
        batches, _ = make_batches(model, options, profiles)
        specs = {
            name: describe_value(name, batches[0][name], spec)
            for name, spec in read_input_specs(model).items()
        }
    measured = {
        name: spec
        for profile in profiles
        if shares_names(profile, model.identity)
        for name, spec in profile.tensors.items()
    }
    for profile in profiles:
        _check_sizes(profile, model, specs)
    tensors = {**infer_tensors(model, specs), **measured}
    graph = read_graph(model, tensors)
    if _has_unknown_sizes(graph):
        try:
            return prepare_by_running(source, options, engine, progress, profiles=profiles)
        except ModelError:
            # Without weights or a runtime for it the plan uses what is known: values of unknown
            # size do not cross, and the plan names them.
            pass
    return PreparedModel(model=model, graph=graph, tensors=tensors)


def make_batches(
    model: LoadedModel, options: InputOptions, profiles: Sequence[Profile] = ()
) -> tuple[tuple[Feeds, ...], str]:
    """Return sets of inputs and where they came from.

    Raises
    ------
    UsageError, UnknownShapeError, UnsupportedModelError
        They don't fit the model, a dim has no size, or a type can't be drawn.
    """
    if isinstance(options.inputs, Mapping):
        return (check_feeds(options.inputs, model, "inputs"),), "given"
    if options.inputs is not None:
        return read_batches(Path(options.inputs), model), "given"
    specs = fix_input_specs(model, _fill_sizes(model, options, profiles))
    seeds = range(options.seed, options.seed + options.batches)
    drawn = tuple(draw_inputs(model, specs, seed=seed) for seed in seeds)
    return drawn, f"drawn with seed {options.seed}"


def _fill_sizes(
    model: LoadedModel, options: InputOptions, profiles: Sequence[Profile]
) -> SizeOptions:
    """Let the profiles' input shapes fix symbolic dims that the caller left open."""
    given = SizeOptions(
        shapes={name: tuple(shape) for name, shape in options.shapes.items()}, dims=options.dims
    )
    specs = read_input_specs(model)
    bound = {dim for name in given.shapes if name in specs for dim in specs[name].shape or ()}
    learnt = {
        dim: size
        for profile in profiles
        for name, spec in specs.items()
        if name in profile.tensors
        for dim, size in zip(spec.shape or (), profile.tensors[name].shape or (), strict=False)
        if isinstance(dim, str) and isinstance(size, int) and dim not in bound
    }
    return SizeOptions(shapes=given.shapes, dims={**learnt, **given.dims})


def _check_sizes(profile: Profile, model: LoadedModel, tensors: Mapping[str, TensorSpec]) -> None:
    """Refuse a profile that was measured at other input sizes."""
    for name in read_input_specs(model):
        met, wanted = profile.tensors.get(name), tensors.get(name)
        if met is None or wanted is None or None in (met.shape, wanted.shape):
            continue
        if met.shape != wanted.shape:
            raise ProfileMismatchError(
                f"The {profile.tier} profile was measured with {name} = {list(met.shape or ())},"
                f" not {list(wanted.shape or ())}; measure again at that size."
            )


def _has_unknown_sizes(graph: OperatorGraph) -> bool:
    """Tell whether a value that might cross has no known size."""
    return any(
        spec.kind == "unknown" or (spec.kind == "tensor" and spec.size_bytes is None)
        for spec in graph.tensors.values()
        if spec.dtype != "string"
    )
