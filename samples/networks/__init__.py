"""Well-known networks with random weights, as runnable ONNX."""

from collections.abc import Callable, Mapping

import onnx

from onnxsplit.errors import UsageError, suggest
from samples.networks import (
    attention,
    classic,
    inception,
    llama,
    mobile,
    residual,
    searched,
    vision,
)
from samples.networks.builder import Settings

_BUILDERS: Mapping[str, Callable[[Settings], onnx.ModelProto]] = {
    "alexnet": classic.build_alexnet,
    "bert": attention.build_bert,
    "convnext": vision.build_convnext,
    "densenet121": residual.build_densenet121,
    "distilbert": attention.build_distilbert,
    "efficientnet": searched.build_efficientnet,
    "googlenet": classic.build_googlenet,
    "gpt2": attention.build_gpt2,
    "inceptionv3": inception.build_inceptionv3,
    "lenet": classic.build_lenet,
    "llama": llama.build_llama,
    "mnasnet": searched.build_mnasnet,
    "mobilenetv2": residual.build_mobilenetv2,
    "mobilenetv3": mobile.build_mobilenetv3,
    "regnet": searched.build_regnet,
    "resnet18": residual.build_resnet18,
    "resnet50": residual.build_resnet50,
    "resnext50": residual.build_resnext50,
    "shufflenet": residual.build_shufflenet,
    "squeezenet": classic.build_squeezenet,
    "swin": vision.build_swin,
    "unet": classic.build_unet,
    "vgg19": classic.build_vgg19,
    "vit": vision.build_vit,
}

NAMES: tuple[str, ...] = tuple(_BUILDERS)

CACHED = ("gpt2", "llama")
"""Decoders that can be built with a key-value cache."""

_TRANSFORMERS = {"bert", "distilbert", "gpt2", "llama"}
_OWN_SIZES = {"inceptionv3": 299, "lenet": 32}
_OWN_CLASSES = {"lenet": 10, "unet": 2}
_SMALLEST_IMAGES = {"alexnet": 64, "googlenet": 64, "inceptionv3": 75, "squeezenet": 64, "swin": 64}


def build(  # noqa: PLR0913 - one argument for each size
    name: str,
    *,
    batch: int | str = 1,
    image_size: int | None = None,
    sequence_length: int | str | None = None,
    past_length: int | str | None = None,
    width: float = 1.0,
    depth: float | None = None,
    classes: int | None = None,
    seed: int = 0,
) -> onnx.ModelProto:
    """Build a network; the same arguments give the same bytes.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    batch : int or str
        A number, or the name of a symbolic dim.
    image_size : int, optional
        Height and width; the network's usual one if not given.
    sequence_length : int or str, optional
        Tokens of a transformer; a name makes them symbolic.
    past_length : int or str, optional
        Tokens in a decoder's key-value cache, which it then reads and extends.
    width, depth : float
        Factors on channels and on repeated blocks.
    classes : int, optional
    seed : int
        Of the weights.

    Raises
    ------
    UsageError
        There is no such network, it has no such size, or a size is out of range.
    """
    if name not in _BUILDERS:
        raise UsageError(f"There is no network {name!r}. {suggest(name, NAMES)}")
    if name in _TRANSFORMERS:
        _refuse(name, image_size=image_size, classes=classes)
    else:
        _refuse(name, sequence_length=sequence_length)
    if name not in CACHED:
        _refuse(name, past_length=past_length)
    settings = Settings(
        batch=batch,
        image_size=_OWN_SIZES.get(name, 224) if image_size is None else image_size,
        sequence_length=128 if sequence_length is None else sequence_length,
        past_length=past_length,
        width=width,
        depth=1.0 if depth is None else depth,
        classes=_OWN_CLASSES.get(name, 1000) if classes is None else classes,
        seed=seed,
    )
    return _BUILDERS[name](settings)


def _refuse(name: str, **sizes: int | str | None) -> None:
    """Refuse sizes that a network does not have."""
    for size, value in sizes.items():
        if value is not None:
            raise UsageError(f"{name} has no {size}; leave it out.")


def build_reduced(
    name: str, *, batch: int | str = 1, past_length: int | str | None = None
) -> onnx.ModelProto:
    """Build a network of the same topology, small enough for quick tests."""
    if name in _TRANSFORMERS:
        return build(
            name,
            batch=batch,
            sequence_length=12,
            past_length=past_length,
            width=1 / 6,
            depth=1 / 6,
        )
    size = _SMALLEST_IMAGES.get(name, 32)
    return build(name, batch=batch, image_size=size, width=1 / 8, depth=1 / 2, classes=10)
