"""Plain and early convolutional networks: LeNet, AlexNet, VGG-19, SqueezeNet, GoogLeNet, U-Net."""

import onnx

from onnxsplit.errors import UsageError
from samples.networks.builder import Builder, Feature, Settings


def build_lenet(settings: Settings) -> onnx.ModelProto:
    """Build LeNet-5 (LeCun et al. 1998) with rectifiers; it takes one channel of 32 x 32."""
    net = Builder(settings)
    x = net.add_image(channels=1)
    x = net.max_pool(net.conv_relu(x, settings.channels(6), 5, "conv1", pad=0), 2, 2, "pool1")
    x = net.max_pool(net.conv_relu(x, settings.channels(16), 5, "conv2", pad=0), 2, 2, "pool2")
    x = net.flatten(x, "flatten")
    x = net.relu(net.dense(x, settings.channels(120), "fc1"), "fc1/relu")
    x = net.relu(net.dense(x, settings.channels(84), "fc2"), "fc2/relu")
    x = net.dense(x, settings.classes, "fc3")
    return net.finish("lenet", x, [settings.batch, settings.classes])


def build_alexnet(settings: Settings) -> onnx.ModelProto:
    """Build AlexNet in the one-tower form (Krizhevsky 2014)."""
    net = Builder(settings)
    c = settings.channels
    x = net.conv_relu(net.add_image(), c(64), 11, "conv1", stride=4, pad=2)
    x = net.max_pool(x, 3, 2, "pool1")
    x = net.max_pool(net.conv_relu(x, c(192), 5, "conv2"), 3, 2, "pool2")
    x = net.conv_relu(x, c(384), 3, "conv3")
    x = net.conv_relu(x, c(256), 3, "conv4")
    x = net.max_pool(net.conv_relu(x, c(256), 3, "conv5"), 3, 2, "pool5")
    x = net.flatten(x, "flatten")
    x = net.relu(net.dense(x, c(4096), "fc6"), "fc6/relu")
    x = net.relu(net.dense(x, c(4096), "fc7"), "fc7/relu")
    x = net.dense(x, settings.classes, "fc8")
    return net.finish("alexnet", x, [settings.batch, settings.classes])


def build_vgg19(settings: Settings) -> onnx.ModelProto:
    """Build VGG-19, configuration E (Simonyan and Zisserman 2015)."""
    net = Builder(settings)
    x = net.add_image()
    stages = enumerate(zip((64, 128, 256, 512, 512), (2, 2, 4, 4, 4), strict=True), start=1)
    for stage, (channels, count) in stages:
        for place in range(1, settings.repeats(count) + 1):
            x = net.conv_relu(x, settings.channels(channels), 3, f"conv{stage}_{place}")
        x = net.max_pool(x, 2, 2, f"pool{stage}")
    x = net.flatten(x, "flatten")
    for place in (6, 7):
        x = net.relu(net.dense(x, settings.channels(4096), f"fc{place}"), f"fc{place}/relu")
    x = net.dense(x, settings.classes, "fc8")
    return net.finish("vgg19", x, [settings.batch, settings.classes])


