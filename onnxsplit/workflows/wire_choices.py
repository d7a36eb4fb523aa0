"""Wires that each tensor may travel on: what the opset allows, what fits, and what coding takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from onnxsplit.errors import UsageError
from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.model.wires import WIRE_TYPES, WireType, can_travel_as, read_opset
from onnxsplit.parity.verification import find_random_outputs
from onnxsplit.planning.costs.question import WireFormat
from onnxsplit.profiling.cache import ProfileCache
from onnxsplit.profiling.wire_timing import WireSpeed, time_wire
from onnxsplit.workflows.boundary_options import AUTO
from onnxsplit.workflows.inquiries import Inquiry


def find_types(asked: str, opset: int) -> tuple[list[WireType], list[str]]:
    """Return the wires that the model's opset allows, and say which it does not."""
    wanted = list(WIRE_TYPES.values()) if asked == AUTO else [WIRE_TYPES[asked]]
    types = [wire for wire in wanted if wire.least_opset <= opset]
    missing = [wire for wire in wanted if wire.least_opset > opset]
    if missing and asked != AUTO:
        raise UsageError(
            f"--boundary {asked} needs opset {missing[0].least_opset} or later, and the model has"
            f" opset {opset}; choose another boundary, or convert the model."
        )
    notes = [
        f"{wire.short} was not tried at the boundary: it needs opset {wire.least_opset}, and the"
        f" model has {opset}."
        for wire in missing
    ]
    return types, notes


def list_choices(
    inquiry: Inquiry, types: Sequence[WireType], asked: str
) -> dict[str, list[WireFormat | None]]:
    """List the wires that each tensor made by an operator may take."""
    question = inquiry.question
    graph = question.graph
    held = _find_unjudged(graph) | {s.present for s in question.places.states}
    choices: dict[str, list[WireFormat | None]] = {}
    price = _Pricing(inquiry=inquiry)
    for operator in graph:
        for tensor in operator.outputs:
            spec = graph.tensors[tensor]
            fitting = [wire for wire in types if can_travel_as(spec, wire)]
            if tensor in held or not fitting:
                continue
            formats: list[WireFormat | None] = [price.describe(wire, spec) for wire in fitting]
            # What is asked for is taken; of all that is possible the cheapest.
            choices[tensor] = [None, *formats] if asked == AUTO else formats
    return choices


def _find_unjudged(graph: OperatorGraph) -> set[str]:
    """Return the tensors that lead to random outputs: no drift can be measured there."""
    unjudged = set(find_random_outputs(graph))
    for operator in reversed(graph.operators):
        if any(tensor in unjudged for tensor in operator.outputs):
            unjudged.update(operator.inputs)
    return unjudged


@dataclass(slots=True, kw_only=True)
class _Pricing:
    """Describes wires by what coding takes here, scaled to the tiers that are this machine."""

    inquiry: Inquiry
    speeds: dict[tuple[str, str], WireSpeed] = field(default_factory=dict)

    def describe(self, wire: WireType, spec: TensorSpec) -> WireFormat:
        """Describe how a tensor travels on a wire."""
        elements, dtype = spec.elements or 0, spec.dtype or ""
        if (wire.dtype, dtype) not in self.speeds:
            self.speeds[wire.dtype, dtype] = self._time(wire, dtype)
        speed, grounds = self.speeds[wire.dtype, dtype], self.inquiry.grounds
        tiers = grounds.topology.tiers
        senders = min(grounds.speeds.get(tier, 1.0) for tier in tiers[:-1])
        takers = min(grounds.speeds.get(tier, 1.0) for tier in tiers[1:])
        return WireFormat(
            name=wire.dtype,
            size_bytes=wire.measure(elements),
            send_seconds=elements * speed.encode_seconds / senders,
            receive_seconds=elements * speed.decode_seconds / takers,
        )

    def _time(self, wire: WireType, dtype: str) -> WireSpeed:
        """Time coding, once for each pair of types."""
        measuring = self.inquiry.request.measuring
        return time_wire(
            wire,
            dtype,
            read_opset(self.inquiry.grounds.prepared.model.proto),
            measuring.engine,
            cache=ProfileCache.locate() if measuring.cache else None,
        )
