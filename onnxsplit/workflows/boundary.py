"""Plan with crossings that travel narrower: plan, carve, measure the drift, forbid, plan again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxsplit.model.narrowing import narrow_carving
from onnxsplit.model.stages import Carving
from onnxsplit.model.wire_audit import check_narrowing
from onnxsplit.model.wires import WIRE_TYPES, WireCoding, calibrate, read_opset
from onnxsplit.parity.drift import DriftMeter
from onnxsplit.parity.verification import RunnableModel, find_random_outputs
from onnxsplit.planned import Boundary, ForbiddenWire, Plan
from onnxsplit.planning.costs.question import WireFormat
from onnxsplit.planning.cuts.boundary import choose_wires
from onnxsplit.progress import Progress
from onnxsplit.workflows.grounds import Grounds
from onnxsplit.workflows.inquiries import Inquiry
from onnxsplit.workflows.narrowed_bundles import SettledPlan, carve_plain
from onnxsplit.workflows.wire_choices import find_types, list_choices

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
        types, notes = find_types(asked, read_opset(prepared.model.proto))
        progress.report("timing encoders and decoders")
        choices = list_choices(inquiry, types, asked)
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
            plain = carve_plain(self.inquiry.grounds, plan, self.inquiry)
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


def _round(drift: float) -> float:
    """Round a drift for files: its last digits vary with the order of additions."""
    return float(f"{drift:.2g}")


def _only_arrays(values: Sequence[Any]) -> list[Any]:
    """Leave out batches that gave no tensor."""
    return [value for value in values if value is not None]
