"""Transformers of images and what they inspired: ViT-B/16, Swin-T, ConvNeXt-T."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxsplit.errors import UsageError
from samples.networks.builder import Builder, Feature, Settings
from samples.networks.transformer import HEAD_WIDTH, attend, gelu, normalise, project

_PATCH = 16
_WINDOW = 7
"""The longest side of a window of Swin."""
_SWIN_HEAD_WIDTH = 32
_MASKED = -100.0


def build_vit(settings: Settings) -> onnx.ModelProto:
    """Build ViT-B/16 (Dosovitskiy et al. 2021)."""
    net = Builder(settings)
    _require_multiple(settings, _PATCH)
    width = HEAD_WIDTH * max(1, round(12 * settings.width))
    x = net.conv(net.add_image(), width, _PATCH, "patches", stride=_PATCH, pad=0)
    count = x.size**2
    flat = net.integers("patches/flat.shape", [0, width, count])
    tokens = net.apply("Reshape", "patches/flat", [x.tensor, flat])
    tokens = net.apply("Transpose", "patches/turn", [tokens], {"perm": [0, 2, 1]})
    tokens = net.apply("Concat", "tokens", [_class_token(net, tokens, width), tokens], {"axis": 1})
    places = net.store("positions.weight", net.sample((1, count + 1, width), 0.02))
    hidden = Feature(net.apply("Add", "positions", [tokens, places]), width)
    for layer in range(settings.repeats(12)):
        name = f"layer{layer}"
        y = attend(
            net, normalise(net, hidden, f"{name}/norm1"), None, f"{name}/attention", fused=True
        )
        hidden = net.add(hidden, y, f"{name}/add1")
        y = _expand_twice(net, normalise(net, hidden, f"{name}/norm2"), f"{name}/mlp")
        hidden = net.add(hidden, y, f"{name}/add2")
    hidden = normalise(net, hidden, "norm")
    index = net.integers("first.index", 0)
    first = net.apply("Gather", "first", [hidden.tensor, index], {"axis": 1})
    y = net.dense(Feature(first, width), settings.classes, "head")
    return net.finish("vit", y, [settings.batch, settings.classes])


def _class_token(net: Builder, tokens: gs.Tensor, width: int) -> gs.Variable:
    """Repeat the learned first token for every image."""
    token = net.store("class.weight", net.sample((1, 1, width), 0.02))
    shape = net.apply("Shape", "class/shape", [tokens])
    batch = net.apply("Gather", "class/batch", [shape, net.integers("class/axis", [0])])
    rest = net.integers("class/rest", [1, width])
    target = net.apply("Concat", "class/target", [batch, rest], {"axis": 0})
    return net.apply("Expand", "class", [token, target])


def _expand_twice(net: Builder, x: Feature, name: str) -> Feature:
    """Add two projections, the inner one four times as wide."""
    y = gelu(net, project(net, x, 4 * x.channels, f"{name}/fc1"), f"{name}/gelu")
    return project(net, y, x.channels, f"{name}/fc2")


def _require_multiple(settings: Settings, factor: int) -> None:
    """Refuse images that can't be cut into patches."""
    if settings.image_size % factor:
        raise UsageError(
            f"image_size is {settings.image_size}; this network needs a multiple of {factor}."
        )


def build_convnext(settings: Settings) -> onnx.ModelProto:
    """Build ConvNeXt-T (Liu et al. 2022)."""
    net = Builder(settings)
    c = settings.channels
    x = net.conv(net.add_image(), c(96), 4, "stem", stride=4, pad=0)
    x = _normalise_channels(net, x, "stem/norm")
    stages = enumerate(zip((96, 192, 384, 768), (3, 3, 9, 3), strict=True))
    for stage, (channels, count) in stages:
        if stage > 0:
            x = _normalise_channels(net, x, f"down{stage}/norm")
            x = net.conv(x, c(channels), 2, f"down{stage}", stride=2, pad=0)
        for place in range(settings.repeats(count)):
            x = _convnext_block(net, x, f"stage{stage}.{place}")
    pooled = normalise(net, net.pool_globally(x, "pool"), "norm")
    y = net.dense(pooled, settings.classes, "head")
    return net.finish("convnext", y, [settings.batch, settings.classes])


