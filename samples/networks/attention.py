"""Transformers of text: BERT-like encoders and a GPT-2-like decoder."""

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxsplit.errors import UsageError
from samples.networks.builder import Builder, Feature, Settings
from samples.networks.transformer import (
    HEAD_WIDTH,
    attend,
    gelu,
    gelu_by_tanh,
    normalise,
    project,
)

_MASKED = -1e4
_CONTEXT = 1024
"""The most tokens that GPT-2 can see."""


def build_bert(settings: Settings) -> onnx.ModelProto:
    """Build an encoder like BERT-base (Devlin et al. 2019): 12 layers, width 768."""
    net = Builder(settings)
    width = HEAD_WIDTH * max(1, round(12 * settings.width))
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
    hidden = _encode(net, Feature(x, width), _mask_bias(net, mask), layers=12)
    pooled = net.apply(
        "Gather", "pooler/first", [hidden.tensor, net.integers("pooler/index", 0)], {"axis": 1}
    )
    y = net.dense(Feature(pooled, width), width, "pooler/dense")
    y = Feature(net.apply("Tanh", "pooler/tanh", [y.tensor]), width)
    return net.finish("bert", y, [settings.batch, width])


def build_distilbert(settings: Settings) -> onnx.ModelProto:
    """Build DistilBERT (Sanh et al. 2019): half of BERT's layers, no token types, no pooler."""
    net = Builder(settings)
    width = HEAD_WIDTH * max(1, round(12 * settings.width))
    shape = [settings.batch, settings.sequence_length]
    ids = net.add_input("input_ids", np.int64, shape)
    mask = net.add_input("attention_mask", np.int64, shape)
    words = _table(net, "embeddings/word.weight", _scale_vocabulary(settings, 30522), width)
    places = _table(net, "embeddings/position.weight", _limit(settings, 512), width)
    x = net.apply("Gather", "embeddings/word", [words, ids])
    x = net.apply("Add", "embeddings/add", [x, _positions(net, ids, places)])
    hidden = _encode(net, Feature(x, width), _mask_bias(net, mask), layers=6)
    return net.finish("distilbert", hidden, [*shape, width])


def _encode(net: Builder, x: Feature, bias: gs.Tensor, *, layers: int) -> Feature:
    """Normalise what is embedded and add layers that normalise after each part."""
    width = x.channels
    hidden = normalise(net, x, "embeddings/norm")
    for layer in range(net.settings.repeats(layers)):
        name = f"layer{layer}"
        attended = attend(net, hidden, bias, f"{name}/attention")
        hidden = normalise(net, net.add(hidden, attended, f"{name}/add1"), f"{name}/norm1")
        y = project(net, hidden, 4 * width, f"{name}/intermediate")
        y = project(net, gelu(net, y, f"{name}/gelu"), width, f"{name}/output")
        hidden = normalise(net, net.add(hidden, y, f"{name}/add2"), f"{name}/norm2")
    return hidden


def build_gpt2(settings: Settings) -> onnx.ModelProto:
    """Build a decoder like GPT-2 small (Radford et al. 2019); input and output share a table.

    With a cache it takes ``position_ids`` as well, as exporters have it, and each layer makes its
    own mask from what it sees, so that nothing but the hidden state goes from layer to layer.
    """
    net = Builder(settings)
    width = HEAD_WIDTH * max(1, round(12 * settings.width))
    ids = net.add_input("input_ids", np.int64, [settings.batch, settings.sequence_length])
    vocabulary = _scale_vocabulary(settings, 50257)
    words = _table(net, "wte.weight", vocabulary, width)
    places = _table(net, "wpe.weight", _limit(settings, _CONTEXT), width)
    x = net.apply("Gather", "wte", [words, ids])
    layers = settings.repeats(12)
    cache: list[list[gs.Variable]] = [[] for _ in range(layers)]
    if settings.past_length is None:
        rows, shared = _positions(net, ids, places), _causal_bias(net, ids, _store_mask(net))
    else:
        numbers = net.add_input(
            "position_ids", np.int64, [settings.batch, settings.sequence_length]
        )
        cache = net.add_cache(layers, width // HEAD_WIDTH, HEAD_WIDTH)
        rows = net.apply("Gather", "positions", [places, numbers])
        mask = _store_mask(net)
    hidden = Feature(net.apply("Add", "embed", [x, rows]), width)
    for layer in range(layers):
        name = f"h{layer}"
        y = normalise(net, hidden, f"{name}/norm1")
        bias = (
            _causal_bias(net, y.tensor, mask, f"{name}/causal", cache[layer][0])
            if cache[layer]
            else shared
        )
        y = attend(net, y, bias, f"{name}/attention", fused=True, cache=cache[layer])
        hidden = net.add(hidden, y, f"{name}/add1")
        y = project(net, normalise(net, hidden, f"{name}/norm2"), 4 * width, f"{name}/fc")
        y = project(net, gelu_by_tanh(net, y, f"{name}/gelu"), width, f"{name}/proj")
        hidden = net.add(hidden, y, f"{name}/add2")
    hidden = normalise(net, hidden, "norm")
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


def _store_mask(net: Builder) -> gs.Constant:
    """Make the causal bias for all tokens that the network can see."""
    full = np.triu(np.full((_CONTEXT, _CONTEXT), _MASKED, dtype=np.float32), k=1)
    return net.store("causal/bias", full)


def _causal_bias(
    net: Builder,
    tokens: gs.Tensor,
    mask: gs.Constant,
    name: str = "causal",
    past: gs.Tensor | None = None,
) -> gs.Variable:
    """Cut the causal bias for as many tokens as there are out of the one for all."""
    length = _length(net, tokens, name)
    starts: gs.Tensor = net.integers(f"{name}/starts", [0, 0])
    if past is not None:
        shape = net.apply("Shape", f"{name}/past/shape", [past])
        axis, zero = net.integers(f"{name}/past/axis", [2]), net.integers(f"{name}/past/zero", [0])
        before = net.apply("Gather", f"{name}/past", [shape, axis], {"axis": 0})
        starts = net.apply("Concat", f"{name}/begins", [before, zero], {"axis": 0})
        length = net.apply("Add", f"{name}/total", [before, length])
    ends = net.apply("Concat", f"{name}/ends", [length, length], {"axis": 0})
    axes = net.integers(f"{name}/axes", [0, 1])
    return net.apply("Slice", name, [mask, starts, ends, axes])
