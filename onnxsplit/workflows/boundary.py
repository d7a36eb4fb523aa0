"""Plan with crossings that travel narrower: plan, carve, measure the drift, forbid, plan again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxsplit.errors import BundleError, UsageError
from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.manifest import Manifest
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.narrowing import narrow_carving, read_wires
from onnxsplit.model.shapes import find_symbolic_specs
from onnxsplit.model.stages import Carving
from onnxsplit.model.wire_audit import check_narrowing
from onnxsplit.model.wires import (
    WIRE_TYPES,
    WireCoding,
    WireType,
    calibrate,
    can_travel_as,
    read_opset,
)
from onnxsplit.parity.drift import DriftMeter, find_drifting_outputs
from onnxsplit.parity.verification import DriftBudget, RunnableModel, find_random_outputs
from onnxsplit.placement import Placement
from onnxsplit.planned import Boundary, ForbiddenWire, Plan
from onnxsplit.planning.costs.data_homes import find_givers, list_resting
from onnxsplit.planning.costs.question import WireFormat
from onnxsplit.planning.cuts.boundary import choose_wires
from onnxsplit.profiling.cache import ProfileCache
from onnxsplit.profiling.wire_timing import WireSpeed, time_wire
from onnxsplit.progress import Progress
from onnxsplit.workflows.boundary_options import AUTO
from onnxsplit.workflows.grounds import Grounds
from onnxsplit.workflows.requests import Inquiry

MOST_ROUNDS = 24
"""After so many plans a wire that has failed for any tensor is given up for all."""

_ALTERNATIVES = (
    "Drift was measured for the crossings that were chosen; alternatives are priced on wires whose"
    " drift may not have been."
)

_LONG_CHAIN = (
    "Each tensor takes the wire that is best if it crosses every link; on a chain of more than two"
    " tiers another may be a little better."
)

MakePlan = Callable[[Inquiry], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledPlan:
    """A plan and how its crossings are encoded.

    Parameters
    ----------
    plan : Plan
    codings : tuple of WireCoding
        Of the crossings that travel narrower.
    """

    plan: Plan
    codings: tuple[WireCoding, ...] = ()


def settle_boundary(inquiry: Inquiry, make: MakePlan, progress: Progress) -> SettledPlan:
    """Plan; where crossings may travel narrower, until no output drifts further than allowed.

    Parameters
    ----------
    inquiry : Inquiry
    make : callable
        Makes the plan of an inquiry.
    progress : Progress

    Returns
    -------
    SettledPlan
        The plan of `make` itself where no boundary was asked for. Else the best with every tensor
        on the cheapest wire that is not forbidden. A pair of tensor and wire is forbidden if it
        alone lets an output drift too far; where only several together do, that which alone
        drifts furthest. Each round forbids a pair, so the rounds come to an end.

    Raises
    ------
    UsageError
        The model's opset has no operators for the wire that was asked for, or no tensor fits it.
    """
    if inquiry.request.boundary is None:
        return SettledPlan(plan=make(inquiry))
    return _Settling.open(inquiry, inquiry.request.boundary, progress).run(make)


@dataclass(slots=True, kw_only=True)
class _Settling:
    """The rounds: what may still be chosen, and what was found."""

    inquiry: Inquiry
    asked: str
    progress: Progress
    choices: dict[str, list[WireFormat | None]]
    meter: DriftMeter
    notes: list[str]
    forbidden: list[ForbiddenWire] = field(default_factory=list)

    @classmethod
    def open(cls, inquiry: Inquiry, asked: str, progress: Progress) -> "_Settling":
        """List what each tensor may choose from, and run the whole model once."""
        prepared, engine = inquiry.grounds.prepared, inquiry.request.engine
        types, notes = _find_types(asked, read_opset(prepared.model.proto))
        progress.report("timing encoders and decoders")
        choices = _list_choices(inquiry, types, asked)
        if not choices:
            notes.append("No crossing can travel narrower: --boundary narrows float32 and float64.")
        progress.report("running the whole model on the calibration inputs")
        random = find_random_outputs(prepared.graph)
        meter = DriftMeter.open(
            RunnableModel(
                content=prepared.model.proto.SerializeToString(),
                base_folder=prepared.model.base_folder,
            ),
            prepared.batches,
            [name for name in prepared.graph.outputs if name not in random],
            engine,
        )
        return cls(
            inquiry=inquiry,
            asked=asked,
            progress=progress,
            choices=choices,
            meter=meter,
            notes=notes,
        )

    def run(self, make: MakePlan) -> SettledPlan:
        """Plan until the drift holds."""
        most = self.inquiry.request.max_drift
        rounds = 0
        while True:
            rounds += 1
            question = choose_wires(self.inquiry.question, self.choices)
            question = replace(question, assumptions=(*question.assumptions, *self._assume()))
            plan = make(replace(self.inquiry, question=question))
            self.progress.report(f"measuring the drift of narrower crossings, round {rounds}")
            plain = _carve(self.inquiry.grounds, plan, self.inquiry)
            codings = self._calibrate(plan, plain)
            drift = self._measure(plain, codings)
            if drift <= most:
                return SettledPlan(
                    plan=self._describe(plan, codings, drift, rounds), codings=tuple(codings)
                )
            self._forbid(plain, codings, drift)
            if rounds == MOST_ROUNDS:
                self._give_up()

    def _calibrate(self, plan: Plan, plain: Carving) -> list[WireCoding]:
        """Fit a coding to each crossing that is to travel narrower."""
        by_dtype = {wire.dtype: wire for wire in WIRE_TYPES.values()}
        wires = {
            crossing.tensor: by_dtype[crossing.wire]
            for crossing in plan.crossings
            if crossing.tensor in self.choices and crossing.wire is not None
        }
        if not wires:
            return []
        values = self.meter.collect(_make_runnable(plain, self.inquiry.grounds), tuple(wires))
        tensors = self.inquiry.grounds.prepared.graph.tensors
        return [
            calibrate(name, tensors[name].dtype or "", wire, _only_arrays(values[name]))
            for name, wire in wires.items()
        ]

    def _measure(self, plain: Carving, codings: Sequence[WireCoding]) -> float:
        """Return how far outputs drift with these codings."""
        if not codings:
            return 0.0
        narrowed = narrow_carving(plain, codings)
        check_narrowing(plain, narrowed, codings)
        return self.meter.measure(_make_runnable(narrowed, self.inquiry.grounds))

    def _forbid(self, plain: Carving, codings: Sequence[WireCoding], drift: float) -> None:
        """Forbid what drifts too far alone; where nothing does, what drifts furthest."""
        alone = [drift] if len(codings) == 1 else [self._measure(plain, [c]) for c in codings]
        most = self.inquiry.request.max_drift
        limit = most if max(alone) > most else None
        for coding, found in zip(codings, alone, strict=True):
            if found > most if limit is not None else found == max(alone):
                self._bar(coding.tensor, coding.wire.dtype)
                self.forbidden.append(
                    ForbiddenWire(tensor=coding.tensor, wire=coding.wire.dtype, drift=_round(found))
                )

    def _bar(self, tensor: str, dtype: str) -> None:
        """Take a wire from what a tensor may choose; as it stands in memory it always may."""
        left = [w for w in self.choices[tensor] if w is None or w.name != dtype]
        self.choices[tensor] = left or [None]

    def _give_up(self) -> None:
        """Take every wire that has failed from all tensors."""
        failed = sorted({pair.wire for pair in self.forbidden})
        for dtype in failed:
            for tensor in self.choices:
                self._bar(tensor, dtype)
        self.notes.append(
            f"After {MOST_ROUNDS} plans {', '.join(failed)} drifted too far for too many tensors,"
            " and was given up for all; some tensor that was not tried might have borne it."
        )

    def _describe(
        self, plan: Plan, codings: Sequence[WireCoding], drift: float, rounds: int
    ) -> Plan:
        """Add to a plan how its crossings travel."""
        return replace(
            plan,
            notes=(*plan.notes, *self.notes),
            boundary=Boundary(
                asked=self.asked,
                max_drift=self.inquiry.request.max_drift,
                drift=_round(drift),
                rounds=rounds,
                source=self.inquiry.grounds.prepared.source,
                wires=tuple(coding.to_json() for coding in codings),
                forbidden=tuple(self.forbidden),
            ),
        )

    def _assume(self) -> list[str]:
        """Say what of this nobody measured."""
        if not self.choices:
            return []
        grounds = self.inquiry.grounds
        sentences = [_ALTERNATIVES]
        if len(grounds.topology.links) > 1:
            sentences.append(_LONG_CHAIN)
        foreign = [t for t in grounds.topology.tiers if t not in grounds.speeds]
        if foreign:
            sentences.append(
                "Encoding and decoding were timed on this machine, and are taken to last as long on"
                f" the {' and the '.join(foreign)}."
            )
        if grounds.prepared.source != "given":
            sentences.append(
                f"Narrower crossings were calibrated on inputs {grounds.prepared.source};"
                " --inputs FILE.npz takes real ones."
            )
        return sentences


def carve_plan(settled: SettledPlan, inquiry: Inquiry) -> Carving:
    """Carve the model along a plan, and build its codings into the stages."""
    plain = _carve(inquiry.grounds, settled.plan, inquiry)
    narrowed = narrow_carving(plain, settled.codings)
    check_narrowing(plain, narrowed, settled.codings)
    return narrowed


def list_wires(carving: Carving) -> tuple[Mapping[str, Any], ...]:
    """Return the crossings that travel narrower, as the manifest holds them."""
    return tuple(
        {key: value for key, value in entry.items() if key not in {"way", "nodes"}}
        for stage in carving.stages
        for entry in read_wires(stage.proto)
        if entry["way"] == "encode"
    )


def find_budget(manifest: Manifest, graph: OperatorGraph) -> DriftBudget | None:
    """Return how far a bundle's outputs may drift; None if nothing travels narrower.

    Raises
    ------
    BundleError
        The manifest has narrower crossings, and does not say how far outputs may drift.
    """
    if not manifest.wires:
        return None
    try:
        most = float(manifest.plan["boundary"]["max_drift"])
        wires = {entry["tensor"]: entry["wire"] for entry in manifest.wires}
        placement = Placement.of_groups(manifest.plan["placement"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            "The manifest lists narrower crossings, but its plan has no readable boundary; cut the"
            " model again."
        ) from error
    return plan_budget(graph, placement, wires, most)


def plan_budget(
    graph: OperatorGraph, placement: Placement, wires: Mapping[str, str], most: float
) -> DriftBudget | None:
    """Return how far outputs may drift; None if nothing travels narrower."""
    if not wires:
        return None
    outputs = find_drifting_outputs(graph, placement, wires.keys())
    return DriftBudget(most=most, outputs=outputs, wires=wires)


def _carve(grounds: Grounds, plan: Plan, inquiry: Inquiry) -> Carving:
    """Carve the model along the plan, with the model's own symbolic dims at the boundary."""
    prepared = grounds.prepared
    names = list(dict.fromkeys(crossing.tensor for crossing in plan.crossings))
    boundary = find_symbolic_specs(prepared.model, prepared.tensors, names, inquiry.request.engine)
    return carve_stages(
        prepared.model,
        prepared.graph,
        plan.placement,
        boundary,
        resting=list_resting(plan.data),
        gives=find_givers(plan.data, plan.placement),
        copies=frozenset(plan.recomputed),
    )


def _make_runnable(carving: Carving, grounds: Grounds) -> list[RunnableModel]:
    """Make stages loadable."""
    return [
        RunnableModel(
            content=stage.proto.SerializeToString(),
            base_folder=stage.base_folder,
            engine=grounds.engines[stage.tier],
        )
        for stage in carving.stages
    ]


def _find_types(asked: str, opset: int) -> tuple[list[WireType], list[str]]:
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


def _list_choices(
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


def _round(drift: float) -> float:
    """Round a drift for files: its last digits vary with the order of additions."""
    return float(f"{drift:.2g}")


def _only_arrays(values: Sequence[Any]) -> list[Any]:
    """Leave out batches that gave no tensor."""
    return [value for value in values if value is not None]