def build_squeezenet(settings: Settings) -> onnx.ModelProto:
    """Build SqueezeNet 1.1 (Iandola et al. 2016)."""
    net = Builder(settings)
    x = net.conv_relu(net.add_image(), settings.channels(64), 3, "conv1", stride=2, pad=0)
    x = net.max_pool(x, 3, 2, "pool1", ceil=True)
    plan = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128)}
    plan |= {6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
    for place, (squeeze, expand) in plan.items():
        x = _fire(net, x, settings.channels(squeeze), settings.channels(expand), f"fire{place}")
        if place in {3, 5}:
            x = net.max_pool(x, 3, 2, f"pool{place}", ceil=True)
    x = net.conv_relu(x, settings.classes, 1, "conv10")
    x = net.pool_globally(x, "pool10")
    return net.finish("squeezenet", x, [settings.batch, settings.classes])


def _fire(net: Builder, x: Feature, squeeze: int, expand: int, name: str) -> Feature:
    """Add a fire module."""
    x = net.conv_relu(x, squeeze, 1, f"{name}/squeeze")
    one = net.conv_relu(x, expand, 1, f"{name}/expand1x1")
    three = net.conv_relu(x, expand, 3, f"{name}/expand3x3")
    return net.concat([one, three], f"{name}/concat")


_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def build_googlenet(settings: Settings) -> onnx.ModelProto:
    """Build GoogLeNet (Szegedy et al. 2015) without local normalisation and side heads."""
    net = Builder(settings)
    c = settings.channels
    x = net.conv_relu(net.add_image(), c(64), 7, "conv1", stride=2)
    x = net.max_pool(x, 3, 2, "pool1", ceil=True)
    x = net.conv_relu(net.conv_relu(x, c(64), 1, "conv2/reduce"), c(192), 3, "conv2")
    x = net.max_pool(x, 3, 2, "pool2", ceil=True)
    for name, channels in _INCEPTIONS.items():
        x = _inception(net, x, [c(count) for count in channels], f"inception{name}")
        if name in {"3b", "4e"}:
            x = net.max_pool(x, 3, 2, f"pool{name[0]}", ceil=True)
    x = net.dense(net.pool_globally(x, "pool5"), settings.classes, "fc")
    return net.finish("googlenet", x, [settings.batch, settings.classes])


def _inception(net: Builder, x: Feature, channels: list[int], name: str) -> Feature:
    """Add an inception module: four branches, joined."""
    one, reduce3, three, reduce5, five, pool = channels
    branches = [
        net.conv_relu(x, one, 1, f"{name}/1x1"),
        net.conv_relu(net.conv_relu(x, reduce3, 1, f"{name}/3x3_reduce"), three, 3, f"{name}/3x3"),
        net.conv_relu(net.conv_relu(x, reduce5, 1, f"{name}/5x5_reduce"), five, 5, f"{name}/5x5"),
        net.conv_relu(net.max_pool(x, 3, 1, f"{name}/pool", pad=1), pool, 1, f"{name}/pool_proj"),
    ]
    return net.concat(branches, f"{name}/concat")


def build_unet(settings: Settings) -> onnx.ModelProto:
    """Build U-Net (Ronneberger et al. 2015) with padding, so that skips need no cropping."""
    net = Builder(settings)
    x = net.add_image()
    skips = []
    levels = settings.repeats(4)
    if settings.image_size % 2**levels:
        raise UsageError(
            f"image_size is {settings.image_size}; a U-Net that halves it {levels} times needs a"
            f" multiple of {2**levels}."
        )
    for level in range(levels):
        x = _double(net, x, settings.channels(64 * 2**level), f"down{level}")
        skips.append(x)
        x = net.max_pool(x, 2, 2, f"down{level}/pool")
    x = _double(net, x, settings.channels(64 * 2**levels), "bottom")
    for level in reversed(range(levels)):
        x = _enlarge(net, x, settings.channels(64 * 2**level), f"up{level}/enlarge")
        x = net.concat([skips[level], x], f"up{level}/concat")
        x = _double(net, x, settings.channels(64 * 2**level), f"up{level}")
    x = net.conv(x, settings.classes, 1, "head")
    size = settings.image_size
    return net.finish("unet", x, [settings.batch, settings.classes, size, size])


def _double(net: Builder, x: Feature, channels: int, name: str) -> Feature:
    """Add two convolutions."""
    x = net.conv_norm_relu(x, channels, 3, f"{name}/a")
    return net.conv_norm_relu(x, channels, 3, f"{name}/b")


def _enlarge(net: Builder, x: Feature, channels: int, name: str) -> Feature:
    """Double height and width by a transposed convolution."""
    weight = net.draw(f"{name}.weight", [x.channels, channels, 2, 2], x.channels)
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2]}
    tensor = net.apply("ConvTranspose", name, [x.tensor, weight], attributes)
    return Feature(tensor, channels, 2 * x.size)
