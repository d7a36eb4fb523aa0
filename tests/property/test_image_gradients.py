"""Random convolutions and poolings: our evaluator against onnxruntime, gradients against it."""

import sys
from typing import Any

import numpy as np
import pytest

from tests.gradients.cases import GradientCase, draw
from tests.gradients.checking import (
    build_gradient_model,
    difference,
    draw_seeds,
    make_product,
    run_onnxruntime,
    run_reference,
)

CASES_EACH = 40
_MODES = ("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def _draw_windows(rng: np.random.Generator, *, poolings: bool) -> tuple[dict[str, Any], list[int]]:
    """Draw attributes that windows have, and image sizes on which at least one fits."""
    rank = int(rng.choice([1, 2, 2, 3]))
    kernel = rng.integers(1, 4, rank)
    mode = str(rng.choice(_MODES))
    # onnxruntime refuses dilation under SAME.
    dilated = rng.random() < 0.4 and not mode.startswith("SAME")
    dilations = rng.integers(1, 4, rank) if dilated else np.ones(rank, int)
    extents = (kernel - 1) * dilations + 1
    strides = rng.integers(1, 4, rank)
    if poolings and mode.startswith("SAME"):
        strides = np.minimum(strides, kernel)  # onnxruntime fails for wider ones
    attributes: dict[str, Any] = {
        "kernel_shape": kernel.tolist(),
        "strides": strides.tolist(),
        "dilations": dilations.tolist(),
    }
    if mode == "NOTSET":
        # A pooling's padding must be less than its kernel.
        most = kernel if poolings else extents + 1
        attributes["pads"] = rng.integers(0, np.tile(most, 2)).tolist()
    else:
        attributes["auto_pad"] = mode
    return attributes, (extents + rng.integers(0, 5, rank)).tolist()


def _draw_convolution(rng: np.random.Generator) -> GradientCase:
    attributes, sizes = _draw_windows(rng, poolings=False)
    group, inner, outer = (int(count) for count in rng.integers(1, 4, 3))
    weight = (group * outer, inner, *attributes["kernel_shape"])
    batch = int(rng.integers(1, 4))
    return GradientCase(
        op_type="Conv",
        name="random",
        inputs={
            "x": draw(batch, group * inner, *sizes, seed=1),
            "w": draw(*weight, seed=2),
            **({"b": draw(weight[0], seed=3)} if rng.random() < 0.5 else {}),
        },
        attributes={**attributes, "group": group},
        batched=["x"],
    )


def _draw_transposed(rng: np.random.Generator) -> GradientCase:
    attributes, _ = _draw_windows(rng, poolings=False)
    kernel, strides = attributes["kernel_shape"], attributes["strides"]
    rank = len(kernel)
    group, inner, outer = (int(count) for count in rng.integers(1, 4, 3))
    attributes.pop("auto_pad", None)
    attributes["pads"] = rng.integers(0, np.tile(kernel, 2)).tolist()
    attributes["output_padding"] = [int(rng.integers(0, stride)) for stride in strides]
    sizes = rng.integers(3, 6, rank).tolist()
    return GradientCase(
        op_type="ConvTranspose",
        name="random",
        inputs={
            "x": draw(2, group * inner, *sizes, seed=1),
            "w": draw(group * inner, outer, *kernel, seed=2),
        },
        attributes={**attributes, "group": group},
        batched=["x"],
    )


def _draw_pooling(rng: np.random.Generator) -> GradientCase:
    attributes, sizes = _draw_windows(rng, poolings=True)
    op_type = str(rng.choice(["MaxPool", "AveragePool", "LpPool"]))
    if op_type == "LpPool" and len(sizes) == 3:
        op_type = "MaxPool"  # onnxruntime sums over other places along three axes
    # onnx and onnxruntime disagree on how many windows an LpPool has in ceil mode.
    if "auto_pad" not in attributes and op_type != "LpPool":
        attributes["ceil_mode"] = int(rng.integers(0, 2))
    if op_type == "AveragePool":
        attributes["count_include_pad"] = int(rng.integers(0, 2))
    return GradientCase(
        op_type=op_type,
        name="random",
        inputs={"x": draw(2, 2, *sizes, seed=1)},
        attributes=attributes,
        opset=19 if op_type == "AveragePool" else 18,
        batched=["x"],
    )


_DRAWN = {
    "convolutions": _draw_convolution,
    "poolings": _draw_pooling,
    "transposed": _draw_transposed,
}


@pytest.mark.parametrize("family", _DRAWN)
def test_random_operators_have_the_gradient_of_what_onnxruntime_computes(family: str) -> None:
    seed = 3
    rng = np.random.default_rng(seed)
    for place in range(CASES_EACH):
        case = _DRAWN[family](rng)
        sys.stdout.write(f"seed {seed}, case {place}: {case.op_type} {case.attributes}\n")
        _check(case, rng)


def _check(case: GradientCase, rng: np.random.Generator) -> None:
    """Hold evaluator, differences and float32 against each other."""
    model, feeds = case.make_model(np.float64), case.make_feeds(np.float64)
    narrow_feeds = case.make_feeds(np.float32)
    expected = run_reference(model, feeds)
    forward = run_onnxruntime(case.make_model(np.float32), narrow_feeds)
    np.testing.assert_allclose(forward["output0"], expected["output0"], rtol=1e-4, atol=1e-4)

    seeds = draw_seeds(expected, ["output0"], seed=7)
    fed = {f"seed|{name}": value for name, value in seeds.items()}
    trained = case.list_trained()
    sized = bool(rng.integers(0, 2))
    joined = build_gradient_model(case.make_model(np.float64, sized=sized), ["output0"], trained)
    found = run_reference(joined, {**feeds, **fed})
    narrow = run_onnxruntime(
        build_gradient_model(case.make_model(np.float32, sized=sized), ["output0"], trained),
        {**narrow_feeds, **{name: value.astype(np.float32) for name, value in fed.items()}},
    )
    compute = make_product(model, seeds)
    for name in trained:
        gradient = found[f"grad|{name}"]
        direction = rng.standard_normal(gradient.shape)
        slope = difference(compute, feeds, name, direction)
        size = max(1.0, float(np.max(np.abs(gradient), initial=0.0)))
        assert abs(np.sum(gradient * direction) - slope) < 1e-6 * size * np.sqrt(gradient.size)
        np.testing.assert_allclose(narrow[f"grad|{name}"], gradient, rtol=0, atol=1e-4 * size)
