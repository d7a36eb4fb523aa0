"""MobileNetV3-Small: squeeze-and-excitation gates and hard swishes."""

from dataclasses import dataclass

import onnx

from samples.networks.builder import Builder, Feature, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """Equal blocks, of which only the first may have a stride."""

    kernel: int
    expanded: int
    channels: int
    activation: str
    gated: bool = True
    stride: int = 1
    count: int = 1


_STAGES = (
    _Stage(kernel=3, expanded=16, channels=16, activation="Relu", stride=2),
    _Stage(kernel=3, expanded=72, channels=24, activation="Relu", gated=False, stride=2),
    _Stage(kernel=3, expanded=88, channels=24, activation="Relu", gated=False),
    _Stage(kernel=5, expanded=96, channels=40, activation="HardSwish", stride=2),
    _Stage(kernel=5, expanded=240, channels=40, activation="HardSwish", count=2),
    _Stage(kernel=5, expanded=120, channels=48, activation="HardSwish"),
    _Stage(kernel=5, expanded=144, channels=48, activation="HardSwish"),
    _Stage(kernel=5, expanded=288, channels=96, activation="HardSwish", stride=2),
    _Stage(kernel=5, expanded=576, channels=96, activation="HardSwish", count=2),
)
"""Table 2 of the paper."""


def build_mobilenetv3(settings: Settings) -> onnx.ModelProto:
    """Build MobileNetV3-Small (Howard et al. 2019)."""
    net = Builder(settings)
    c = settings.channels
    x = _conv(net, net.add_image(), c(16), 3, "stem", "HardSwish", stride=2)
    for number, stage in enumerate(_STAGES, start=1):
        for place in range(settings.repeats(stage.count)):
            stride = stage.stride if place == 0 else 1
            x = _add_block(net, x, stage, f"block{number}.{place}", stride=stride)
    x = _conv(net, x, c(576), 1, "head", "HardSwish")
    x = net.dense(net.pool_globally(x, "pool"), c(1024), "fc1")
    x = _activate(net, x, "fc1/hardswish", "HardSwish")
    x = net.dense(x, settings.classes, "fc2")
    return net.finish("mobilenetv3", x, [settings.batch, settings.classes])


def _add_block(net: Builder, x: Feature, stage: _Stage, name: str, *, stride: int) -> Feature:
    """Add an inverted residual block; where it does not widen, it begins with the depthwise one."""
    wide, channels = net.settings.channels(stage.expanded), net.settings.channels(stage.channels)
    y = x if wide == x.channels else _conv(net, x, wide, 1, f"{name}/expand", stage.activation)
    y = _conv(
        net,
        y,
        wide,
        stage.kernel,
        f"{name}/depthwise",
        stage.activation,
        stride=stride,
        groups=wide,
    )
    if stage.gated:
        y = _gate(net, y, _round_to_eights(stage.expanded // 4), f"{name}/gate")
    y = net.conv_norm(y, channels, 1, f"{name}/project")
    return net.add(x, y, f"{name}/add") if stride == 1 and x.channels == channels else y


def _gate(net: Builder, x: Feature, squeezed: int, name: str) -> Feature:
    """Weigh every channel by what the channels' means say (squeeze and excitation)."""
    y = Feature(net.apply("GlobalAveragePool", f"{name}/pool", [x.tensor]), x.channels, 1)
    y = net.conv_relu(y, net.settings.channels(squeezed), 1, f"{name}/squeeze")
    y = net.conv(y, x.channels, 1, f"{name}/excite")
    attributes = {"alpha": 1 / 6, "beta": 0.5}
    weights = net.apply("HardSigmoid", f"{name}/hardsigmoid", [y.tensor], attributes)
    return Feature(net.apply("Mul", f"{name}/mul", [x.tensor, weights]), x.channels, x.size)


def _conv(
    net: Builder,
    x: Feature,
    channels: int,
    kernel: int,
    name: str,
    activation: str,
    *,
    stride: int = 1,
    groups: int = 1,
) -> Feature:
    """Add a convolution, a normalisation and an activation."""
    y = net.conv_norm(x, channels, kernel, name, stride=stride, groups=groups)
    return _activate(net, y, f"{name}/{activation.lower()}", activation)


def _activate(net: Builder, x: Feature, name: str, op_type: str) -> Feature:
    """Add an operator that works element by element."""
    return Feature(net.apply(op_type, name, [x.tensor]), x.channels, x.size)


def _round_to_eights(channels: int) -> int:
    """Round to a multiple of eight, but never down by more than a tenth, as the authors do."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