def _turn(net: Builder, x: gs.Tensor, perm: Sequence[int], name: str) -> gs.Variable:
    """Permute axes."""
    return net.apply("Transpose", name, [x], {"perm": list(perm)})


def _normalise_channels(net: Builder, x: Feature, name: str) -> Feature:
    """Normalise over the channels at every place."""
    y = Feature(_turn(net, x.tensor, (0, 2, 3, 1), f"{name}/last"), x.channels, x.size)
    y = normalise(net, y, name)
    return Feature(_turn(net, y.tensor, (0, 3, 1, 2), f"{name}/first"), x.channels, x.size)


def _convnext_block(net: Builder, x: Feature, name: str) -> Feature:
    """Add a block: a wide depthwise kernel, then two projections with channels last."""
    y = net.conv(x, x.channels, 7, f"{name}/depthwise", groups=x.channels)
    y = Feature(_turn(net, y.tensor, (0, 2, 3, 1), f"{name}/last"), x.channels)
    y = _expand_twice(net, normalise(net, y, f"{name}/norm"), f"{name}/mlp")
    scale = net.store(f"{name}.scale", net.sample([x.channels], 0.1))
    scaled = net.apply("Mul", f"{name}/scale", [y.tensor, scale])
    y = Feature(_turn(net, scaled, (0, 3, 1, 2), f"{name}/first"), x.channels, x.size)
    return net.add(x, y, f"{name}/add")


def build_swin(settings: Settings) -> onnx.ModelProto:
    """Build Swin-T (Liu et al. 2021); a window is the largest that fits, up to 7 x 7."""
    net = Builder(settings)
    counts = (2, 2, 6, 2)
    _require_multiple(settings, 4 * 2 ** (len(counts) - 1))
    width = _SWIN_HEAD_WIDTH * max(1, round(3 * settings.width))
    x = net.conv(net.add_image(), width, 4, "patches", stride=4, pad=0)
    x = Feature(_turn(net, x.tensor, (0, 2, 3, 1), "patches/last"), width, x.size)
    x = normalise(net, x, "patches/norm")
    for stage, count in enumerate(counts):
        size = settings.image_size // 4 // 2**stage
        for place in range(settings.repeats(count)):
            x = _swin_block(
                net,
                Feature(x.tensor, x.channels, size),
                f"stage{stage}.{place}",
                shifted=place % 2 == 1,
            )
        if stage + 1 < len(counts):
            x = _merge_patches(net, Feature(x.tensor, x.channels, size), f"merge{stage}")
    x = normalise(net, x, "norm")
    pooled = net.apply("ReduceMean", "pool", [x.tensor], {"axes": [1, 2], "keepdims": 0})
    y = net.dense(Feature(pooled, x.channels), settings.classes, "head")
    return net.finish("swin", y, [settings.batch, settings.classes])


