"""``profile --stages``: time a bundle's stages on the machine at hand."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onnxsplit.engines.port import (
    CPU_PROVIDER,
    DEFAULT_RUNTIME,
    EngineOptions,
    Runtime,
    read_runtime,
)
from onnxsplit.errors import BundleError, UsageError
from onnxsplit.evidence import StageTiming, StageTimings
from onnxsplit.graph import ModelIdentity, TensorSpec
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, check_files, read_bundle
from onnxsplit.model.inputs import Array, draw_inputs
from onnxsplit.model.loading import load_model
from onnxsplit.profiling.instruments import Instruments
from onnxsplit.profiling.sampling import StopRule
from onnxsplit.profiling.stage_timing import RunnableStage, time_chains
from onnxsplit.profiling.storage import write_timings
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.stage_entries import StageEntry
from onnxsplit.units import parse_duration
from onnxsplit.workflows.runtimes import describe_engines


def time_stages(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    tier: str | None = None,
    threads: int | None = None,
    provider: str | None = None,
    runtime: Runtime | None = None,
    provider_options: Mapping[str, str] | None = None,
    budget: str = "10s",
    progress: Progress | None = None,
) -> StageTimings:
    """Time the stages of a bundle on this machine, for `cut` to correct its predictions with.

    Parameters
    ----------
    folder : path
        What `cut` wrote; stages of other machines may be missing.
    output : path, optional
        Where to write the times.
    tier : str, optional
        Time this tier's stage alone; else all that are there.
    threads, provider, provider_options
        How to run.
    runtime : str, optional
        What runs the stages; for each what it was cut for if not given.
    budget : str
        Time that measuring may take, with its unit.
    progress : Progress, optional

    Returns
    -------
    StageTimings
        Taken at the sizes that were cut for. What another stage makes is made by that stage if
        its files are there, else drawn to fit its type.

    Raises
    ------
    BundleError
        The bundle is malformed, or a stage is missing or not the one that was written.
    OnnxSplitError
        There is no such tier, a stage can't be run, an option is wrong, or the file can't be
        written.
    """
    progress = progress or SilentProgress()
    engine = EngineOptions(
        provider=provider or CPU_PROVIDER,
        provider_options=provider_options or {},
        threads=threads or 0,
        runtime=runtime or DEFAULT_RUNTIME,
    )
    rule = StopRule(budget_seconds=parse_duration(budget))
    progress.report("reading the bundle")
    bundle = read_bundle(Path(folder))
    wanted = _choose_stages(bundle, tier)
    engines = {
        stage.tier: engine.on(runtime or read_runtime(stage.runtime))
        for stage in bundle.manifest.stages
    }
    chain = _list_chain(bundle, wanted)
    (times,) = time_chains(
        [
            [
                RunnableStage(
                    tier=stage.tier,
                    content=bundle.folder / stage.runnable_file,
                    is_timed=stage in wanted,
                    engine=engines[stage.tier],
                )
                for stage in chain
            ]
        ],
        _draw_inputs(bundle, chain),
        engine,
        Instruments(rule=rule, progress=progress),
    )
    manifest = bundle.manifest
    timings = StageTimings(
        model=ModelIdentity(
            sha256=manifest.model.get("sha256"), structure=manifest.model.get("structure")
        ),
        sizes=_read_sizes(manifest),
        timings=tuple(
            StageTiming(
                tier=stage.tier,
                crossings=tuple(crossing["tensor"] for crossing in manifest.crossings),
                operators=stage.operators,
                seconds=times[stage.tier].seconds,
                runs=times[stage.tier].runs,
                interval_relative=times[stage.tier].interval_relative,
            )
            for stage in wanted
        ),
        environment=describe_engines({stage.tier: engines[stage.tier] for stage in wanted}),
    )
    if output is not None:
        write_timings(timings, Path(output))
    return timings


def _choose_stages(bundle: StoredBundle, tier: str | None) -> tuple[StageEntry, ...]:
    """Return the stages to time, checked."""
    stages = bundle.manifest.stages
    if tier is not None:
        wanted = tuple(stage for stage in stages if stage.tier == tier)
        if not wanted:
            tiers = ", ".join(stage.tier for stage in stages)
            raise UsageError(f"--tier {tier}: {bundle.folder} has no such stage; it has {tiers}.")
    else:
        wanted = tuple(stage for stage in stages if _is_there(bundle, stage))
        if not wanted:
            raise BundleError(
                f"The bundle {bundle.folder} holds none of its stages; copy one there."
            )
    check_files(bundle.folder, replace(bundle.manifest, stages=wanted))
    return wanted


def _list_chain(bundle: StoredBundle, wanted: Sequence[StageEntry]) -> list[StageEntry]:
    """Return the wanted stages and those before them that are there and can make their inputs."""
    stages = bundle.manifest.stages
    last = max(stages.index(stage) for stage in wanted)
    return [stage for stage in stages[: last + 1] if stage in wanted or _is_there(bundle, stage)]


def _is_there(bundle: StoredBundle, stage: StageEntry) -> bool:
    """Tell whether a stage's files are there."""
    return all((bundle.folder / name).is_file() for name in stage.files)


def _draw_inputs(bundle: StoredBundle, chain: Sequence[StageEntry]) -> dict[str, Array]:
    """Draw what no stage of the chain makes, at the sizes that were cut for."""
    manifest = bundle.manifest
    shapes = _read_sizes(manifest)
    shapes.update({crossing["tensor"]: tuple(crossing["shape"]) for crossing in manifest.crossings})
    shapes.update({wire["value"]: shapes[wire["tensor"]] for wire in manifest.wires})
    drawn: dict[str, Array] = {}
    made: set[str] = set()
    for stage in chain:
        missing = {
            spec.name: _fix(spec, shapes)
            for spec in stage.inputs
            if spec.name not in made and spec.name not in drawn
        }
        if missing:
            model = load_model(bundle.folder / stage.file)
            drawn.update(draw_inputs(model, missing, seed=0))
        made.update(spec.name for spec in stage.outputs)
    return drawn


def _fix(spec: TensorSpec, shapes: Mapping[str, tuple[int, ...]]) -> TensorSpec:
    """Return an input's type with the shape that was cut for."""
    return replace(spec, shape=shapes.get(spec.name, spec.shape))


def _read_sizes(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the model's inputs that were cut for."""
    sizes = manifest.model.get("sizes", {})
    return {name: tuple(shape) for name, shape in sizes.items()}
