"""Transformers: a BERT-like encoder and a GPT-2-like decoder."""

import math
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxsplit.errors import UsageError
from samples.networks.builder import Builder, Feature, Settings

_HEAD_WIDTH = 64
_MASKED = -1e4
_CONTEXT = 1024
"""The most tokens that GPT-2 can see."""


def build_bert(settings: Settings) -> onnx.ModelProto:
    """Build an encoder like BERT-base (Devlin et al. 2019): 12 layers, width 768."""
    net = Builder(settings)
    width = _HEAD_WIDTH * max(1, round(12 * settings.width))
    shape = [settings.batch, settings.sequence_length]
    ids = net.add_input("input_ids", np.int64, shape)
    mask = net.add_input("attention_mask", np.int64, shape)
    words = _table(net, "embeddings/word.weight", _scale_vocabulary(settings, 30522), width)
    places = _table(net, "embeddings/position.weight", _limit(settings, 512), width)
    kinds = _table(net, "embeddings/type.weight", 2, width)
    x = net.apply("Gather", "embeddings/word", [words, ids])
    x = net.apply("Add", "embeddings/add", [x, _positions(net, ids, places)])
    first = net.apply(
        "Gather", "embeddings/type", [kinds, net.integers("embeddings/type.index", 0)]
    )
    x = net.apply("Add", "embeddings/add_type", [x, first])
    hidden = _normalise(net, Feature(x, width), "embeddings/norm")
    bias = _mask_bias(net, mask)
    for layer in range(settings.repeats(12)):
        name = f"layer{layer}"
        attended = _attend(net, hidden, bias, f"{name}/attention")
        hidden = _normalise(net, net.add(hidden, attended, f"{name}/add1"), f"{name}/norm1")
        y = _project(net, hidden, 4 * width, f"{name}/intermediate")
        y = _project(net, _gelu(net, y, f"{name}/gelu"), width, f"{name}/output")
        hidden = _normalise(net, net.add(hidden, y, f"{name}/add2"), f"{name}/norm2")
    pooled = net.apply(
        "Gather", "pooler/first", [hidden.tensor, net.integers("pooler/index", 0)], {"axis": 1}
    )
    y = net.dense(Feature(pooled, width), width, "pooler/dense")
    y = Feature(net.apply("Tanh", "pooler/tanh", [y.tensor]), width)
    return net.finish("bert", y, [settings.batch, width])


