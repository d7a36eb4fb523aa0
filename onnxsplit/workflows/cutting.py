"""``cut``: profile, plan, carve, verify, and write the bundle."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.errors import InfeasiblePlacementError, UsageError
from onnxsplit.evidence import ParityResult
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import Describe, write_bundle
from onnxsplit.model.loading import ModelSource
from onnxsplit.planned import Plan
from onnxsplit.planning.costs.mixes import list_graphs
from onnxsplit.planning.costs.objective_notes import note_stages
from onnxsplit.planning.cuts.separators import place_cut
from onnxsplit.planning.given_placements import make_plan_for
from onnxsplit.planning.plans import DEFAULT_LEAST_SHARE, make_plan
from onnxsplit.profiling.storage import read_timings
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.stage_entries import StageEntry
from onnxsplit.workflows.boundary import settle_boundary
from onnxsplit.workflows.description import BundleDescription
from onnxsplit.workflows.frontier_cutting import check_wishes, cut_frontier
from onnxsplit.workflows.inquiries import Inquiry, open_inquiry
from onnxsplit.workflows.lowering import LoweringOptions, Precision, StageFormat
from onnxsplit.workflows.measuring import LoopOptions, close_loop
from onnxsplit.workflows.narrowed_bundles import carve_plan
from onnxsplit.workflows.recomputing import refine_plan
from onnxsplit.workflows.requests import PlanRequest, PlanWishes
from onnxsplit.workflows.training_stages import (
    TrainingWriter,
    check_training,
    settle_recipe,
    split_plan,
)


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
    frontier: bool = False,
    measure: int | None = None,
    stage_times: Sequence[str | os.PathLike[str]] = (),
    training: Recipe | None = None,
    device_opset: int | None = None,
    device_precision: Precision = "fp32",
    device_format: StageFormat = "onnx",
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
    frontier : bool
        Write the stages of every cut that is best at some bandwidth, with every weight on disk
        once; the bundle itself describes that of the link, the manifest's ``cuts`` all of them.
    measure : int, optional
        How many of the best candidates to carve and time for real, so that the fastest is taken;
        three if both tiers are this machine, none if not. 0 turns it off.
    stage_times : sequence of path
        What `time_stages` wrote on the device and the server, to correct the candidates with.
    training : Recipe, optional
        Write training stages as well, for an objective that is `TrainingDelay`: it says where the
        labels are and what is frozen.
    device_opset : int, optional
        The newest opset that the device reads; its stage is written once more in it, if newer.
    device_precision : str
        ``fp16`` writes the device's stage once more with float16 weights and operators.
    device_format : str
        ``ort`` writes it in onnxruntime's mobile format, with the operators that it needs.
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
    request = PlanRequest(training=training, **wishes)
    lowering = LoweringOptions(
        opset=device_opset, precision=device_precision, file_format=device_format
    )
    if training is not None:
        check_training(request)
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
    if frontier:
        check_wishes(
            request,
            cut_at=cut_at,
            measure=measure,
            stage_times=stage_times,
            device_opset=device_opset,
            device_precision=device_precision != "fp32",
            device_format=device_format != "onnx",
        )
        if training is not None:
            raise UsageError("--frontier and --loss do not work together; give one of them.")
    inquiry = open_inquiry(model, request, progress, run=True, batches=batches)
    graphs = list_graphs(inquiry.question)
    if training is not None:
        inquiry, training = settle_recipe(inquiry, training)
    progress.report("planning")
    engine = inquiry.request.engine if verify else None
    if frontier:
        made_all = cut_frontier(
            inquiry,
            _choose_folder(model, output),
            allow_whole=allow_whole,
            min_share=min_share,
            engine=engine,
            model_file=_find_file(model),
            force=force,
            progress=progress,
        )
        return Bundle(
            folder=made_all.stored.folder,
            manifest=made_all.stored.manifest,
            plan=made_all.plan,
            parity=made_all.parity,
        )

    def make(asked: Inquiry) -> Plan:
        made = _make_plan(asked, tuple(cut_at), allow_whole=allow_whole, min_share=min_share)
        made = close_loop(made, asked, loop, progress)
        if training is not None:
            return made
        return replace(made, notes=(*note_stages(asked.question), *made.notes))

    settled = settle_boundary(inquiry, make, progress)
    plan = settled.plan
    progress.report("carving")
    description = BundleDescription(
        grounds=inquiry.grounds,
        graphs=graphs,
        plan=plan,
        carving=carve_plan(settled, inquiry),
        engine=engine,
        progress=progress,
        lowering=lowering,
    )
    describe: Describe = description.write
    if training is not None:
        describe = _add_training(inquiry, plan, training, description, progress)
    stored = write_bundle(
        _choose_folder(model, output),
        description.carving.stages,
        describe,
        model_sha256=plan.model.sha256,
        model_file=_find_file(model),
        force=force,
    )
    return Bundle(
        folder=stored.folder, manifest=stored.manifest, plan=plan, parity=description.parity
    )


def _add_training(
    inquiry: Inquiry,
    plan: Plan,
    recipe: Recipe,
    description: BundleDescription,
    progress: Progress,
) -> Describe:
    """Return what writes the training stages too, and describes all."""
    prepared = inquiry.grounds.prepared
    progress.report("differentiating the model")
    writer = TrainingWriter(
        halves=split_plan(prepared, plan.placement, recipe),
        prepared=prepared,
        tiers=plan.placement.tiers,
        recipe=recipe,
        engine=description.engine,
        progress=progress,
    )

    def describe(folder: Path, entries: tuple[StageEntry, ...]) -> Manifest:
        manifest = description.write(folder, entries)
        return replace(manifest, training=writer.write(folder).to_json())

    return describe


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
