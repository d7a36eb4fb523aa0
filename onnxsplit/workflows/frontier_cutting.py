"""``cut --frontier``: one bundle with the stages of every cut that is best at some bandwidth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from onnxsplit.cut_entries import CutEntry
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import UsageError
from onnxsplit.evidence import ParityResult, join_results
from onnxsplit.frontiers import FrontierCut, FrontierSegment
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle
from onnxsplit.model.shared_bundle import CarvedCut, write_shared_bundle
from onnxsplit.objectives import InferenceLatency
from onnxsplit.planned import Plan
from onnxsplit.planning.costs.mixes import list_graphs
from onnxsplit.planning.costs.objective_notes import note_stages
from onnxsplit.planning.cuts.kept_cuts import KeptCuts, keep_cuts
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.outlook.detail import Detail
from onnxsplit.planning.plans import make_plan
from onnxsplit.progress import Progress
from onnxsplit.stage_entries import StageEntry
from onnxsplit.workflows.description import BundleDescription, describe_model
from onnxsplit.workflows.inquiries import Inquiry
from onnxsplit.workflows.narrowed_bundles import SettledPlan, carve_plan
from onnxsplit.workflows.requests import PlanRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class CutFrontier:
    """What was written for every cut, and the chosen cut's plan and proof.

    Parameters
    ----------
    stored : StoredBundle
    plan : Plan
    parity : ParityResult or None
        Of all cuts together.
    """

    stored: StoredBundle
    plan: Plan
    parity: ParityResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _NamedCut:
    """A cut with its name, its plan and its stages."""

    name: str
    segment: FrontierSegment
    plan: Plan
    description: BundleDescription

    def describe(self, folder: Path, entries: tuple[StageEntry, ...]) -> CutEntry:
        """Verify the written stages and describe them."""
        manifest = self.description.write(folder, entries)
        trips = any(part.kind == "round_trip" for part in self.plan.predicted.parts)
        (link,) = self.plan.topology.links
        cut = self.segment.cut
        return CutEntry(
            id=self.name,
            from_bytes_per_second=self.segment.from_bytes_per_second,
            to_bytes_per_second=self.segment.to_bytes_per_second,
            constant_seconds=cut.constant - trips * link.round_trip_seconds,
            bytes_per_uplink=cut.per_inverse_uplink,
            bytes_per_downlink=cut.per_inverse_downlink,
            round_trips=int(trips),
            stages=manifest.stages,
            yields=manifest.yields,
            crossings=manifest.crossings,
            plan=manifest.plan,
            parity=manifest.parity,
            carving=manifest.carving,
        )


def check_wishes(request: PlanRequest, **clashes: object) -> None:
    """Refuse what a bundle of several cuts can't follow.

    Parameters
    ----------
    request : PlanRequest
    **clashes
        Further options by name; any that is set is refused.

    Raises
    ------
    UsageError
        Names the option.
    """
    clashes = {**clashes, "boundary": request.boundary, "recompute": request.recompute}
    for name, value in clashes.items():
        if value:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is for a single cut; leave it out, or leave out --frontier.")
    if not isinstance(request.objective, InferenceLatency):
        raise UsageError(
            f"--frontier keeps the cuts that are best for latency; leave out --objective"
            f" {request.objective.name}."
        )


def cut_frontier(
    inquiry: Inquiry,
    folder: Path,
    *,
    allow_whole: bool,
    min_share: float,
    engine: EngineOptions | None,
    model_file: Path | None,
    force: bool,
    progress: Progress,
) -> CutFrontier:
    """Carve, verify and write every cut that is best at some bandwidth.

    Parameters
    ----------
    inquiry : Inquiry
    folder : Path
    allow_whole : bool
        Keep all on the server where that is best, and let all on the device be the chosen one.
    min_share : float
        As for `make_plan`.
    engine : EngineOptions or None
        None if the stages are not to be verified.
    model_file, force
        As for `onnxsplit.model.bundle.write_bundle`.
    progress : Progress

    Raises
    ------
    OnnxSplitError
        As for `onnxsplit.workflows.cutting.cut`.
    """
    kept = keep_cuts(
        inquiry.question,
        constraints=inquiry.constraints,
        method=inquiry.request.solving.method,
        allow_whole=allow_whole,
    )

    def make_chosen() -> Plan:
        return make_plan(
            inquiry.question,
            constraints=inquiry.constraints,
            require_split=not allow_whole,
            min_share=min_share,
            solving=inquiry.request.solving,
            detail=inquiry.detail,
        )

    progress.report("carving")
    cuts = [
        _carve(name, segment, inquiry, make, engine, progress)
        for name, segment, make in _list_makers(kept, inquiry, make_chosen)
    ]
    chosen = next(cut for cut in cuts if cut.segment.cut is kept.chosen)

    def describe(draft: Path, entries: Sequence[tuple[StageEntry, ...]]) -> Manifest:
        described = []
        for place, (cut, stages) in enumerate(zip(cuts, entries, strict=True)):
            progress.report("verifying cuts", done=place, total=len(cuts))
            described.append(cut.describe(draft, stages))
        return _join(described, chosen, inquiry)

    stored = write_shared_bundle(
        folder,
        [
            CarvedCut(
                prefix="" if cut is chosen else f"{cut.name}.",
                stages=cut.description.carving.stages,
            )
            for cut in cuts
        ],
        describe,
        model_sha256=chosen.plan.model.sha256,
        model_file=model_file,
        force=force,
    )
    found = {cut.name: cut.description.parity for cut in cuts}
    results = {name: parity for name, parity in found.items() if parity is not None}
    return CutFrontier(
        stored=stored, plan=chosen.plan, parity=join_results(results) if results else None
    )


def _list_makers(
    kept: KeptCuts, inquiry: Inquiry, make_best: Callable[[], Plan]
) -> list[tuple[str, FrontierSegment, Callable[[], Plan]]]:
    """Name the cuts and say how each is planned for."""

    def make_chosen() -> Plan:
        best = make_best()
        same = best.placement.tier_of == kept.chosen.placement.tier_of
        return best if same else make_for(kept.chosen, inquiry.detail)  # they cost the same

    def make_for(cut: FrontierCut, detail: Detail) -> Plan:
        return make_plan_for(
            inquiry.question, cut.placement, constraints=inquiry.constraints, detail=detail
        )

    makers = []
    splits = 0
    for segment in kept.segments:
        cut = segment.cut
        is_split = cut.placement.verdict == "split"
        splits += is_split
        name = f"cut-{splits}" if is_split else cut.placement.verdict
        make = make_chosen if cut is kept.chosen else partial(make_for, cut, Detail(alternatives=0))
        makers.append((name, segment, make))
    return makers


def _carve(
    name: str,
    segment: FrontierSegment,
    inquiry: Inquiry,
    make: Callable[[], Plan],
    engine: EngineOptions | None,
    progress: Progress,
) -> _NamedCut:
    """Plan for a cut and carve the model along it."""
    made = make()
    plan = replace(made, notes=(*note_stages(inquiry.question), *made.notes))
    description = BundleDescription(
        grounds=inquiry.grounds,
        graphs=list_graphs(inquiry.question),
        plan=plan,
        carving=carve_plan(SettledPlan(plan=plan), inquiry),
        engine=engine,
        progress=progress,
    )
    return _NamedCut(name=name, segment=segment, plan=plan, description=description)


def _join(cuts: Sequence[CutEntry], chosen: _NamedCut, inquiry: Inquiry) -> Manifest:
    """Make the manifest of all cuts; the chosen one is also what the bundle itself describes."""
    entry = next(cut for cut in cuts if cut.id == chosen.name)
    return Manifest(
        model=describe_model(inquiry.grounds.prepared),
        stages=entry.stages,
        yields=entry.yields,
        crossings=entry.crossings,
        plan=entry.plan,
        parity=entry.parity,
        carving=entry.carving,
        cuts=tuple(cuts),
    )
