"""A decoder of the Llama family: rotary positions, grouped queries, gated SiLU, all primitives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from samples.networks.builder import Builder, Feature, Settings

_HEADS = 9
_SHARED = 3
"""Heads of keys and values; each serves as many heads of queries as it takes."""
_HEAD_WIDTH = 64
_INNER = 1536
_LAYERS = 30
_VOCABULARY = 49152
_BASE = 10_000.0
_MASKED = -1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """Sizes after scaling."""

    head: int
    inner: int

    @property
    def hidden(self) -> int:
        """Width of the stream between the layers."""
        return _HEADS * self.head


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """What follows from the places of tokens alone: turning angles, and who sees whom."""

    cosine: gs.Variable
    sine: gs.Variable
    bias: gs.Variable


def build_llama(settings: Settings) -> onnx.ModelProto:
    """Build a decoder with the sizes of SmolLM-135M, a small Llama (Touvron et al. 2023).

    Width scales the heads, whose number stays; input and output share one table.
    """
    net = Builder(settings)
    scale = settings.width
    sizes = _Sizes(
        head=max(2, 2 * round(_HEAD_WIDTH * scale / 2)), inner=max(2, round(_INNER * scale))
    )
    vocabulary = _VOCABULARY if scale == 1 else max(64, round(_VOCABULARY * scale**2))
    ids = net.add_input("input_ids", np.int64, [settings.batch, settings.sequence_length])
    words = net.store("embed.weight", net.sample((vocabulary, sizes.hidden), 0.02))
    layers = settings.repeats(_LAYERS)
    cached = settings.past_length is not None
    cache = net.add_cache(layers, _SHARED, sizes.head) if cached else [[] for _ in range(layers)]
    places = _place_tokens(net, ids, sizes.head, cache[0][0] if cached else None)
    x = net.apply("Gather", "embed", [words, ids])
    for layer in range(layers):
        name = f"layer{layer}"
        y = _normalise(net, x, sizes.hidden, f"{name}/norm1")
        y = _attend(net, y, places, sizes, f"{name}/attention", cache[layer])
        x = net.apply("Add", f"{name}/add1", [x, y])
        y = _normalise(net, x, sizes.hidden, f"{name}/norm2")
        x = net.apply("Add", f"{name}/add2", [x, _feed_forward(net, y, sizes, f"{name}/mlp")])
    x = _normalise(net, x, sizes.hidden, "norm")
    turned = net.apply("Transpose", "head/table", [words], {"perm": [1, 0]})
    logits = net.apply("MatMul", "head", [x, turned])
    return net.finish(
        "llama", Feature(logits, vocabulary), [settings.batch, settings.sequence_length, vocabulary]
    )


def _place_tokens(
    net: Builder, ids: gs.Tensor, head: int, past: gs.Tensor | None = None
) -> _Places:
    """Compute angles and the causal bias from the number of tokens, whatever it is."""
    shape = net.apply("Shape", "places/shape", [ids])
    index = net.integers("places/length.index", 1)
    length = net.apply("Gather", "places/length", [shape, index], {"axis": 0})
    zero, step = net.integers("places/start", 0), net.integers("places/step", 1)
    if past is None:
        places = seen_places = net.apply("Range", "places", [zero, length, step])
    else:
        cached = net.apply("Shape", "places/past/shape", [past])
        axis = net.integers("places/past.index", 2)
        start = net.apply("Gather", "places/past", [cached, axis], {"axis": 0})
        total = net.apply("Add", "places/total", [start, length])
        places = net.apply("Range", "places", [start, total, step])
        seen_places = net.apply("Range", "places/all", [zero, total, step])
    rows = net.apply("Unsqueeze", "places/rows", [places, net.integers("places/rows.axes", [1])])
    columns = net.apply(
        "Unsqueeze", "places/columns", [seen_places, net.integers("places/columns.axes", [0])]
    )
    seen = net.apply("GreaterOrEqual", "causal/seen", [rows, columns])
    values = [net.scalar("causal/free", 0.0), net.scalar("causal/masked", _MASKED)]
    bias = net.apply("Where", "causal/bias", [seen, *values])
    numbers = net.apply("Cast", "rotary/cast", [rows], {"to": int(onnx.TensorProto.FLOAT)})
    speeds = (_BASE ** (-np.arange(0, head, 2) / head)).astype(np.float32).reshape(1, -1)
    angles = net.apply("Mul", "rotary/angles", [numbers, net.store("rotary/speeds", speeds)])
    both = net.apply("Concat", "rotary/both", [angles, angles], {"axis": -1})
    return _Places(
        cosine=net.apply("Cos", "rotary/cos", [both]),
        sine=net.apply("Sin", "rotary/sin", [both]),
        bias=bias,
    )


def _attend(
    net: Builder,
    x: gs.Tensor,
    places: _Places,
    sizes: _Sizes,
    name: str,
    cache: Sequence[gs.Tensor] = (),
) -> gs.Variable:
    """Add causal attention, in which several heads of queries share keys and values."""
    queries = _take_heads(net, x, _HEADS, sizes, f"{name}/q")
    keys = _take_heads(net, x, _SHARED, sizes, f"{name}/k")
    values = _take_heads(net, x, _SHARED, sizes, f"{name}/v")
    queries = _rotate(net, queries, places, sizes.head, f"{name}/q/rotary")
    keys = _rotate(net, keys, places, sizes.head, f"{name}/k/rotary")
    if cache:
        keys = net.extend_cache(keys, cache[0], _SHARED, sizes.head, f"{name}/k")
        values = net.extend_cache(values, cache[1], _SHARED, sizes.head, f"{name}/v")
    keys = _share(net, keys, sizes, f"{name}/k")
    keys = net.apply("Transpose", f"{name}/k/turn", [keys], {"perm": [0, 1, 3, 2]})
    scores = net.apply("MatMul", f"{name}/scores", [queries, keys])
    scale = net.scalar(f"{name}/scale.value", 1 / math.sqrt(sizes.head))
    scores = net.apply("Mul", f"{name}/scale", [scores, scale])
    scores = net.apply("Add", f"{name}/mask", [scores, places.bias])
    weights = net.apply("Softmax", f"{name}/softmax", [scores], {"axis": -1})
    mixed = net.apply("MatMul", f"{name}/mix", [weights, _share(net, values, sizes, f"{name}/v")])
    mixed = net.apply("Transpose", f"{name}/join", [mixed], {"perm": [0, 2, 1, 3]})
    flat = net.integers(f"{name}/flat.shape", [0, 0, sizes.hidden])
    joined = net.apply("Reshape", f"{name}/flat", [mixed, flat])
    return _multiply(net, joined, (sizes.hidden, sizes.hidden), f"{name}/o")


def _take_heads(net: Builder, x: gs.Tensor, heads: int, sizes: _Sizes, name: str) -> gs.Variable:
    """Project to heads: (batch, heads, tokens, head width)."""
    y = _multiply(net, x, (sizes.hidden, heads * sizes.head), name)
    apart = net.integers(f"{name}/heads.shape", [0, 0, heads, sizes.head])
    y = net.apply("Reshape", f"{name}/heads", [y, apart])
    return net.apply("Transpose", f"{name}/transpose", [y], {"perm": [0, 2, 1, 3]})


def _rotate(net: Builder, x: gs.Tensor, places: _Places, head: int, name: str) -> gs.Variable:
    """Turn heads by their tokens' angles (Su et al., arXiv 2104.09864)."""
    sizes = net.integers(f"{name}/split.sizes", [head // 2, head // 2])
    first, second = net.apply_many("Split", f"{name}/split", [x, sizes], 2, {"axis": -1})
    negative = net.apply("Neg", f"{name}/neg", [second])
    turned = net.apply("Concat", f"{name}/concat", [negative, first], {"axis": -1})
    straight = net.apply("Mul", f"{name}/cos", [x, places.cosine])
    across = net.apply("Mul", f"{name}/sin", [turned, places.sine])
    return net.apply("Add", f"{name}/add", [straight, across])


def _share(net: Builder, x: gs.Tensor, sizes: _Sizes, name: str) -> gs.Variable:
    """Repeat each head of keys or values for the heads of queries that it serves."""
    apart = net.apply("Unsqueeze", f"{name}/apart", [x, net.integers(f"{name}/apart.axes", [2])])
    times = net.integers(f"{name}/repeat.shape", [1, 1, _HEADS // _SHARED, 1, 1])
    repeated = net.apply("Expand", f"{name}/repeat", [apart, times])
    together = net.integers(f"{name}/together.shape", [0, _HEADS, -1, sizes.head])
    return net.apply("Reshape", f"{name}/together", [repeated, together])


def _feed_forward(net: Builder, x: gs.Tensor, sizes: _Sizes, name: str) -> gs.Variable:
    """Add the gated layer: down(silu(gate(x)) * up(x))."""
    gate = _multiply(net, x, (sizes.hidden, sizes.inner), f"{name}/gate")
    open_ = net.apply("Sigmoid", f"{name}/sigmoid", [gate])
    gate = net.apply("Mul", f"{name}/silu", [gate, open_])
    up = _multiply(net, x, (sizes.hidden, sizes.inner), f"{name}/up")
    inner = net.apply("Mul", f"{name}/mul", [gate, up])
    return _multiply(net, inner, (sizes.inner, sizes.hidden), f"{name}/down")


def _normalise(net: Builder, x: gs.Tensor, width: int, name: str) -> gs.Variable:
    """Divide by the root of the mean square, and scale."""
    square = net.apply("Pow", f"{name}/square", [x, net.scalar(f"{name}/two", 2.0)])
    attributes = {"axes": [-1], "keepdims": 1}
    mean = net.apply("ReduceMean", f"{name}/mean", [square], attributes)
    mean = net.apply("Add", f"{name}/add", [mean, net.scalar(f"{name}/epsilon", 1e-5)])
    size = net.apply("Sqrt", f"{name}/sqrt", [mean])
    y = net.apply("Div", f"{name}/div", [x, size])
    scale = net.store(f"{name}.scale", 1 + net.sample([width], 0.1))
    return net.apply("Mul", f"{name}/scale", [y, scale])


def _multiply(net: Builder, x: gs.Tensor, shape: tuple[int, int], name: str) -> gs.Variable:
    """Add a linear map without bias."""
    weight = net.store(f"{name}.weight", net.sample(shape, 1 / math.sqrt(shape[0])))
    return net.apply("MatMul", f"{name}/matmul", [x, weight])
