"""Networks with skips: ResNet-18 and -50, ResNeXt, DenseNet-121, MobileNetV2, ShuffleNetV2."""

import math

import onnx

from samples.networks.builder import Builder, Feature, Settings

_STAGES = (64, 128, 256, 512)


def build_resnet18(settings: Settings) -> onnx.ModelProto:
    """Build ResNet-18 (He et al. 2016)."""
    return _build_resnet("resnet18", settings, (2, 2, 2, 2), expansion=1)


def build_resnet50(settings: Settings) -> onnx.ModelProto:
    """Build ResNet-50 (He et al. 2016), with the stride in the 3x3 convolution."""
    return _build_resnet("resnet50", settings, (3, 4, 6, 3), expansion=4)


def build_resnext50(settings: Settings) -> onnx.ModelProto:
    """Build ResNeXt-50 32x4d (Xie et al. 2017): bottlenecks twice as wide, in 32 groups."""
    return _build_resnet("resnext50", settings, (3, 4, 6, 3), expansion=4, groups=32)


def _build_resnet(
    name: str, settings: Settings, counts: tuple[int, ...], *, expansion: int, groups: int = 1
) -> onnx.ModelProto:
    """Build a residual network of basic blocks or bottlenecks."""
    net = Builder(settings)
    grouped = groups > 1
    x = net.conv_norm_relu(net.add_image(), settings.channels(64), 7, "stem", stride=2)
    x = net.max_pool(x, 3, 2, "stem/pool", pad=1)
    for stage, (channels, count) in enumerate(zip(_STAGES, counts, strict=True), start=1):
        for place in range(settings.repeats(count)):
            stride = 2 if stage > 1 and place == 0 else 1
            outer = settings.channels(channels) * expansion
            inner = settings.channels(2 * channels if grouped else channels)
            shared = math.gcd(inner, settings.channels(groups)) if grouped else 1
            block = f"layer{stage}.{place}"
            x = _residual(net, x, inner, outer, block, stride=stride, groups=shared)
    x = net.dense(net.pool_globally(x, "pool"), settings.classes, "fc")
    return net.finish(name, x, [settings.batch, settings.classes])


def _residual(
    net: Builder,
    x: Feature,
    inner: int,
    outer: int,
    name: str,
    *,
    stride: int,
    groups: int = 1,
) -> Feature:
    """Add a residual block: two 3x3 convolutions, or a bottleneck where it widens."""
    if inner == outer:
        y = net.conv_norm_relu(x, inner, 3, f"{name}/1", stride=stride)
        y = net.conv_norm(y, outer, 3, f"{name}/2")
    else:
        y = net.conv_norm_relu(x, inner, 1, f"{name}/1")
        y = net.conv_norm_relu(y, inner, 3, f"{name}/2", stride=stride, groups=groups)
        y = net.conv_norm(y, outer, 1, f"{name}/3")
    if stride > 1 or x.channels != outer:
        x = net.conv_norm(x, outer, 1, f"{name}/shortcut", stride=stride)
    return net.relu(net.add(y, x, f"{name}/add"), f"{name}/relu")