def _swin_block(net: Builder, x: Feature, name: str, *, shifted: bool) -> Feature:
    """Add attention within windows, and two projections."""
    window = max(side for side in range(1, _WINDOW + 1) if x.size % side == 0)
    shift = window // 2 if shifted and x.size > window else 0
    y = normalise(net, x, f"{name}/norm1").tensor
    y = _roll(net, y, shift, f"{name}/roll")
    y = _part_windows(net, y, x, window, f"{name}/part")
    bias = _window_bias(net, x, window, shift, f"{name}/bias")
    attended = attend(
        net,
        Feature(y, x.channels),
        bias,
        f"{name}/attention",
        fused=True,
        head_width=_SWIN_HEAD_WIDTH,
        windows=((x.size // window) ** 2, window**2),
    )
    y = _join_windows(net, attended.tensor, x, window, f"{name}/join")
    y = _roll(net, y, -shift, f"{name}/unroll")
    hidden = net.add(x, Feature(y, x.channels), f"{name}/add1")
    y = _expand_twice(net, normalise(net, hidden, f"{name}/norm2"), f"{name}/mlp")
    return net.add(hidden, y, f"{name}/add2")


def _roll(net: Builder, x: gs.Tensor, shift: int, name: str) -> gs.Tensor:
    """Move rows and columns to the front, as many as the shift; those in front go behind."""
    if shift == 0:
        return x
    bounds = {"start": shift, "none": 0, "end": np.iinfo(np.int64).max}
    start, none, end = (net.integers(f"{name}/{key}", [v]) for key, v in bounds.items())
    for axis in (1, 2):
        along = net.integers(f"{name}/axis{axis}", [axis])
        front = net.apply("Slice", f"{name}/front{axis}", [x, start, end, along])
        back = net.apply("Slice", f"{name}/back{axis}", [x, none, start, along])
        x = net.apply("Concat", f"{name}/concat{axis}", [front, back], {"axis": axis})
    return x


def _part_windows(net: Builder, x: gs.Tensor, of: Feature, window: int, name: str) -> gs.Variable:
    """Turn an image into windows, each a sequence of places."""
    side = of.size // window
    apart = net.integers(f"{name}/apart.shape", [-1, side, window, side, window, of.channels])
    y = net.apply("Reshape", f"{name}/apart", [x, apart])
    y = _turn(net, y, (0, 1, 3, 2, 4, 5), f"{name}/turn")
    return net.apply(
        "Reshape", name, [y, net.integers(f"{name}/shape", [-1, window**2, of.channels])]
    )


def _join_windows(net: Builder, x: gs.Tensor, of: Feature, window: int, name: str) -> gs.Variable:
    """Turn windows back into an image."""
    side = of.size // window
    apart = net.integers(f"{name}/apart.shape", [-1, side, side, window, window, of.channels])
    y = net.apply("Reshape", f"{name}/apart", [x, apart])
    y = _turn(net, y, (0, 1, 3, 2, 4, 5), f"{name}/turn")
    shape = net.integers(f"{name}/shape", [-1, of.size, of.size, of.channels])
    return net.apply("Reshape", name, [y, shape])


def _window_bias(net: Builder, x: Feature, window: int, shift: int, name: str) -> gs.Tensor:
    """Look up the learned bias of relative places; hide places that the roll brought together."""
    heads, count = x.channels // _SWIN_HEAD_WIDTH, window**2
    table = net.store(f"{name}.weight", net.sample(((2 * window - 1) ** 2, heads), 0.02))
    rows, columns = np.divmod(np.arange(count), window)
    apart = (rows[:, None] - rows) * (2 * window - 1) + columns[:, None] - columns
    index = net.store(f"{name}/index", apart + 2 * window * (window - 1))
    bias = net.apply("Gather", f"{name}/gather", [table, index])
    bias = _turn(net, bias, (2, 0, 1), f"{name}/turn")
    if shift == 0:
        return bias
    hidden = net.store(f"{name}.mask", _hide_strangers(x.size, window, shift))
    return net.apply("Add", f"{name}/hide", [bias, hidden])


def _hide_strangers(size: int, window: int, shift: int) -> np.ndarray:
    """Make a bias per window, (windows, 1, places, places), against pairs from far apart."""
    edges = np.digitize(np.arange(size), [size - window, size - shift])
    regions = edges[:, None] * 3 + edges
    side = size // window
    parted = regions.reshape(side, window, side, window).transpose(0, 2, 1, 3)
    placed = parted.reshape(side**2, 1, window**2)
    strange = placed[..., None] != placed[:, :, None, :]
    return np.where(strange, np.float32(_MASKED), np.float32(0))


def _merge_patches(net: Builder, x: Feature, name: str) -> Feature:
    """Join each 2 x 2 places and halve their channels."""
    side = x.size // 2
    apart = net.integers(f"{name}/apart.shape", [-1, side, 2, side, 2, x.channels])
    y = net.apply("Reshape", f"{name}/apart", [x.tensor, apart])
    y = _turn(net, y, (0, 1, 3, 4, 2, 5), f"{name}/turn")
    shape = net.integers(f"{name}/shape", [-1, side, side, 4 * x.channels])
    y = net.apply("Reshape", f"{name}/join", [y, shape])
    joined = normalise(net, Feature(y, 4 * x.channels), f"{name}/norm")
    drawn = net.sample((4 * x.channels, 2 * x.channels), 0.02)
    weight = net.store(f"{name}.weight", drawn)
    halved = net.apply("MatMul", f"{name}/reduce", [joined.tensor, weight])
    return Feature(halved, 2 * x.channels, side)
