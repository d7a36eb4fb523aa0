"""``verify``: a bundle's stages against the whole model."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions, Runtime
from onnxsplit.errors import ChecksumMismatchError
from onnxsplit.evidence import ParityResult, join_results
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, check_files, read_bundle
from onnxsplit.model.loading import LoadedModel, ModelSource, check_external_data, load_model
from onnxsplit.model.merging import merge_stages
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import resolve_tensors
from onnxsplit.parity.verification import (
    RunnableModel,
    find_random_outputs,
    holds_float16,
    verify_stages,
)
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.workflows.narrowed_bundles import find_budget
from onnxsplit.workflows.preparation import InputOptions, InputSource, make_batches
from onnxsplit.workflows.runtimes import choose_engines


def verify(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    folder: str | os.PathLike[str],
    *,
    model: ModelSource | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: InputSource | None = None,
    batches: int = 2,
    seed: int = 0,
    threads: int | None = None,
    provider: str | None = None,
    device_runtime: Runtime | None = None,
    server_runtime: Runtime | None = None,
    progress: Progress | None = None,
) -> ParityResult:
    """Run a bundle's stages and the whole model on the same inputs, and compare.

    Parameters
    ----------
    folder : path
        What `cut` wrote; of several cuts all are verified.
    model : path, bytes or onnx.ModelProto, optional
        The model that was cut. Without it the whole is the merged stages, and a note says so.
    shapes, dims, inputs : mapping, mapping, path or mapping, optional
        Fix the inputs' sizes; those that were cut for are taken where these leave them open.
    batches, seed : int
        Sets of inputs to draw, and the seed.
    threads, provider
        How to run.
    device_runtime, server_runtime : str, optional
        What the first and the last stage run on; what they were cut for if not given.
    progress : Progress, optional

    Returns
    -------
    ParityResult

    Raises
    ------
    BundleError
        The bundle is malformed, or a file is not the one that was written.
    OnnxSplitError
        The model is another one or can't be run, or an option is wrong.
    """
    progress = progress or SilentProgress()
    engine = EngineOptions(provider=provider or CPU_PROVIDER, threads=threads or 0)
    progress.report("reading the bundle")
    bundle = read_bundle(Path(folder))
    check_files(bundle.folder, bundle.manifest)
    engines = choose_engines(
        bundle.manifest, engine, device_runtime=device_runtime, server_runtime=server_runtime
    )
    whole = _find_whole(bundle, model)
    check_external_data(whole)
    options = InputOptions(
        shapes=_recall_sizes(bundle.manifest, shapes or {}, dims or {}),
        dims=dims or {},
        inputs=inputs,
        batches=batches,
        seed=seed,
    )
    feeds, source = make_batches(whole, options)
    graph = read_graph(whole, resolve_tensors(whole, feeds[0], engine))
    model_to_run = RunnableModel(
        content=whole.proto.SerializeToString(), base_folder=whole.base_folder
    )

    def verify_cut(manifest: Manifest) -> ParityResult:
        return verify_stages(
            model_to_run,
            [
                RunnableModel(
                    content=bundle.folder / stage.runnable_file,
                    engine=engines[stage.tier],
                    rounding=stage.rounding,
                )
                for stage in manifest.stages
            ],
            feeds,
            options=engine,
            source=source,
            random_outputs=find_random_outputs(graph),
            rounds_inside=holds_float16(graph),
            drift=find_budget(manifest, graph),
            progress=progress,
        )

    result = _verify_all(bundle.manifest, verify_cut)
    notes = _note_whole(bundle, whole, given=model is not None)
    return replace(result, notes=(*notes, *result.notes))


def _verify_all(manifest: Manifest, verify_cut: Callable[[Manifest], ParityResult]) -> ParityResult:
    """Verify every cut of a bundle; of each output the worst is told."""
    if not manifest.cuts:
        return verify_cut(manifest)
    return join_results({cut.id: verify_cut(manifest.at_cut(cut.id)) for cut in manifest.cuts})


def _find_whole(bundle: StoredBundle, model: ModelSource | None) -> LoadedModel:
    """Load the model that was cut, or merge the stages."""
    if model is None:
        merged = merge_stages(bundle.folder, bundle.manifest)
        return load_model(merged, base_folder=bundle.folder)
    loaded = load_model(model)
    if loaded.identity.structure != bundle.manifest.model.get("structure"):
        raise ChecksumMismatchError(
            f"{bundle.folder} was cut from a model of another structure than the one given;"
            " cut this one, or give the other."
        )
    return loaded


def _note_whole(bundle: StoredBundle, whole: LoadedModel, *, given: bool) -> tuple[str, ...]:
    """Say what the stages were held against."""
    if not given:
        return ("The whole is the merged stages; give --model to compare with the model itself.",)
    if whole.identity.sha256 != bundle.manifest.model.get("sha256"):
        note = (
            "The model given is not the file that the bundle was cut from (their sha256 differ);"
            " it has the same structure, so the two were compared."
        )
        return (note,)
    return ()


def _recall_sizes(
    manifest: Manifest, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]
) -> dict[str, Sequence[int]]:
    """Take the sizes that the bundle was cut for, unless the caller gives any."""
    if shapes or dims:
        return dict(shapes)
    sizes = manifest.model.get("sizes", {})
    return {name: tuple(shape) for name, shape in sizes.items()}