def build_densenet121(settings: Settings) -> onnx.ModelProto:
    """Build DenseNet-121 (Huang et al. 2017)."""
    net = Builder(settings)
    growth = settings.channels(32)
    x = net.conv_norm_relu(net.add_image(), settings.channels(64), 7, "stem", stride=2)
    x = net.max_pool(x, 3, 2, "stem/pool", pad=1)
    counts = [settings.repeats(count) for count in (6, 12, 24, 16)]
    for block, count in enumerate(counts, start=1):
        for place in range(count):
            x = _dense_layer(net, x, growth, f"block{block}.{place}")
        if block < len(counts):
            y = net.relu(net.norm(x, f"transition{block}/norm"), f"transition{block}/relu")
            y = net.conv(y, x.channels // 2, 1, f"transition{block}/conv", bias=False)
            x = net.average_pool(y, 2, 2, f"transition{block}/pool")
    x = net.relu(net.norm(x, "final/norm"), "final/relu")
    x = net.dense(net.pool_globally(x, "pool"), settings.classes, "fc")
    return net.finish("densenet121", x, [settings.batch, settings.classes])


def _dense_layer(net: Builder, x: Feature, growth: int, name: str) -> Feature:
    """Add a layer whose output joins all that came before."""
    y = net.relu(net.norm(x, f"{name}/norm1"), f"{name}/relu1")
    y = net.conv(y, 4 * growth, 1, f"{name}/conv1", bias=False)
    y = net.relu(net.norm(y, f"{name}/norm2"), f"{name}/relu2")
    y = net.conv(y, growth, 3, f"{name}/conv2", bias=False)
    return net.concat([x, y], f"{name}/concat")


_INVERTED = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of MobileNetV2's stages."""


def build_mobilenetv2(settings: Settings) -> onnx.ModelProto:
    """Build MobileNetV2 (Sandler et al. 2018)."""
    net = Builder(settings)
    x = _conv_relu6(net, net.add_image(), settings.channels(32), 3, "stem", stride=2)
    for stage, (expansion, channels, count, stride) in enumerate(_INVERTED, start=1):
        for place in range(settings.repeats(count)):
            step = stride if place == 0 else 1
            block = f"block{stage}.{place}"
            x = _invert(net, x, expansion, settings.channels(channels), block, stride=step)
    x = _conv_relu6(net, x, settings.channels(1280), 1, "head")
    x = net.dense(net.pool_globally(x, "pool"), settings.classes, "fc")
    return net.finish("mobilenetv2", x, [settings.batch, settings.classes])


def _invert(
    net: Builder, x: Feature, expansion: int, channels: int, name: str, *, stride: int
) -> Feature:
    """Add an inverted residual block."""
    wide = expansion * x.channels
    y = x if expansion == 1 else _conv_relu6(net, x, wide, 1, f"{name}/expand")
    y = _conv_relu6(net, y, wide, 3, f"{name}/depthwise", stride=stride, groups=wide)
    y = net.conv_norm(y, channels, 1, f"{name}/project")
    return net.add(x, y, f"{name}/add") if stride == 1 and x.channels == channels else y


def _conv_relu6(
    net: Builder,
    x: Feature,
    channels: int,
    kernel: int,
    name: str,
    *,
    stride: int = 1,
    groups: int = 1,
) -> Feature:
    """Add a convolution, a normalisation and a rectifier that ends at six."""
    y = net.conv_norm(x, channels, kernel, name, stride=stride, groups=groups)
    limits = [net.scalar(f"{name}/clip.min", 0.0), net.scalar(f"{name}/clip.max", 6.0)]
    return Feature(net.apply("Clip", f"{name}/clip", [y.tensor, *limits]), channels, y.size)


def build_shufflenet(settings: Settings) -> onnx.ModelProto:
    """Build ShuffleNetV2 1.0x (Ma et al. 2018)."""
    net = Builder(settings)
    c = settings.channels
    x = net.conv_norm_relu(net.add_image(), c(24), 3, "stem", stride=2)
    x = net.max_pool(x, 3, 2, "stem/pool", pad=1)
    for stage, (channels, count) in enumerate(((116, 4), (232, 8), (464, 4)), start=2):
        x = _shuffle_down(net, x, 2 * (c(channels) // 2), f"stage{stage}.0")
        for place in range(1, settings.repeats(count)):
            x = _shuffle_keep(net, x, f"stage{stage}.{place}")
    x = net.conv_norm_relu(x, c(1024), 1, "head")
    x = net.dense(net.pool_globally(x, "pool"), settings.classes, "fc")
    return net.finish("shufflenet", x, [settings.batch, settings.classes])


def _shuffle_down(net: Builder, x: Feature, channels: int, name: str) -> Feature:
    """Add a unit that halves the size: both branches convolve."""
    half = channels // 2
    left = net.conv_norm(x, x.channels, 3, f"{name}/left1", stride=2, groups=x.channels)
    left = net.conv_norm_relu(left, half, 1, f"{name}/left2")
    right = net.conv_norm_relu(x, half, 1, f"{name}/right1")
    right = net.conv_norm(right, half, 3, f"{name}/right2", stride=2, groups=half)
    right = net.conv_norm_relu(right, half, 1, f"{name}/right3")
    return _shuffle(net, net.concat([left, right], f"{name}/concat"), name)


def _shuffle_keep(net: Builder, x: Feature, name: str) -> Feature:
    """Add a unit that keeps the size: one half passes, the other convolves."""
    half = x.channels // 2
    sizes = net.integers(f"{name}/split.sizes", [half, half])
    parts = net.apply_many("Split", f"{name}/split", [x.tensor, sizes], 2, {"axis": 1})
    left, right = (Feature(part, half, x.size) for part in parts)
    right = net.conv_norm_relu(right, half, 1, f"{name}/right1")
    right = net.conv_norm(right, half, 3, f"{name}/right2", groups=half)
    right = net.conv_norm_relu(right, half, 1, f"{name}/right3")
    return _shuffle(net, net.concat([left, right], f"{name}/concat"), name)


def _shuffle(net: Builder, x: Feature, name: str) -> Feature:
    """Interleave the channels of the two halves."""
    apart = net.integers(f"{name}/apart.shape", [0, 2, x.channels // 2, x.size, x.size])
    together = net.integers(f"{name}/together.shape", [0, x.channels, x.size, x.size])
    y = net.apply("Reshape", f"{name}/apart", [x.tensor, apart])
    y = net.apply("Transpose", f"{name}/interleave", [y], {"perm": [0, 2, 1, 3, 4]})
    return Feature(net.apply("Reshape", f"{name}/together", [y, together]), x.channels, x.size)
