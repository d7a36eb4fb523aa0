"""Inception-v3: modules with factorised kernels."""

from collections.abc import Iterable

import onnx

from samples.networks.builder import Builder, Feature, Settings

_Layer = tuple[int, int | tuple[int, int]]
"""Channels and kernel of a convolution."""


def build_inceptionv3(settings: Settings) -> onnx.ModelProto:
    """Build Inception-v3 (Szegedy et al. 2016) without its side head."""
    net = Builder(settings)
    c = settings.channels
    x = net.conv_norm_relu(net.add_image(), c(32), 3, "stem1", stride=2, pad=0)
    x = net.conv_norm_relu(x, c(32), 3, "stem2", pad=0)
    x = net.max_pool(net.conv_norm_relu(x, c(64), 3, "stem3"), 3, 2, "pool1")
    x = net.conv_norm_relu(net.conv_norm_relu(x, c(80), 1, "stem4"), c(192), 3, "stem5", pad=0)
    x = net.max_pool(x, 3, 2, "pool2")
    for place, pooled in enumerate((32, 64, 64)):
        x = _add_square(net, x, pooled, f"mixed5.{place}")
    x = _halve_square(net, x, "mixed6.0")
    for place, channels in enumerate((128, 160, 160, 192), start=1):
        x = _add_long(net, x, channels, f"mixed6.{place}")
    x = _halve_long(net, x, "mixed7.0")
    for place in (1, 2):
        x = _add_spread(net, x, f"mixed7.{place}")
    x = net.dense(net.pool_globally(x, "pool"), settings.classes, "fc")
    return net.finish("inceptionv3", x, [settings.batch, settings.classes])


def _chain(net: Builder, x: Feature, layers: Iterable[_Layer], name: str) -> Feature:
    """Add convolutions one after another."""
    for place, (channels, kernel) in enumerate(layers):
        x = net.conv_norm_relu(x, net.settings.channels(channels), kernel, f"{name}{place}")
    return x


def _halve(net: Builder, x: Feature, channels: int, name: str) -> Feature:
    """Add a convolution that halves the size."""
    return net.conv_norm_relu(x, net.settings.channels(channels), 3, name, stride=2, pad=0)


def _pool(net: Builder, x: Feature, channels: int, name: str) -> Feature:
    """Add the branch that averages."""
    return _chain(net, net.average_pool(x, 3, 1, f"{name}/pool", pad=1), [(channels, 1)], name)


def _add_square(net: Builder, x: Feature, pooled: int, name: str) -> Feature:
    """Add a module of square kernels."""
    branches = [
        _chain(net, x, [(64, 1)], f"{name}/one"),
        _chain(net, x, [(48, 1), (64, 5)], f"{name}/five"),
        _chain(net, x, [(64, 1), (96, 3), (96, 3)], f"{name}/double"),
        _pool(net, x, pooled, f"{name}/pooled"),
    ]
    return net.concat(branches, f"{name}/concat")


def _halve_square(net: Builder, x: Feature, name: str) -> Feature:
    """Add a module of square kernels that halves the size."""
    branches = [
        _halve(net, x, 384, f"{name}/three"),
        _halve(net, _chain(net, x, [(64, 1), (96, 3)], f"{name}/double"), 96, f"{name}/last"),
        net.max_pool(x, 3, 2, f"{name}/pool"),
    ]
    return net.concat(branches, f"{name}/concat")


def _add_long(net: Builder, x: Feature, inner: int, name: str) -> Feature:
    """Add a module of kernels of 1 x 7 and 7 x 1."""
    flat, tall = (1, 7), (7, 1)
    twice: list[_Layer] = [(inner, 1), (inner, tall), (inner, flat), (inner, tall), (192, flat)]
    branches = [
        _chain(net, x, [(192, 1)], f"{name}/one"),
        _chain(net, x, [(inner, 1), (inner, flat), (192, tall)], f"{name}/seven"),
        _chain(net, x, twice, f"{name}/double"),
        _pool(net, x, 192, f"{name}/pooled"),
    ]
    return net.concat(branches, f"{name}/concat")


def _halve_long(net: Builder, x: Feature, name: str) -> Feature:
    """Add a module that halves the size after kernels of 1 x 7 and 7 x 1."""
    long: list[_Layer] = [(192, 1), (192, (1, 7)), (192, (7, 1))]
    branches = [
        _halve(net, _chain(net, x, [(192, 1)], f"{name}/three"), 320, f"{name}/three/last"),
        _halve(net, _chain(net, x, long, f"{name}/seven"), 192, f"{name}/seven/last"),
        net.max_pool(x, 3, 2, f"{name}/pool"),
    ]
    return net.concat(branches, f"{name}/concat")


def _add_spread(net: Builder, x: Feature, name: str) -> Feature:
    """Add a module whose branches end in kernels of 1 x 3 and 3 x 1 side by side."""
    three = _chain(net, x, [(384, 1)], f"{name}/three")
    double = _chain(net, x, [(448, 1), (384, 3)], f"{name}/double")
    branches = [_chain(net, x, [(320, 1)], f"{name}/one")]
    for y, branch in ((three, "three"), (double, "double")):
        branches += [
            _chain(net, y, [(384, (1, 3))], f"{name}/{branch}/flat"),
            _chain(net, y, [(384, (3, 1))], f"{name}/{branch}/tall"),
        ]
    branches.append(_pool(net, x, 192, f"{name}/pooled"))
    return net.concat(branches, f"{name}/concat")
