"""Layers of transformers: projections, layer normalisation, attention and smooth rectifiers."""

import math
from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from samples.networks.builder import Builder, Feature

HEAD_WIDTH = 64


def project(net: Builder, x: Feature, width: int, name: str) -> Feature:
    """Add a linear map of the last axis, as MatMul and Add."""
    drawn = net.sample((x.channels, width), 1 / math.sqrt(x.channels))
    weight = net.store(f"{name}.weight", drawn)
    bias = net.store(f"{name}.bias", np.zeros(width, dtype=np.float32))
    y = net.apply("MatMul", f"{name}/matmul", [x.tensor, weight])
    return Feature(net.apply("Add", f"{name}/add", [y, bias]), width)


def normalise(net: Builder, x: Feature, name: str) -> Feature:
    """Add a layer normalisation."""
    scale = net.store(f"{name}.scale", np.ones(x.channels, dtype=np.float32))
    shift = net.store(f"{name}.shift", np.zeros(x.channels, dtype=np.float32))
    tensor = net.apply("LayerNormalization", name, [x.tensor, scale, shift], {"epsilon": 1e-5})
    return Feature(tensor, x.channels)


def attend(
    net: Builder,
    x: Feature,
    bias: gs.Tensor | None,
    name: str,
    *,
    fused: bool = False,
    cache: Sequence[gs.Tensor] = (),
    head_width: int = HEAD_WIDTH,
    windows: tuple[int, int] | None = None,
) -> Feature:
    """Add multi-head attention; fused, one projection makes queries, keys and values.

    The bias is (heads, queries, keys) or broadcasts to it. Windows, so many of so many places,
    lie behind the batch on the first axis, and each may have a bias of its own.
    """
    heads = x.channels // head_width
    if fused:
        joined = project(net, x, 3 * x.channels, f"{name}/qkv")
        sizes = net.integers(f"{name}/split.sizes", [x.channels] * 3)
        parts = net.apply_many("Split", f"{name}/split", [joined.tensor, sizes], 3, {"axis": 2})
    else:
        parts = [project(net, x, x.channels, f"{name}/{part}").tensor for part in "qkv"]
    apart = net.integers(f"{name}/heads.shape", [0, 0, heads, head_width])
    turned = [
        net.apply(
            "Transpose",
            f"{name}/{part}/transpose",
            [net.apply("Reshape", f"{name}/{part}/reshape", [tensor, apart])],
            {"perm": [0, 2, 3, 1] if part == "k" and not cache else [0, 2, 1, 3]},
        )
        for part, tensor in zip("qkv", parts, strict=True)
    ]
    if cache:
        turned[1:] = [
            net.extend_cache(new, past, heads, head_width, f"{name}/{part}")
            for part, new, past in zip("kv", turned[1:], cache, strict=True)
        ]
        turned[1] = net.apply("Transpose", f"{name}/k/turn", [turned[1]], {"perm": [0, 1, 3, 2]})
    scores = net.apply("MatMul", f"{name}/scores", turned[:2])
    scale = net.scalar(f"{name}/scale.value", math.sqrt(head_width))
    scores = net.apply("Div", f"{name}/scale", [scores, scale])
    if bias is not None:
        scores = _add_bias(net, scores, bias, heads, f"{name}/mask", windows)
    weights = net.apply("Softmax", f"{name}/softmax", [scores], {"axis": -1})
    mixed = net.apply("MatMul", f"{name}/mix", [weights, turned[2]])
    mixed = net.apply("Transpose", f"{name}/join", [mixed], {"perm": [0, 2, 1, 3]})
    together = net.integers(f"{name}/join.shape", [0, 0, x.channels])
    joined = Feature(net.apply("Reshape", f"{name}/flat", [mixed, together]), x.channels)
    return project(net, joined, x.channels, f"{name}/out")


def _add_bias(
    net: Builder,
    scores: gs.Tensor,
    bias: gs.Tensor,
    heads: int,
    name: str,
    windows: tuple[int, int] | None,
) -> gs.Variable:
    """Add a bias to scores, apart for every window where there are windows."""
    if windows is None:
        return net.apply("Add", name, [scores, bias])
    count, places = windows
    apart = net.integers(f"{name}/apart.shape", [-1, count, heads, places, places])
    together = net.integers(f"{name}/together.shape", [-1, heads, places, places])
    scores = net.apply("Reshape", f"{name}/apart", [scores, apart])
    scores = net.apply("Add", name, [scores, bias])
    return net.apply("Reshape", f"{name}/together", [scores, together])


def gelu(net: Builder, x: Feature, name: str) -> Feature:
    """Add the exact Gaussian error linear unit: x/2 (1 + erf(x / sqrt 2))."""
    y = net.apply("Div", f"{name}/div", [x.tensor, net.scalar(f"{name}/root", math.sqrt(2))])
    y = net.apply("Erf", f"{name}/erf", [y])
    y = net.apply("Add", f"{name}/add", [y, net.scalar(f"{name}/one", 1.0)])
    y = net.apply("Mul", f"{name}/mul", [x.tensor, y])
    half = net.scalar(f"{name}/half", 0.5)
    return Feature(net.apply("Mul", f"{name}/halve", [y, half]), x.channels)


def gelu_by_tanh(net: Builder, x: Feature, name: str) -> Feature:
    """Add the unit's approximation by tanh, which GPT-2 uses."""
    cube = net.apply("Pow", f"{name}/cube", [x.tensor, net.scalar(f"{name}/three", 3.0)])
    y = net.apply("Mul", f"{name}/scale", [cube, net.scalar(f"{name}/factor", 0.044715)])
    y = net.apply("Add", f"{name}/sum", [x.tensor, y])
    root = net.scalar(f"{name}/root", math.sqrt(2 / math.pi))
    y = net.apply("Tanh", f"{name}/tanh", [net.apply("Mul", f"{name}/mul", [y, root])])
    y = net.apply("Add", f"{name}/add", [y, net.scalar(f"{name}/one", 1.0)])
    y = net.apply("Mul", f"{name}/gate", [x.tensor, y])
    half = net.scalar(f"{name}/half", 0.5)
    return Feature(net.apply("Mul", f"{name}/halve", [y, half]), x.channels)
