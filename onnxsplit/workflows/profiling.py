"""``profile``: measure a model's operators on this machine."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.engines.device import wait_for_launches
from onnxsplit.engines.port import CPU_PROVIDER, DEFAULT_RUNTIME, EngineOptions, Runtime
from onnxsplit.errors import UsageError
from onnxsplit.model.loading import ModelSource
from onnxsplit.profiles import Profile
from onnxsplit.profiling.recorded import assemble_recorded, read_recording
from onnxsplit.profiling.storage import write_profile
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.units import parse_duration
from onnxsplit.workflows.benches import MeasuringOptions
from onnxsplit.workflows.costing import measure_here
from onnxsplit.workflows.preparation import (
    InputOptions,
    InputSource,
    prepare_by_running,
    prepare_from_profiles,
)
from onnxsplit.workflows.small_memory import profile_within


def profile(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    model: ModelSource,
    output: str | os.PathLike[str] | None = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: InputSource | None = None,
    tier: str = "device",
    threads: int | None = None,
    provider: str | None = None,
    runtime: Runtime = DEFAULT_RUNTIME,
    provider_options: Mapping[str, str] | None = None,
    cache: bool = True,
    budget: str = "10s",
    idle_gap: str | None = None,
    memory: str | None = None,
    trace: str | os.PathLike[str] | None = None,
    optimized: str | os.PathLike[str] | None = None,
    training: Recipe | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Measure what a model's operators cost on this machine.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    output : path, optional
        Where to write the profile.
    shapes, dims : mapping, optional
        Fix the inputs' shapes, or single symbolic dims.
    inputs : path or mapping, optional
        An ``.npz`` file or arrays to measure with; drawn to fit the types if not given.
    tier : str
        The tier that this machine stands for.
    threads : int, optional
        Intra-op threads; all cores if not given.
    provider : str, optional
        Execution provider of onnxruntime, or device of OpenVINO; the CPU's if not given.
    runtime : str
        ``onnxruntime`` or ``openvino``.
    provider_options : mapping, optional
        Handed to the provider as they are.
    cache : bool
        Whether an earlier measurement of the same model and environment may serve.
    budget : str
        Time that measuring may take, with its unit.
    idle_gap : str, optional
        Also time runs after pauses of this length, such as ``200ms``.
    memory : str, optional
        What this machine has for weights and values, with its unit, such as ``512MB``. A model
        that needs more is measured segment by segment, and never runs as a whole.
    trace, optimized : path, optional
        What onnxruntime's profiler recorded on another machine, and the optimised model that the
        session wrote there: the profile is made from them, and nothing is measured here.
    training : Recipe, optional
        Measure an unsplit training step: forward as it runs there, and backward.
    progress : Progress, optional

    Returns
    -------
    Profile

    Raises
    ------
    OnnxSplitError
        The model can't be read or run, a dim has no size, an option is wrong, or the file can't
        be written; see `onnxsplit.errors`.
    """
    progress = progress or SilentProgress()
    engine = EngineOptions(
        provider=provider or CPU_PROVIDER,
        runtime=runtime,
        provider_options=provider_options or {},
        threads=threads or 0,
    )
    wait_for_launches(engine)
    options = MeasuringOptions(
        engine=engine,
        cache=cache,
        budget_seconds=parse_duration(budget),
        idle_gap_seconds=None if idle_gap is None else parse_duration(idle_gap),
    )
    sizes = InputOptions(shapes=shapes or {}, dims=dims or {}, inputs=inputs)
    if trace is None and optimized is not None:
        raise UsageError("--optimized goes with --trace, which is recorded by the same session.")
    if training is not None and (trace is not None or memory is not None or idle_gap is not None):
        raise UsageError("--training goes with none of --trace, --memory and --idle-gap.")
    if trace is not None:
        if memory is not None or idle_gap is not None:
            raise UsageError("--trace measures nothing here; drop --memory and --idle-gap.")
        recording = read_recording(Path(trace), None if optimized is None else Path(optimized))
        prepared = prepare_from_profiles(model, sizes, engine, progress, profiles=())
        measured = assemble_recorded(prepared.graph, recording, tier=tier)
    elif memory is None:
        prepared = prepare_by_running(model, sizes, engine, progress)
        measured = measure_here(prepared, tier, replace(options, training=training), progress)
    else:
        measured = profile_within(model, sizes, memory, options, tier=tier, progress=progress)
    if output is not None:
        write_profile(measured, Path(output))
    return measured
