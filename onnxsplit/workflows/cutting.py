"""``cut``: profile, plan, carve, verify, and write the bundle."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import InfeasiblePlacementError, ParityError, UsageError
from onnxsplit.evidence import ParityResult
from onnxsplit.graph import OperatorGraph
from onnxsplit.manifest import Manifest, StageEntry, spec_to_json
from onnxsplit.model.bundle import write_bundle
from onnxsplit.model.loading import ModelSource
from onnxsplit.model.sizes import read_declared_specs
from onnxsplit.model.stages import Carving
from onnxsplit.parity.verification import (
    DriftBudget,
    RunnableModel,
    find_random_outputs,
    holds_float16,
    verify_stages,
)
from onnxsplit.planned import Plan
from onnxsplit.planning.costs.memory import measure_peaks
from onnxsplit.planning.costs.mixes import list_graphs
from onnxsplit.planning.costs.objective_notes import note_stages
from onnxsplit.planning.cuts.separators import place_cut
from onnxsplit.planning.plans import DEFAULT_LEAST_SHARE, make_plan, make_plan_for
from onnxsplit.profiling.storage import read_timings
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.workflows.boundary import carve_plan, list_wires, plan_budget, settle_boundary
from onnxsplit.workflows.grounds import Grounds
from onnxsplit.workflows.measuring import LoopOptions, close_loop
from onnxsplit.workflows.preparation import PreparedModel
from onnxsplit.workflows.recomputing import refine_plan
from onnxsplit.workflows.requests import Inquiry, PlanRequest, PlanWishes, open_inquiry


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Stages on disk, the plan they follow, and the proof that they equal the whole.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        What ``split.json`` holds.
    plan : Plan
    parity : ParityResult or None
        None if verification was turned off.
    """

    folder: Path
    manifest: Manifest
    plan: Plan
    parity: ParityResult | None


def cut(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    model: ModelSource,
    output: str | os.PathLike[str] | None = None,
    *,
    cut_at: Sequence[str] = (),
    allow_whole: bool = False,
    min_share: float = DEFAULT_LEAST_SHARE,
    measure: int | None = None,
    stage_times: Sequence[str | os.PathLike[str]] = (),
    force: bool = False,
    verify: bool = True,
    batches: int = 2,
    progress: Progress | None = None,
    **wishes: Unpack[PlanWishes],
) -> Bundle:
    """Cut a model where it is best and write both halves, verified.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    output : path, optional
        The bundle's folder; ``<model stem>.split`` in the current folder if not given.
    cut_at : sequence of str
        Cut exactly here: everything upstream of these tensors runs on the device.
    allow_whole : bool
        Accept not splitting where that is faster, and write one stage.
    min_share : float
        Below this share of the work on either side the plan says so and names another cut.
    measure : int, optional
        How many of the best candidates to carve and time for real, so that the fastest is taken;
        three if both tiers are this machine, none if not. 0 turns it off.
    stage_times : sequence of path
        What `time_stages` wrote on the device and the server, to correct the candidates with.
    force : bool
        Replace what is in the folder, whatever it is.
    verify : bool
        Run both stages against the whole model.
    batches : int
        Sets of inputs to draw for that.
    progress : Progress, optional
    **wishes
        As in `onnxsplit.workflows.requests.PlanRequest`: machines, link, sizes, objective,
        constraints.

    Returns
    -------
    Bundle

    Raises
    ------
    InfeasiblePlacementError
        There is no proper split, or the constraints leave none.
    ParityError
        The stages differ from the whole model; nothing is written.
    OnnxSplitError
        The model or a profile can't be used, a dim has no size, an option is wrong, or the folder
        is taken or can't be written.
    """
    progress = progress or SilentProgress()
    request = PlanRequest(**wishes)
    if request.recompute:
        _check_recomputing(cut_at, measure, stage_times)
        measure = 0
    loop = LoopOptions(
        count=measure,
        timings=tuple(read_timings(Path(path)) for path in stage_times),
        is_given=bool(cut_at),
        splits_only=not allow_whole,
        min_share=min_share,
    )
    inquiry = open_inquiry(model, request, progress, run=True, batches=batches)
    progress.report("planning")

    def make(asked: Inquiry) -> Plan:
        made = _make_plan(asked, tuple(cut_at), allow_whole=allow_whole, min_share=min_share)
        made = close_loop(made, asked, loop, progress)
        return replace(made, notes=(*note_stages(asked.question), *made.notes))

    settled = settle_boundary(inquiry, make, progress)
    plan, engine = settled.plan, inquiry.request.engine
    progress.report("carving")
    description = _Description(
        grounds=inquiry.grounds,
        graphs=list_graphs(inquiry.question),
        plan=plan,
        carving=carve_plan(settled, inquiry),
        engine=engine if verify else None,
        progress=progress,
    )
    stored = write_bundle(
        _choose_folder(model, output),
        description.carving.stages,
        description.write,
        model_sha256=plan.model.sha256,
        model_file=_find_file(model),
        force=force,
    )
    return Bundle(
        folder=stored.folder, manifest=stored.manifest, plan=plan, parity=description.parity
    )


