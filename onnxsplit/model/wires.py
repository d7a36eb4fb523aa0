"""How a value may travel narrower than it stands in memory, and the nodes that make it so.

A cast needs nothing but a type. A quantiser maps a range of values onto integers, by a scale and a
zero point for the whole tensor: ``q = clip(round(x / scale) + zero_point)``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from onnxsplit.graph import ITEM_BYTES, TensorSpec
from onnxsplit.model.dtypes import DTYPE_NUMBERS


@dataclass(frozen=True, slots=True, kw_only=True)
class WireType:
    """An element type for travelling.

    Parameters
    ----------
    short : str
        As ``--boundary`` calls it.
    dtype : str
        ONNX's name in lower case; what a crossing's ``wire`` says.
    least_opset : int
        The first opset of the default domain that can do it.
    is_quantised : bool
        Whether it needs a scale and a zero point.
    """

    short: str
    dtype: str
    least_opset: int
    is_quantised: bool = False

    def measure(self, elements: int) -> int:
        """Return the bytes of so many elements."""
        return int(elements * ITEM_BYTES[self.dtype])


WIRE_TYPES: Mapping[str, WireType] = {
    wire.short: wire
    for wire in (
        WireType(short="fp32", dtype="float32", least_opset=6),
        WireType(short="fp16", dtype="float16", least_opset=6),
        WireType(short="bf16", dtype="bfloat16", least_opset=13),
        WireType(short="uint8", dtype="uint8", least_opset=10, is_quantised=True),
        WireType(short="int8", dtype="int8", least_opset=10, is_quantised=True),
    )
}
"""By short name; of two that cost the same the earlier is taken."""

NARROWABLE = frozenset({"float32", "float64"})
"""Element types that may travel narrower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireCoding:
    """How one tensor is encoded and decoded.

    Parameters
    ----------
    tensor : str
    source : str
        Its own element type.
    wire : WireType
    scale : float or None
        Positive; None for a cast.
    zero_point : int or None
    """

    tensor: str
    source: str
    wire: WireType
    scale: float | None = None
    zero_point: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the coding as manifests and stages hold it."""
        scaling = (
            {"scale": self.scale, "zero_point": self.zero_point} if self.wire.is_quantised else {}
        )
        return {"tensor": self.tensor, "wire": self.wire.dtype, **scaling}


def read_opset(model: onnx.ModelProto) -> int:
    """Return the opset of the default domain; 0 if the model does not use it."""
    versions = [e.version for e in model.opset_import if e.domain in {"", "ai.onnx"}]
    return max(versions, default=0)


def can_travel_as(spec: TensorSpec, wire: WireType) -> bool:
    """Tell whether a wire is narrower than a value that may be narrowed, opsets aside."""
    return (
        spec.kind == "tensor"
        and spec.dtype in NARROWABLE
        and spec.elements is not None
        and ITEM_BYTES[wire.dtype] < ITEM_BYTES[spec.dtype or ""]
    )


def calibrate(
    tensor: str, source: str, wire: WireType, values: Iterable[npt.NDArray[Any]]
) -> WireCoding:
    """Fit a coding to the values that a tensor took.

    Parameters
    ----------
    tensor, source : str
    wire : WireType
    values : iterable of ndarray
        Values that are not finite do not count.

    Returns
    -------
    WireCoding
        ``uint8`` covers the values' range, zero included; ``int8`` is symmetric around zero.
    """
    if not wire.is_quantised:
        return WireCoding(tensor=tensor, source=source, wire=wire)
    low = high = 0.0
    for array in values:
        finite = array[np.isfinite(array)]
        low = min(low, float(finite.min(initial=0.0)))
        high = max(high, float(finite.max(initial=0.0)))
    span = (high - low) / 255 if wire.dtype == "uint8" else max(high, -low) / 127
    # The scale is a float32 in the graph: it must neither vanish nor overflow there.
    scale = float(np.float32(span)) if np.finfo(np.float32).tiny < span < np.inf else 1.0
    zero = int(np.clip(np.rint(-low / scale), 0, 255)) if wire.dtype == "uint8" else 0
    return WireCoding(tensor=tensor, source=source, wire=wire, scale=scale, zero_point=zero)


def build_encoder(coding: WireCoding, target: str, prefix: str) -> list[onnx.NodeProto]:
    """Build the nodes that make the travelling value of a tensor.

    Parameters
    ----------
    coding : WireCoding
    target : str
        Name of the travelling value.
    prefix : str
        Begins the names of nodes and further values; it must be free.
    """
    if not coding.wire.is_quantised:
        return [_cast(coding.tensor, target, coding.wire.dtype, f"{prefix}/encode")]
    nodes = _build_constants(coding, prefix)
    start = coding.tensor
    if coding.source != "float32":
        start = f"{prefix}/float32"
        nodes.append(_cast(coding.tensor, start, "float32", f"{prefix}/cast"))
    operands = [start, f"{prefix}/scale", f"{prefix}/zero_point"]
    quantise = helper.make_node("QuantizeLinear", operands, [target], name=f"{prefix}/encode")
    return [*nodes, quantise]


def build_decoder(coding: WireCoding, source: str, prefix: str) -> list[onnx.NodeProto]:
    """Build the nodes that make a tensor out of its travelling value; as `build_encoder`."""
    if not coding.wire.is_quantised:
        return [_cast(source, coding.tensor, coding.source, f"{prefix}/decode")]
    end = coding.tensor if coding.source == "float32" else f"{prefix}/float32"
    operands = [source, f"{prefix}/scale", f"{prefix}/zero_point"]
    nodes = _build_constants(coding, prefix)
    nodes.append(helper.make_node("DequantizeLinear", operands, [end], name=f"{prefix}/decode"))
    if end != coding.tensor:
        nodes.append(_cast(end, coding.tensor, coding.source, f"{prefix}/cast"))
    return nodes


def _cast(source: str, target: str, dtype: str, name: str) -> onnx.NodeProto:
    """Build a cast."""
    return helper.make_node("Cast", [source], [target], name=name, to=DTYPE_NUMBERS[dtype])


def _build_constants(coding: WireCoding, prefix: str) -> list[onnx.NodeProto]:
    """Build scale and zero point; as nodes, for old models must list initializers as inputs."""
    values = {
        "scale": np.array(coding.scale, dtype=np.float32),
        "zero_point": np.array(coding.zero_point, dtype=coding.wire.dtype),
    }
    return [
        helper.make_node(
            "Constant",
            [],
            [f"{prefix}/{key}"],
            name=f"{prefix}/{key}",
            value=numpy_helper.from_array(value),
        )
        for key, value in values.items()
    ]
