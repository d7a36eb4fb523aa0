"""Layers over onnx-graphsurgeon: named operators, seeded random weights, shapes kept at hand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.logger import G_LOGGER

from onnxsplit.errors import UsageError

# The library logs to stdout, which belongs to the caller.
G_LOGGER.severity = G_LOGGER.ERROR

OPSET = 17
IR_VERSION = 9
PARAMETER_LIMIT_BYTES = 2_000_000_000
"""A model file can't exceed 2 GiB; nodes and names need some of that too."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a network may be built with.

    Parameters
    ----------
    batch : int or str
        A number, or the name of a symbolic dim.
    image_size : int
        Height and width.
    sequence_length : int or str
        Tokens; a name makes them symbolic.
    past_length : int, str or None
        Tokens in the key-value cache of a decoder, which then reads and writes one; a name makes
        them symbolic.
    width, depth : float
        Factors on channels and on repeated blocks.
    classes : int
    seed : int

    Raises
    ------
    UsageError
        A number is out of range, or a dim's name is none.
    """

    batch: int | str = 1
    image_size: int = 224
    sequence_length: int | str = 128
    past_length: int | str | None = None
    width: float = 1.0
    depth: float = 1.0
    classes: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no network can be built with."""
        for name in ("batch", "image_size", "sequence_length", "classes"):
            _check_dim(name, getattr(self, name))
        if self.past_length is not None:
            _check_dim("past_length", self.past_length)
        for name in ("width", "depth"):
            factor = getattr(self, name)
            if not (math.isfinite(factor) and factor > 0):
                raise UsageError(f"{name} is {factor}; it must be a number above 0.")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; it must be at least 0.")

    def channels(self, count: int) -> int:
        """Scale a number of channels to a multiple of four."""
        return count if self.width == 1 else max(4, 4 * round(count * self.width / 4))

    def repeats(self, count: int) -> int:
        """Scale a number of blocks."""
        return max(1, round(count * self.depth))


def _check_dim(name: str, value: int | str) -> None:
    """Refuse sizes below one, and names that are none."""
    if isinstance(value, str):
        if not value.isidentifier():
            raise UsageError(
                f"{name} is {value!r}; it must be a whole number, or a name of letters and digits."
            )
    elif value < 1:
        raise UsageError(f"{name} is {value}; it must be at least 1.")


class ConvOptions(TypedDict, total=False):
    """What may be said of a convolution beside its channels and kernel."""

    stride: int
    pad: int | None
    groups: int
    gain: float


@dataclass(frozen=True)
class Feature:
    """A value between layers, with its channels (or width) and its height."""

    tensor: gs.Tensor
    channels: int
    size: int = 0


