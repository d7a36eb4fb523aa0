"""Hold the gradients of a whole network against finite differences along random directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxsplit.autodiff.differentiation import describe_values
from onnxsplit.autodiff.paths import find_gradient_paths
from onnxsplit.autodiff.preparation import prepare_model
from onnxsplit.model.index import index_model
from onnxsplit.model.loading import load_model
from tests.gradients.checking import (
    build_gradient_model,
    draw_seeds,
    make_product,
    run_onnxruntime,
    run_reference,
)
from tests.gradients.widening import widen

Array = NDArray[Any]

SMOOTH_STEP = 1e-4
"""For networks without kinks, where the stencil's order counts."""
KINKED_STEP = 1e-7
"""For networks with rectifiers and maxima: short, so that hardly any kink lies on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientCheck:
    """What a network's gradients were found to differ by.

    Parameters
    ----------
    parameters : int
        How many arrays were trained.
    differences : tuple of float
        For each direction the difference from finite differences, relative to the sum of the
        parameters' shares.
    narrow : float
        Largest difference of a parameter's gradient in float32 on onnxruntime from that in
        float64, relative to the larger of its norm and a thousandth of the largest norm.
    """

    parameters: int
    differences: tuple[float, ...]
    narrow: float


def list_parameters(model: onnx.ModelProto, results: Sequence[str]) -> list[str]:
    """Return the floating-point initializers, scalars apart, that the results depend on."""
    loaded = load_model(model)
    index = index_model(loaded.proto)
    names = [
        tensor.name
        for tensor in loaded.proto.graph.initializer
        if tensor.data_type in {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE} and tensor.dims
    ]
    specs = describe_values(loaded, index)
    paths = find_gradient_paths(index, specs, of=results, with_respect_to=names)
    assert not paths.missing, paths.missing
    return [name for name in names if name not in paths.unreached]


def check_network(
    model: onnx.ModelProto,
    feeds: Mapping[str, Array],
    results: Sequence[str],
    *,
    directions: int,
    step: float = SMOOTH_STEP,
) -> GradientCheck:
    """Differentiate a network with respect to all parameters and measure how far off it is.

    Parameters
    ----------
    model : onnx.ModelProto
        In float32.
    feeds : mapping of str to array
        In float32 where of floating point.
    results : sequence of str
        Outputs, weighted at random.
    directions : int
        Of finite differences. In each every parameter has about the same share, so an error in a
        small gradient shows as one in a large one does.
    step : float
        How far the parameter that moves most does.
    """
    prepared = prepare_model(load_model(model)).proto
    parameters = list_parameters(prepared, results)
    wide = widen(prepared)
    wide_feeds = {n: v.astype(np.float64) if v.dtype.kind == "f" else v for n, v in feeds.items()}
    seeds = draw_seeds(run_reference(wide, wide_feeds), results, seed=3)
    joined = build_gradient_model(wide, results, parameters)
    fed = {f"seed|{name}": value for name, value in seeds.items()}
    found = run_reference(joined, {**wide_feeds, **fed})
    gradients = {name: found[f"grad|{name}"] for name in parameters}
    rng = np.random.default_rng(11)
    differences = tuple(
        _compare_along(wide, wide_feeds, seeds, gradients, rng, step) for _ in range(directions)
    )
    return GradientCheck(
        parameters=len(parameters),
        differences=differences,
        narrow=_compare_narrow(prepared, feeds, seeds, gradients),
    )


def _compare_along(
    wide: onnx.ModelProto,
    feeds: Mapping[str, Array],
    seeds: Mapping[str, Array],
    gradients: Mapping[str, Array],
    rng: np.random.Generator,
    step: float,
) -> float:
    """Compare a derivative along one direction in the space of all parameters."""
    norms = {name: float(np.linalg.norm(value)) for name, value in gradients.items()}
    least = 1e-3 * max(norms.values())
    steps, shares = {}, []
    for name, value in gradients.items():
        drawn = rng.standard_normal(value.shape)
        steps[name] = drawn / max(norms[name], least) / np.sqrt(len(gradients))
        shares.append(float(np.sum(value * steps[name])))
    scale = 1.0 / max(float(np.max(np.abs(step))) for step in steps.values())

    def compute(length: float) -> float:
        return make_product(_move(wide, steps, length), seeds)(feeds)

    one, two = step * scale, 2 * step * scale
    near, far = compute(one) - compute(-one), compute(two) - compute(-two)
    expected = (8 * near - far) / (12 * one)
    return abs(sum(shares) - expected) / sum(map(abs, shares))


def _move(model: onnx.ModelProto, steps: Mapping[str, Array], step: float) -> onnx.ModelProto:
    """Return a copy of a model with its parameters moved along a direction."""
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    for tensor in moved.graph.initializer:
        if tensor.name in steps:
            values = onnx.numpy_helper.to_array(tensor) + step * steps[tensor.name]
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return moved


def _compare_narrow(
    prepared: onnx.ModelProto,
    feeds: Mapping[str, Array],
    seeds: Mapping[str, Array],
    gradients: Mapping[str, Array],
) -> float:
    """Compare with the same gradients in float32 on onnxruntime."""
    joined = build_gradient_model(prepared, list(seeds), list(gradients))
    onnx.checker.check_model(joined, full_check=True)
    fed = {f"seed|{name}": value.astype(np.float32) for name, value in seeds.items()}
    found = run_onnxruntime(joined, {**feeds, **fed})
    largest = max(float(np.linalg.norm(value)) for value in gradients.values())
    return max(
        float(np.linalg.norm(found[f"grad|{name}"] - value))
        / max(float(np.linalg.norm(value)), 1e-3 * largest)
        for name, value in gradients.items()
    )