@dataclass(slots=True, kw_only=True)
class _Description:
    """Verifies written stages and describes them in a manifest.

    Parameters
    ----------
    grounds : Grounds
    graphs : list of OperatorGraph
        At every shape that is planned for.
    plan : Plan
    carving : Carving
    engine : EngineOptions or None
        None if the stages are not to be verified.
    progress : Progress
    """

    grounds: Grounds
    graphs: list[OperatorGraph]
    plan: Plan
    carving: Carving
    engine: EngineOptions | None
    progress: Progress
    parity: ParityResult | None = None

    def write(self, folder: Path, entries: tuple[StageEntry, ...]) -> Manifest:
        """Describe the stages whose files lie in a folder.

        Raises
        ------
        ParityError
            They differ from the whole model.
        """
        if self.engine is not None:
            self.parity = self._verify(self.engine, folder, entries)
        profiles = self.grounds.profiles
        peaks = measure_peaks(self.graphs, self.plan.placement)
        return Manifest(
            model=describe_model(self.grounds.prepared),
            stages=tuple(
                replace(
                    entry,
                    state_bytes=self.plan.data.sum_state_bytes(entry.tier),
                    threads=profiles[entry.tier].environment.get("threads"),
                    peak_bytes=peaks[entry.tier],
                )
                for entry in entries
            ),
            yields=self.carving.yields,
            crossings=tuple(crossing.to_json() for crossing in self.plan.crossings),
            plan=self.plan.to_json(),
            parity=None if self.parity is None else self.parity.to_manifest(),
            carving=self.carving.report.to_json(),
            wires=list_wires(self.carving),
        )

    def _verify(
        self, engine: EngineOptions, folder: Path, entries: tuple[StageEntry, ...]
    ) -> ParityResult:
        """Run the written stages against the whole model."""
        prepared = self.grounds.prepared
        result = verify_stages(
            RunnableModel(
                content=prepared.model.proto.SerializeToString(),
                base_folder=prepared.model.base_folder,
            ),
            [RunnableModel(content=folder / entry.file) for entry in entries],
            prepared.batches,
            options=engine,
            source=prepared.source,
            random_outputs=find_random_outputs(prepared.graph),
            rounds_inside=holds_float16(prepared.graph),
            drift=self._budget_drift(),
            progress=self.progress,
        )
        for output in result.outputs:
            if not output.passed:
                raise ParityError(
                    f"The stages differ from the whole model in output {output.output!r}:"
                    f" {output.problem}. Nothing was written; --no-verify writes them all the same."
                )
        return result

    def _budget_drift(self) -> DriftBudget | None:
        """Return how far outputs may drift, where crossings travel narrower."""
        boundary = self.plan.boundary
        if boundary is None:
            return None
        wires = {entry["tensor"]: entry["wire"] for entry in boundary.wires}
        graph = self.grounds.prepared.graph
        return plan_budget(graph, self.plan.placement, wires, boundary.max_drift)


def describe_model(prepared: PreparedModel) -> dict[str, Any]:
    """Describe a model in a manifest: hashes, declared inputs and outputs, and the sizes used."""
    graph = prepared.graph
    declared = read_declared_specs(prepared.model)
    return {
        "sha256": graph.identity.sha256,
        "structure": graph.identity.structure,
        "inputs": [spec_to_json(declared[name]) for name in graph.inputs],
        "outputs": [spec_to_json(declared[name]) for name in graph.outputs],
        "sizes": {
            name: list(prepared.tensors[name].shape or ())
            for name in graph.inputs
            if prepared.tensors[name].kind == "tensor"
        },
    }


def _make_plan(
    inquiry: Inquiry, cut_at: tuple[str, ...], *, allow_whole: bool, min_share: float
) -> Plan:
    """Plan for the best split, for the cut that was asked for, or for not splitting."""
    if not cut_at:
        made = make_plan(
            inquiry.question,
            constraints=inquiry.constraints,
            require_split=not allow_whole,
            min_share=min_share,
            solving=inquiry.request.solving,
            detail=inquiry.detail,
        )
        return refine_plan(made, inquiry, require_split=not allow_whole)
    placement = place_cut(inquiry.question.graph, cut_at, inquiry.question.topology.tiers)
    if not placement.is_proper:
        raise InfeasiblePlacementError(
            f"--cut-at {','.join(cut_at)} leaves nothing to the {placement.tiers[-1]}: every"
            " operator is upstream of it. Name a tensor further up."
        )
    return make_plan_for(
        inquiry.question, placement, constraints=inquiry.constraints, detail=inquiry.detail
    )


def _check_recomputing(
    cut_at: Sequence[str], measure: int | None, stage_times: Sequence[str | os.PathLike[str]]
) -> None:
    """Refuse what can't be had together with recomputing."""
    clashes = {"--cut-at": cut_at, "--measure": measure, "--stage-times": stage_times}
    for flag, value in clashes.items():
        if value:
            raise UsageError(f"--recompute and {flag} do not work together; give one of them.")


def _choose_folder(model: ModelSource, output: str | os.PathLike[str] | None) -> Path:
    """Return the bundle's folder."""
    if output is not None:
        return Path(output)
    file = _find_file(model)
    return Path(f"{file.stem if file else 'model'}.split")


def _find_file(model: object) -> Path | None:
    """Return the model's file, if it was given as one."""
    return Path(model) if isinstance(model, str | os.PathLike) else None
