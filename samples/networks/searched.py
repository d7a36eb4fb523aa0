"""Networks whose sizes were searched for: EfficientNet-B0, MNASNet, RegNetX."""

import math
from dataclasses import dataclass

import onnx

from samples.networks.builder import Builder, Feature, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """Inverted residual blocks, of which only the first has the stride."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    count: int


_EFFICIENT = (
    _Stage(expansion=1, kernel=3, stride=1, channels=16, count=1),
    _Stage(expansion=6, kernel=3, stride=2, channels=24, count=2),
    _Stage(expansion=6, kernel=5, stride=2, channels=40, count=2),
    _Stage(expansion=6, kernel=3, stride=2, channels=80, count=3),
    _Stage(expansion=6, kernel=5, stride=1, channels=112, count=3),
    _Stage(expansion=6, kernel=5, stride=2, channels=192, count=4),
    _Stage(expansion=6, kernel=3, stride=1, channels=320, count=1),
)
"""Table 1 of the paper."""

_MNAS = (
    _Stage(expansion=1, kernel=3, stride=1, channels=16, count=1),
    _Stage(expansion=3, kernel=3, stride=2, channels=24, count=3),
    _Stage(expansion=3, kernel=5, stride=2, channels=40, count=3),
    _Stage(expansion=6, kernel=5, stride=2, channels=80, count=3),
    _Stage(expansion=6, kernel=3, stride=1, channels=96, count=2),
    _Stage(expansion=6, kernel=5, stride=2, channels=192, count=4),
    _Stage(expansion=6, kernel=3, stride=1, channels=320, count=1),
)
"""The variant B1, as reference implementations have it."""


def build_efficientnet(settings: Settings) -> onnx.ModelProto:
    """Build EfficientNet-B0 (Tan and Le 2019)."""
    net = Builder(settings)
    x = net.conv_norm(net.add_image(), settings.channels(32), 3, "stem", stride=2)
    x = _silu(net, x, "stem")
    for number, stage in enumerate(_EFFICIENT, start=1):
        for place in range(settings.repeats(stage.count)):
            x = _efficient_block(net, x, stage, f"block{number}.{place}", first=place == 0)
    x = _silu(net, net.conv_norm(x, settings.channels(1280), 1, "head"), "head")
    x = net.dense(net.pool_globally(x, "pool"), settings.classes, "fc")
    return net.finish("efficientnet", x, [settings.batch, settings.classes])


def _efficient_block(net: Builder, x: Feature, stage: _Stage, name: str, *, first: bool) -> Feature:
    """Add an inverted residual block with a gate on its channels."""
    stride = stage.stride if first else 1
    wide, channels = stage.expansion * x.channels, net.settings.channels(stage.channels)
    y = x
    if stage.expansion > 1:
        y = _silu(net, net.conv_norm(y, wide, 1, f"{name}/expand"), f"{name}/expand")
    y = net.conv_norm(y, wide, stage.kernel, f"{name}/depthwise", stride=stride, groups=wide)
    y = _gate(net, _silu(net, y, f"{name}/depthwise"), max(1, x.channels // 4), f"{name}/gate")
    y = net.conv_norm(y, channels, 1, f"{name}/project", gain=1.4)
    return net.add(x, y, f"{name}/add") if stride == 1 and x.channels == channels else y


def _silu(net: Builder, x: Feature, name: str) -> Feature:
    """Multiply by the sigmoid."""
    gate = net.apply("Sigmoid", f"{name}/sigmoid", [x.tensor])
    return Feature(net.apply("Mul", f"{name}/silu", [x.tensor, gate]), x.channels, x.size)


def _gate(net: Builder, x: Feature, squeezed: int, name: str) -> Feature:
    """Weigh every channel by what the channels' means say (squeeze and excitation)."""
    y = Feature(net.apply("GlobalAveragePool", f"{name}/pool", [x.tensor]), x.channels, 1)
    y = _silu(net, net.conv(y, squeezed, 1, f"{name}/squeeze"), f"{name}/squeeze")
    y = net.conv(y, x.channels, 1, f"{name}/excite")
    weights = net.apply("Sigmoid", f"{name}/sigmoid", [y.tensor])
    return Feature(net.apply("Mul", f"{name}/mul", [x.tensor, weights]), x.channels, x.size)


def build_mnasnet(settings: Settings) -> onnx.ModelProto:
    """Build MNASNet 1.0 (Tan et al. 2019)."""
    net = Builder(settings)
    x = net.conv_norm_relu(net.add_image(), settings.channels(32), 3, "stem", stride=2)
    for number, stage in enumerate(_MNAS, start=1):
        for place in range(settings.repeats(stage.count)):
            x = _mnas_block(net, x, stage, f"block{number}.{place}", first=place == 0)
    x = net.conv_norm_relu(x, settings.channels(1280), 1, "head")
    x = net.dense(net.pool_globally(x, "pool"), settings.classes, "fc")
    return net.finish("mnasnet", x, [settings.batch, settings.classes])


def _mnas_block(net: Builder, x: Feature, stage: _Stage, name: str, *, first: bool) -> Feature:
    """Add an inverted residual block."""
    stride = stage.stride if first else 1
    wide, channels = stage.expansion * x.channels, net.settings.channels(stage.channels)
    y = x if stage.expansion == 1 else net.conv_norm_relu(x, wide, 1, f"{name}/expand")
    y = net.conv_norm_relu(y, wide, stage.kernel, f"{name}/depthwise", stride=stride, groups=wide)
    y = net.conv_norm(y, channels, 1, f"{name}/project")
    return net.add(x, y, f"{name}/add") if stride == 1 and x.channels == channels else y


def build_regnet(settings: Settings) -> onnx.ModelProto:
    """Build RegNetX-400MF (Radosavovic et al. 2020): bottlenecks in groups of 16 channels."""
    net = Builder(settings)
    x = net.conv_norm_relu(net.add_image(), settings.channels(32), 3, "stem", stride=2)
    stages = enumerate(zip((32, 64, 160, 400), (1, 2, 7, 12), strict=True), start=1)
    for stage, (channels, count) in stages:
        for place in range(settings.repeats(count)):
            block = f"stage{stage}.{place}"
            x = _group_block(net, x, settings.channels(channels), block, first=place == 0)
    x = net.dense(net.pool_globally(x, "pool"), settings.classes, "fc")
    return net.finish("regnet", x, [settings.batch, settings.classes])


def _group_block(net: Builder, x: Feature, channels: int, name: str, *, first: bool) -> Feature:
    """Add a residual block around a grouped convolution."""
    stride, groups = (2 if first else 1), channels // math.gcd(channels, 16)
    y = net.conv_norm_relu(x, channels, 1, f"{name}/1")
    y = net.conv_norm_relu(y, channels, 3, f"{name}/2", stride=stride, groups=groups)
    y = net.conv_norm(y, channels, 1, f"{name}/3")
    if first:
        x = net.conv_norm(x, channels, 1, f"{name}/shortcut", stride=stride)
    return net.relu(net.add(y, x, f"{name}/add"), f"{name}/relu")
