"""Write trained weights back: an inference model, whole and in verified halves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxsplit.autodiff.halves.variables import Variable, apply_variables, load_weights
from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.errors import BundleError, OutputError, ParityError
from onnxsplit.evidence import ParityResult
from onnxsplit.manifest import MANIFEST_FILE, Manifest
from onnxsplit.model.bundle import StoredBundle, list_files, read_bundle, write_bundle
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.loading import LoadedModel, load_model
from onnxsplit.model.merging import merge_stages
from onnxsplit.model.publication import open_draft
from onnxsplit.model.saving import SavedModel, write_model
from onnxsplit.model.shapes import find_symbolic_specs
from onnxsplit.model.stages import Carving
from onnxsplit.parity.verification import (
    RunnableModel,
    find_random_outputs,
    holds_float16,
    verify_stages,
)
from onnxsplit.placement import Placement
from onnxsplit.progress import Progress
from onnxsplit.stage_entries import StageEntry
from onnxsplit.training.section import TrainingSection
from onnxsplit.workflows.description import describe_model
from onnxsplit.workflows.preparation import InputOptions, PreparedModel, prepare_by_running

WHOLE_STEM = "model"
"""The trained whole is ``model.onnx`` beside the halves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedBundle:
    """What was written.

    Parameters
    ----------
    stored : StoredBundle
    model : Path
        The trained whole.
    parity : ParityResult
        Of the trained halves and the trained whole.
    """

    stored: StoredBundle
    model: Path
    parity: ParityResult


def holds_trained(target: Path, bundle: StoredBundle) -> bool:
    """Tell whether a folder holds what an earlier training of the same bundle wrote, alone."""
    try:
        manifest = read_bundle(target).manifest
    except BundleError:
        return False
    ours = {MANIFEST_FILE, *list_files(manifest)}
    source = (manifest.trained or {}).get("source_sha256")
    is_same = source is not None and source == bundle.manifest.model.get("sha256")
    return is_same and {entry.name for entry in target.iterdir()} <= ours


def check_output(target: Path, *, replaces: bool) -> None:
    """Refuse a folder that is taken, before any work is done.

    Raises
    ------
    OutputError
        It holds something else than an earlier training of the same bundle, or can't be written.
    """
    if not replaces and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(
            f"{target} is there already and is no training of this bundle; give --force to replace"
            " it whole, or choose another folder."
        )
    with open_draft(target.resolve()):
        pass


def build_trained(
    bundle: StoredBundle, section: TrainingSection, state: Mapping[str, Array]
) -> LoadedModel:
    """Put trained weights into the model that was cut.

    Parameters
    ----------
    bundle : StoredBundle
    section : TrainingSection
    state : mapping of str to array
        Of both halves; what the optimizer keeps is left out.
    """
    merged = load_model(merge_stages(bundle.folder, bundle.manifest), base_folder=bundle.folder)
    proto = load_weights(merged)
    variables = [Variable.from_json(entry) for entry in section.variables]
    apply_variables(proto, variables, {v.name: state[v.name] for v in variables})
    return load_model(proto)


def write_trained(
    bundle: StoredBundle,
    section: TrainingSection,
    state: Mapping[str, Array],
    output: Path,
    engine: EngineOptions,
    progress: Progress,
    *,
    steps: int,
    force: bool,
) -> TrainedBundle:
    """Write the trained model, whole and in halves, as a bundle.

    Parameters
    ----------
    bundle : StoredBundle
        The one that was trained.
    section : TrainingSection
    state : mapping of str to array
        Of both halves.
    output : Path
        A folder.
    engine : EngineOptions
    progress : Progress
    steps : int
        Done in all.
    force : bool
        Replace what is there.

    Raises
    ------
    ParityError
        The trained halves differ from the trained whole; nothing is written.
    OutputError
        The folder is taken, or can't be written.
    """
    progress.report("writing the trained model")
    model = build_trained(bundle, section, state)
    sizes = bundle.manifest.model.get("sizes", {})
    options = InputOptions(shapes={name: tuple(shape) for name, shape in sizes.items()}, batches=2)
    prepared = prepare_by_running(model.proto, options, engine, progress)
    placement = Placement.of_groups(bundle.manifest.plan["placement"])
    carving = _carve(prepared, placement, bundle.manifest, engine)
    found: list[ParityResult] = []

    def describe(folder: Path, entries: tuple[StageEntry, ...]) -> Manifest:
        saved = write_model(model.proto, folder, WHOLE_STEM, base_folder=None)
        found.append(_verify(prepared, folder, entries, engine, progress))
        return _describe(bundle.manifest, prepared, carving, entries, found[0], saved, steps)

    stored = write_bundle(
        output, carving.stages, describe, model_sha256=prepared.graph.identity.sha256, force=force
    )
    return TrainedBundle(stored=stored, model=output / f"{WHOLE_STEM}.onnx", parity=found[0])


def _carve(
    prepared: PreparedModel, placement: Placement, manifest: Manifest, engine: EngineOptions
) -> Carving:
    """Carve the trained model where the untrained one was cut."""
    names = list(dict.fromkeys(entry["tensor"] for entry in manifest.crossings))
    names = [name for name in names if name in prepared.tensors]
    boundary = find_symbolic_specs(prepared.model, prepared.tensors, names, engine)
    return carve_stages(prepared.model, prepared.graph, placement, boundary)


def _verify(
    prepared: PreparedModel,
    folder: Path,
    entries: tuple[StageEntry, ...],
    engine: EngineOptions,
    progress: Progress,
) -> ParityResult:
    """Run the trained halves against the trained whole."""
    result = verify_stages(
        RunnableModel(content=prepared.model.proto.SerializeToString()),
        [RunnableModel(content=folder / entry.file) for entry in entries],
        prepared.batches,
        options=engine,
        source=prepared.source,
        random_outputs=find_random_outputs(prepared.graph),
        rounds_inside=holds_float16(prepared.graph),
        progress=progress,
    )
    for output in result.outputs:
        if not output.passed:
            raise ParityError(
                f"The trained halves differ from the trained whole in output {output.output!r}:"
                f" {output.problem}. Nothing was written."
            )
    return result


def _describe(
    manifest: Manifest,
    prepared: PreparedModel,
    carving: Carving,
    entries: tuple[StageEntry, ...],
    parity: ParityResult,
    saved: SavedModel,
    steps: int,
) -> Manifest:
    """Describe the trained bundle: the plan is the one that was made before training."""
    before = {stage.tier: stage for stage in manifest.stages}
    identity = prepared.graph.identity
    plan: dict[str, Any] = {
        **manifest.plan,
        "model": {"sha256": identity.sha256, "structure": identity.structure},
    }
    return Manifest(
        model=describe_model(prepared),
        stages=tuple(
            replace(
                entry,
                threads=before[entry.tier].threads,
                peak_bytes=before[entry.tier].peak_bytes,
                state_bytes=before[entry.tier].state_bytes,
            )
            for entry in entries
        ),
        yields=carving.yields,
        crossings=manifest.crossings,
        plan=plan,
        parity=parity.to_manifest(),
        carving=carving.report.to_json(),
        trained={
            "file": saved.file,
            "steps": steps,
            "source_sha256": manifest.model.get("sha256"),
            "files": {saved.file: saved.sha256, **saved.data_files},
        },
    )
