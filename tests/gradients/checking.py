"""Hold gradients against finite differences in float64, which share no code with the rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from onnxsplit.autodiff.assembly import join_gradients
from onnxsplit.autodiff.differentiation import describe_values, differentiate
from onnxsplit.autodiff.preparation import prepare_model
from onnxsplit.model.index import index_model
from onnxsplit.model.loading import load_model
from tests.gradients.evaluator import make_evaluator

Array = NDArray[Any]
Function = Callable[[Mapping[str, Array]], float]

_STEP = 1e-4


def build_gradient_model(
    proto: onnx.ModelProto, results: Sequence[str], trained: Sequence[str]
) -> onnx.ModelProto:
    """Make the model that yields outputs and gradients; the seed of ``y`` is fed as ``seed|y``."""
    model = prepare_model(load_model(proto))
    seeds = {name: f"seed|{name}" for name in results}
    gradients = differentiate(model, of=seeds, with_respect_to=trained)
    specs = describe_values(model, index_model(model.proto))
    fed = {seed: replace(specs[name], name=seed) for name, seed in seeds.items()}
    return join_gradients(model, gradients, wanted=trained, seeds=fed)


def run_reference(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a model by onnx's own evaluator, which computes in the type of its inputs."""
    names = [value.name for value in model.graph.output]
    results = make_evaluator(model).run(None, dict(feeds))
    return dict(zip(names, map(np.asarray, results), strict=True))


def run_onnxruntime(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a model on onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def make_product(
    model: onnx.ModelProto, seeds: Mapping[str, Array]
) -> Callable[[Mapping[str, Array]], float]:
    """Return the function <seeds, results> of a model's inputs, whose gradient is wanted."""
    evaluator = make_evaluator(model)
    names = list(seeds)

    def compute(feeds: Mapping[str, Array]) -> float:
        results = evaluator.run(names, dict(feeds))
        return float(sum(np.sum(seeds[n] * r) for n, r in zip(names, results, strict=True)))

    return compute


def difference(compute: Function, feeds: Mapping[str, Array], name: str, direction: Array) -> float:
    """Return the derivative along a direction, by a stencil of fourth order."""

    def at(step: float) -> float:
        return compute({**feeds, name: feeds[name] + step * direction})

    near, far = at(_STEP) - at(-_STEP), at(2 * _STEP) - at(-2 * _STEP)
    return (8 * near - far) / (12 * _STEP)


def differentiate_by_differences(compute: Function, feeds: Mapping[str, Array], name: str) -> Array:
    """Return the gradient of a function by finite differences, one element at a time."""
    gradient = np.zeros_like(feeds[name])
    for place in np.ndindex(gradient.shape):
        direction = np.zeros_like(gradient)
        direction[place] = 1.0
        gradient[place] = difference(compute, feeds, name, direction)
    return gradient


def draw_seeds(results: Mapping[str, Array], names: Sequence[str], seed: int) -> dict[str, Array]:
    """Draw what the results are weighted by."""
    rng = np.random.default_rng(seed)
    return {
        name: np.asarray(rng.standard_normal(results[name].shape), results[name].dtype)
        for name in names
    }