@dataclass
class Builder:
    """Collects the operators of one network."""

    settings: Settings
    nodes: list[gs.Node] = field(default_factory=list)
    inputs: list[gs.Variable] = field(default_factory=list)
    presents: list[gs.Variable] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Seed the weights."""
        self.rng = np.random.default_rng(self.settings.seed)
        self._drawn_bytes = 0

    def add_input(self, name: str, dtype: type, shape: Sequence[int | str]) -> gs.Variable:
        """Add a model input."""
        self.inputs.append(gs.Variable(name, dtype=dtype, shape=list(shape)))
        return self.inputs[-1]

    def add_image(self, channels: int = 3) -> Feature:
        """Add an image input."""
        size = self.settings.image_size
        shape = [self.settings.batch, channels, size, size]
        return Feature(self.add_input("image", np.float32, shape), channels, size)

    def extend_cache(
        self, x: gs.Tensor, past: gs.Tensor, heads: int, width: int, name: str
    ) -> gs.Variable:
        """Put new keys or values behind those of the cache, and give both as a model output."""
        present = self.apply("Concat", f"{name}/extend", [past, x], {"axis": 2})
        present.name = past.name.replace("past_key_values", "present")
        present.dtype = np.float32
        before, new = self.settings.past_length, self.settings.sequence_length
        total = before + new if isinstance(before, int) and isinstance(new, int) else "total"
        present.shape = [self.settings.batch, heads, total, width]
        self.presents.append(present)
        return present

    def add_cache(self, layers: int, heads: int, width: int) -> list[list[gs.Variable]]:
        """Add the inputs of a key-value cache: keys and values of every layer, by usual names."""
        shape = [self.settings.batch, heads, self.settings.past_length or 0, width]
        return [
            [
                self.add_input(f"past_key_values.{layer}.{part}", np.float32, shape)
                for part in ("key", "value")
            ]
            for layer in range(layers)
        ]

    def store(self, name: str, values: Array) -> gs.Constant:
        """Make an initializer."""
        return gs.Constant(name, np.asarray(values, order="C"))

    def draw(self, name: str, shape: Sequence[int], fan_in: int) -> gs.Constant:
        """Make an initializer of He-distributed weights."""
        return self.store(name, self.sample(shape, math.sqrt(2 / fan_in)))

    def sample(self, shape: Sequence[int], deviation: float) -> Array:
        """Draw normally distributed float32 numbers, unless there are too many for a file.

        Raises
        ------
        UsageError
            The parameters no longer fit into one model file.
        """
        self._drawn_bytes += 4 * math.prod(shape)
        if self._drawn_bytes > PARAMETER_LIMIT_BYTES:
            raise UsageError(
                f"The network's parameters exceed the {PARAMETER_LIMIT_BYTES / 1e9:g} GB that a"
                " model file holds; choose a smaller width or depth."
            )
        return (self.rng.standard_normal(tuple(shape)) * deviation).astype(np.float32)

    def integers(self, name: str, values: Sequence[int] | int) -> gs.Constant:
        """Make an initializer of 64-bit integers."""
        return self.store(name, np.array(values, dtype=np.int64))

    def scalar(self, name: str, value: float) -> gs.Constant:
        """Make an initializer of one float."""
        return self.store(name, np.array(value, dtype=np.float32))

    def apply(
        self,
        op_type: str,
        name: str,
        inputs: Sequence[gs.Tensor],
        attributes: Mapping[str, Any] | None = None,
    ) -> gs.Variable:
        """Add an operator with one output."""
        return self.apply_many(op_type, name, inputs, 1, attributes)[0]

    def apply_many(
        self,
        op_type: str,
        name: str,
        inputs: Sequence[gs.Tensor],
        count: int,
        attributes: Mapping[str, Any] | None = None,
    ) -> list[gs.Variable]:
        """Add an operator with several outputs."""
        names = [f"{name}:{place}" for place in range(count)]
        outputs = [gs.Variable(output, dtype=None, shape=None) for output in names]
        node = gs.Node(
            op=op_type,
            name=name,
            attrs=dict(attributes or {}),
            inputs=list(inputs),
            outputs=outputs,
        )
        self.nodes.append(node)
        return outputs

    def conv(  # noqa: PLR0913 - the attributes of one operator
        self,
        x: Feature,
        channels: int,
        kernel: int | tuple[int, int],
        name: str,
        *,
        stride: int = 1,
        pad: int | None = None,
        groups: int = 1,
        bias: bool = True,
        gain: float = 1.0,
    ) -> Feature:
        """Add a convolution; by default it keeps the size at stride 1.

        The gain makes up for what an activation or a gate before it weakens more than Relu does.
        """
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        pads = [high // 2, wide // 2] if pad is None else [pad, pad]
        fan_in = x.channels // groups * high * wide
        shape = [channels, x.channels // groups, high, wide]
        drawn = self.sample(shape, gain * math.sqrt(2 / fan_in))
        inputs = [x.tensor, self.store(f"{name}.weight", drawn)]
        if bias:
            inputs.append(self.store(f"{name}.bias", self.sample([channels], 0.05)))
        attributes = {
            "kernel_shape": [high, wide],
            "strides": [stride, stride],
            "pads": pads * 2,
            "group": groups,
        }
        size = _slide(name, x.size + 2 * pads[0] - high, stride)
        return Feature(self.apply("Conv", name, inputs, attributes), channels, size)

    def norm(self, x: Feature, name: str) -> Feature:
        """Add a batch normalisation with statistics near those of a trained one."""
        values = {
            "scale": 1 + 0.1 * self.rng.standard_normal(x.channels),
            "shift": 0.1 * self.rng.standard_normal(x.channels),
            "mean": 0.1 * self.rng.standard_normal(x.channels),
            "variance": 1 + 0.2 * self.rng.random(x.channels),
        }
        stored = [self.store(f"{name}.{key}", v.astype(np.float32)) for key, v in values.items()]
        tensor = self.apply("BatchNormalization", name, [x.tensor, *stored], {"epsilon": 1e-5})
        return Feature(tensor, x.channels, x.size)

    def relu(self, x: Feature, name: str) -> Feature:
        """Add a rectifier."""
        return Feature(self.apply("Relu", name, [x.tensor]), x.channels, x.size)

    def conv_relu(
        self, x: Feature, channels: int, kernel: int, name: str, **options: Unpack[ConvOptions]
    ) -> Feature:
        """Add a convolution and a rectifier."""
        return self.relu(self.conv(x, channels, kernel, name, **options), f"{name}/relu")

    def conv_norm(
        self,
        x: Feature,
        channels: int,
        kernel: int | tuple[int, int],
        name: str,
        **options: Unpack[ConvOptions],
    ) -> Feature:
        """Add a convolution without bias and a normalisation."""
        made = self.conv(x, channels, kernel, f"{name}/conv", bias=False, **options)
        return self.norm(made, f"{name}/norm")

    def conv_norm_relu(
        self,
        x: Feature,
        channels: int,
        kernel: int | tuple[int, int],
        name: str,
        **options: Unpack[ConvOptions],
    ) -> Feature:
        """Add a convolution, a normalisation and a rectifier."""
        return self.relu(self.conv_norm(x, channels, kernel, name, **options), f"{name}/relu")

    def max_pool(
        self, x: Feature, kernel: int, stride: int, name: str, *, pad: int = 0, ceil: bool = False
    ) -> Feature:
        """Add a maximum pooling."""
        attributes = {
            "kernel_shape": [kernel, kernel],
            "strides": [stride, stride],
            "pads": [pad] * 4,
            "ceil_mode": int(ceil),
        }
        size = _slide(name, x.size + 2 * pad - kernel, stride, ceil=ceil)
        return Feature(self.apply("MaxPool", name, [x.tensor], attributes), x.channels, size)

    def average_pool(
        self, x: Feature, kernel: int, stride: int, name: str, *, pad: int = 0
    ) -> Feature:
        """Add an average pooling, which counts its padding."""
        attributes: dict[str, Any] = {
            "kernel_shape": [kernel, kernel],
            "strides": [stride, stride],
        }
        if pad:
            attributes |= {"pads": [pad] * 4, "count_include_pad": 1}
        size = _slide(name, x.size + 2 * pad - kernel, stride)
        return Feature(self.apply("AveragePool", name, [x.tensor], attributes), x.channels, size)

    def concat(self, parts: Sequence[Feature], name: str) -> Feature:
        """Join features along the channels."""
        tensor = self.apply("Concat", name, [part.tensor for part in parts], {"axis": 1})
        return Feature(tensor, sum(part.channels for part in parts), parts[0].size)

    def add(self, a: Feature, b: Feature, name: str) -> Feature:
        """Add two features."""
        return Feature(self.apply("Add", name, [a.tensor, b.tensor]), a.channels, a.size)

    def flatten(self, x: Feature, name: str) -> Feature:
        """Flatten all but the batch."""
        width = x.channels * max(1, x.size) ** 2
        return Feature(self.apply("Flatten", name, [x.tensor], {"axis": 1}), width)

    def pool_globally(self, x: Feature, name: str) -> Feature:
        """Average over the image and flatten."""
        pooled = Feature(self.apply("GlobalAveragePool", name, [x.tensor]), x.channels, 1)
        return self.flatten(pooled, f"{name}/flatten")

    def dense(self, x: Feature, width: int, name: str) -> Feature:
        """Add a fully connected layer."""
        weight = self.draw(f"{name}.weight", [width, x.channels], x.channels)
        bias = self.store(f"{name}.bias", np.zeros(width, dtype=np.float32))
        tensor = self.apply("Gemm", name, [x.tensor, weight, bias], {"transB": 1})
        return Feature(tensor, width)

    def finish(self, name: str, output: Feature, shape: Sequence[int | str]) -> onnx.ModelProto:
        """Make the model, with ``output`` as its output, before those of a cache."""
        result = output.tensor
        result.name = "logits"
        result.dtype = np.float32
        result.shape = list(shape)
        graph = gs.Graph(
            nodes=self.nodes,
            inputs=self.inputs,
            outputs=[result, *self.presents],
            name=name,
            opset=OPSET,
        )
        model: onnx.ModelProto = gs.export_onnx(graph, do_type_check=False)
        model.ir_version = IR_VERSION
        model.producer_name = "onnxsplit samples"
        return model


def _slide(name: str, span: int, stride: int, *, ceil: bool = False) -> int:
    """Return how many places a window has that slides over a span."""
    if span < 0:
        raise UsageError(
            f"The image is too small: nothing of it is left at {name!r}; choose a larger one."
        )
    return (span + (stride - 1 if ceil else 0)) // stride + 1