def build_gpt2(settings: Settings) -> onnx.ModelProto:
    """Build a decoder like GPT-2 small (Radford et al. 2019); input and output share a table.

    With a cache it takes ``position_ids`` as well, as exporters have it.
    """
    net = Builder(settings)
    width = _HEAD_WIDTH * max(1, round(12 * settings.width))
    ids = net.add_input("input_ids", np.int64, [settings.batch, settings.sequence_length])
    vocabulary = _scale_vocabulary(settings, 50257)
    words = _table(net, "wte.weight", vocabulary, width)
    places = _table(net, "wpe.weight", _limit(settings, _CONTEXT), width)
    x = net.apply("Gather", "wte", [words, ids])
    layers = settings.repeats(12)
    cache: list[list[gs.Variable]] = [[] for _ in range(layers)]
    if settings.past_length is None:
        rows, bias = _positions(net, ids, places), _causal_bias(net, ids)
    else:
        numbers = net.add_input(
            "position_ids", np.int64, [settings.batch, settings.sequence_length]
        )
        cache = net.add_cache(layers, width // _HEAD_WIDTH, _HEAD_WIDTH)
        rows = net.apply("Gather", "positions", [places, numbers])
        bias = _causal_bias(net, ids, cache[0][0])
    hidden = Feature(net.apply("Add", "embed", [x, rows]), width)
    for layer in range(layers):
        name = f"h{layer}"
        y = _normalise(net, hidden, f"{name}/norm1")
        y = _attend(net, y, bias, f"{name}/attention", fused=True, cache=cache[layer])
        hidden = net.add(hidden, y, f"{name}/add1")
        y = _project(net, _normalise(net, hidden, f"{name}/norm2"), 4 * width, f"{name}/fc")
        y = _project(net, _gelu_by_tanh(net, y, f"{name}/gelu"), width, f"{name}/proj")
        hidden = net.add(hidden, y, f"{name}/add2")
    hidden = _normalise(net, hidden, "norm")
    turned = net.apply("Transpose", "head/table", [words], {"perm": [1, 0]})
    logits = Feature(net.apply("MatMul", "head", [hidden.tensor, turned]), vocabulary)
    return net.finish("gpt2", logits, [settings.batch, settings.sequence_length, vocabulary])


def _scale_vocabulary(settings: Settings, words: int) -> int:
    """Scale a vocabulary with the width."""
    return words if settings.width == 1 else max(64, round(words * settings.width**2))


def _limit(settings: Settings, most: int) -> int:
    """Return the most tokens that a network can see; refuse longer sequences."""
    length = settings.sequence_length
    if isinstance(length, int) and length > most:
        raise UsageError(f"sequence_length is {length}; the network sees {most} tokens at most.")
    return most


def _table(net: Builder, name: str, rows: int, width: int) -> gs.Constant:
    """Make an embedding table with entries of the usual scale."""
    return net.store(name, net.sample((rows, width), 0.02))


def _length(net: Builder, ids: gs.Tensor, name: str) -> gs.Variable:
    """Compute the sequence length as a vector of one, by shape arithmetic as exporters write it."""
    shape = net.apply("Shape", f"{name}/shape", [ids])
    one = net.integers(f"{name}/one", [1])
    return net.apply("Gather", f"{name}/length", [shape, one], {"axis": 0})


def _positions(net: Builder, ids: gs.Tensor, table: gs.Constant) -> gs.Variable:
    """Take the first rows of a table of positions, as many as there are tokens."""
    start = net.integers("positions/start", [0])
    axes = net.integers("positions/axes", [0])
    return net.apply("Slice", "positions", [table, start, _length(net, ids, "positions"), axes])


def _mask_bias(net: Builder, mask: gs.Tensor) -> gs.Variable:
    """Turn a mask of ones and zeros into a bias on attention scores."""
    wide = net.apply("Unsqueeze", "mask/unsqueeze", [mask, net.integers("mask/axes", [1, 2])])
    cast = net.apply("Cast", "mask/cast", [wide], {"to": int(onnx.TensorProto.FLOAT)})
    gaps = net.apply("Sub", "mask/invert", [net.scalar("mask/one", 1.0), cast])
    return net.apply("Mul", "mask/bias", [gaps, net.scalar("mask/masked", _MASKED)])


def _causal_bias(net: Builder, ids: gs.Tensor, past: gs.Tensor | None = None) -> gs.Variable:
    """Cut the causal bias for as many tokens as there are out of the one for all."""
    full = np.triu(np.full((_CONTEXT, _CONTEXT), _MASKED, dtype=np.float32), k=1)
    length = _length(net, ids, "causal")
    starts: gs.Tensor = net.integers("causal/starts", [0, 0])
    if past is not None:
        shape = net.apply("Shape", "causal/past/shape", [past])
        axis, zero = net.integers("causal/past/axis", [2]), net.integers("causal/past/zero", [0])
        before = net.apply("Gather", "causal/past", [shape, axis], {"axis": 0})
        starts = net.apply("Concat", "causal/begins", [before, zero], {"axis": 0})
        length = net.apply("Add", "causal/total", [before, length])
    ends = net.apply("Concat", "causal/ends", [length, length], {"axis": 0})
    axes = net.integers("causal/axes", [0, 1])
    return net.apply("Slice", "causal", [net.store("causal/bias", full), starts, ends, axes])


def _project(net: Builder, x: Feature, width: int, name: str) -> Feature:
    """Add a linear map of the last axis, as MatMul and Add."""
    drawn = net.sample((x.channels, width), 1 / math.sqrt(x.channels))
    weight = net.store(f"{name}.weight", drawn)
    bias = net.store(f"{name}.bias", np.zeros(width, dtype=np.float32))
    y = net.apply("MatMul", f"{name}/matmul", [x.tensor, weight])
    return Feature(net.apply("Add", f"{name}/add", [y, bias]), width)


def _normalise(net: Builder, x: Feature, name: str) -> Feature:
    """Add a layer normalisation."""
    scale = net.store(f"{name}.scale", np.ones(x.channels, dtype=np.float32))
    shift = net.store(f"{name}.shift", np.zeros(x.channels, dtype=np.float32))
    tensor = net.apply("LayerNormalization", name, [x.tensor, scale, shift], {"epsilon": 1e-5})
    return Feature(tensor, x.channels)


def _attend(
    net: Builder,
    x: Feature,
    bias: gs.Tensor,
    name: str,
    *,
    fused: bool = False,
    cache: Sequence[gs.Tensor] = (),
) -> Feature:
    """Add multi-head attention; fused, one projection makes queries, keys and values."""
    heads = x.channels // _HEAD_WIDTH
    if fused:
        joined = _project(net, x, 3 * x.channels, f"{name}/qkv")
        sizes = net.integers(f"{name}/split.sizes", [x.channels] * 3)
        parts = net.apply_many("Split", f"{name}/split", [joined.tensor, sizes], 3, {"axis": 2})
    else:
        parts = [_project(net, x, x.channels, f"{name}/{part}").tensor for part in "qkv"]
    apart = net.integers(f"{name}/heads.shape", [0, 0, heads, _HEAD_WIDTH])
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
            net.extend_cache(new, past, heads, _HEAD_WIDTH, f"{name}/{part}")
            for part, new, past in zip("kv", turned[1:], cache, strict=True)
        ]
        turned[1] = net.apply("Transpose", f"{name}/k/turn", [turned[1]], {"perm": [0, 1, 3, 2]})
    scores = net.apply("MatMul", f"{name}/scores", turned[:2])
    scale = net.scalar(f"{name}/scale.value", math.sqrt(_HEAD_WIDTH))
    scores = net.apply("Div", f"{name}/scale", [scores, scale])
    scores = net.apply("Add", f"{name}/mask", [scores, bias])
    weights = net.apply("Softmax", f"{name}/softmax", [scores], {"axis": -1})
    mixed = net.apply("MatMul", f"{name}/mix", [weights, turned[2]])
    mixed = net.apply("Transpose", f"{name}/join", [mixed], {"perm": [0, 2, 1, 3]})
    together = net.integers(f"{name}/join.shape", [0, 0, x.channels])
    joined = Feature(net.apply("Reshape", f"{name}/flat", [mixed, together]), x.channels)
    return _project(net, joined, x.channels, f"{name}/out")


def _gelu(net: Builder, x: Feature, name: str) -> Feature:
    """Add the exact Gaussian error linear unit: x/2 (1 + erf(x / sqrt 2))."""
    y = net.apply("Div", f"{name}/div", [x.tensor, net.scalar(f"{name}/root", math.sqrt(2))])
    y = net.apply("Erf", f"{name}/erf", [y])
    y = net.apply("Add", f"{name}/add", [y, net.scalar(f"{name}/one", 1.0)])
    y = net.apply("Mul", f"{name}/mul", [x.tensor, y])
    half = net.scalar(f"{name}/half", 0.5)
    return Feature(net.apply("Mul", f"{name}/halve", [y, half]), x.channels)


def _gelu_by_tanh(net: Builder, x: Feature, name: str) -> Feature:
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
