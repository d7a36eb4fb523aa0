"""What encoding and decoding a value takes on this machine, by the element.

Small models that do nothing else are timed at two sizes; the slope between them leaves out what any
run of a model costs, for the nodes in a stage add no run.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import ml_dtypes
import numpy as np
import onnx
from onnx import helper

from onnxsplit.engines.opening import describe_environment
from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.graph import TensorSpec
from onnxsplit.model.dtypes import write_type
from onnxsplit.model.wires import (
    WireCoding,
    WireType,
    build_decoder,
    build_encoder,
    calibrate,
)
from onnxsplit.profiling.cache import ProfileCache, derive_key
from onnxsplit.profiling.instruments import Instruments
from onnxsplit.profiling.sampling import StopRule
from onnxsplit.profiling.stage_timing import take_turns

SIZES = (4096, 1_048_576)
"""Elements at which encoders and decoders are timed."""

_METHOD = "wires/1"
_IR_VERSION = 8
_BUDGET_SECONDS = 0.4
_VALUE, _WIRE = "value", "wire"


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSpeed:
    """What encoding and decoding an element takes.

    Parameters
    ----------
    encode_seconds, decode_seconds : float
        For each element.
    """

    encode_seconds: float
    decode_seconds: float

    def to_json(self) -> dict[str, float]:
        """Return the speed as the cache holds it."""
        return {"encode_seconds": self.encode_seconds, "decode_seconds": self.decode_seconds}

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Self | None:
        """Read a speed from its parsed JSON; None if it can't be read."""
        try:
            seconds = [float((document or {})[f"{way}_seconds"]) for way in ("encode", "decode")]
        except (KeyError, TypeError, ValueError):
            return None
        return cls(encode_seconds=seconds[0], decode_seconds=seconds[1])


def time_wire(
    wire: WireType,
    source: str,
    opset: int,
    options: EngineOptions,
    *,
    cache: ProfileCache | None = None,
    instruments: Instruments | None = None,
) -> WireSpeed:
    """Return what coding an element takes on this machine, from the cache if that is known.

    Parameters
    ----------
    wire : WireType
    source : str
        The element type in memory.
    opset : int
        Of the model's default domain.
    options : EngineOptions
    cache : ProfileCache, optional
    instruments : Instruments, optional

    Raises
    ------
    ModelError
        The engine can't encode or decode this type.
    """
    codings = [_build(wire, source, opset, way) for way in (build_encoder, build_decoder)]
    key = derive_key(
        method=_METHOD,
        model_sha256="".join(model.SerializeToString().hex() for model in codings),
        feeds={},
        environment=describe_environment(options),
    )
    known = WireSpeed.from_json(cache.load_document(key, "wire")) if cache else None
    if known is not None:
        return known
    instruments = instruments or Instruments(rule=StopRule(budget_seconds=_BUDGET_SECONDS))
    speed = _time(codings, wire, source, options, instruments)
    if cache:
        cache.store_document(key, "wire", speed.to_json())
    return speed


def _time(
    models: Sequence[onnx.ModelProto],
    wire: WireType,
    source: str,
    options: EngineOptions,
    instruments: Instruments,
) -> WireSpeed:
    """Time an encoder and a decoder at both sizes."""
    calls: list[Callable[[], None]] = []
    with ExitStack() as stack:
        for model, name, dtype in zip(models, (_VALUE, _WIRE), (source, wire.dtype), strict=True):
            session = stack.enter_context(
                instruments.open_session(model.SerializeToString(), options)
            )
            calls += [session.bind({name: _draw(size, dtype)}) for size in SIZES]
        small, large, less, more = (times.seconds for times in take_turns(calls, instruments))
    span = SIZES[1] - SIZES[0]
    return WireSpeed(
        encode_seconds=max(0.0, large - small) / span,
        decode_seconds=max(0.0, more - less) / span,
    )


def _build(
    wire: WireType,
    source: str,
    opset: int,
    way: Callable[[WireCoding, str, str], list[onnx.NodeProto]],
) -> onnx.ModelProto:
    """Build a model that encodes or decodes one value."""
    coding = calibrate(_VALUE, source, wire, [_draw(SIZES[0], source)])
    ends = [
        write_type(TensorSpec(name=name, dtype=dtype, shape=("n",)))
        for name, dtype in ((_VALUE, source), (_WIRE, wire.dtype))
    ]
    if way is build_decoder:
        ends.reverse()
    graph = helper.make_graph(way(coding, _WIRE, "timed"), "timed", ends[:1], ends[1:])
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION)


def _draw(elements: int, dtype: str) -> Array:
    """Draw values of an element type."""
    values = np.random.default_rng(0).normal(0, 1, elements)
    # Numpy knows bfloat16 by ml_dtypes alone.
    return values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
