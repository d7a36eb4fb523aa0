"""``profile --memory``: profile a model on a machine whose memory the whole may not fit."""

from dataclasses import replace

from onnxsplit.errors import UsageError
from onnxsplit.model.loading import ModelSource
from onnxsplit.planning.costs.memory import state_memory
from onnxsplit.planning.cuts.segments import choose_segments, need_memory
from onnxsplit.profiles import Profile
from onnxsplit.profiling.instruments import Instruments
from onnxsplit.profiling.sampling import StopRule
from onnxsplit.profiling.segments import SESSIONS, profile_segments
from onnxsplit.progress import Progress
from onnxsplit.units import format_size, parse_size
from onnxsplit.workflows.benches import MeasuringOptions
from onnxsplit.workflows.costing import measure_here
from onnxsplit.workflows.preparation import (
    InputOptions,
    PreparedModel,
    prepare_by_inference,
    prepare_by_running,
)


def profile_within(
    model: ModelSource,
    sizes: InputOptions,
    memory: str,
    options: MeasuringOptions,
    *,
    tier: str,
    progress: Progress,
) -> Profile:
    """Measure a model within a memory: whole if it fits, else segment by segment.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    sizes : InputOptions
    memory : str
        What there is for weights and values, with its unit; the runtime itself comes on top.
    options : MeasuringOptions
    tier : str
    progress : Progress

    Returns
    -------
    Profile
        It records the memory, so that no plan puts more there than fits.

    Raises
    ------
    UsageError
        The memory has no unit, or is too small for a single operator; or runs after pauses are
        asked for of a model that does not fit.
    OnnxSplitError
        The model can't be read or run, or a dim has no size.
    """
    limit_bytes = parse_size(memory)
    if limit_bytes <= 0:
        raise UsageError(f"--memory {memory} is no memory; give some, such as 512MB.")
    prepared = prepare_by_inference(model, sizes, progress)
    if SESSIONS * need_memory(prepared.graph).peak_bytes <= limit_bytes:
        prepared = prepare_by_running(model, sizes, options.engine, progress)
        profile = measure_here(prepared, tier, options, progress)
    elif options.idle_gap_seconds is not None:
        raise UsageError(
            "--idle-gap times runs of the whole model, and this one does not fit the"
            f" {format_size(limit_bytes)} of --memory; drop one of the two."
        )
    else:
        profile = _profile_by_segments(prepared, limit_bytes, options, tier, progress)
    return state_memory(profile, prepared.graph, limit_bytes)


def _profile_by_segments(
    prepared: PreparedModel,
    limit_bytes: int,
    options: MeasuringOptions,
    tier: str,
    progress: Progress,
) -> Profile:
    """Measure a model that does not fit; it is not cached."""
    segments = choose_segments(prepared.graph, limit_bytes, copies=SESSIONS)
    profile = profile_segments(
        prepared.model,
        prepared.graph,
        prepared.batches[0],
        [segment.operators for segment in segments],
        options.engine,
        tier=tier,
        instruments=Instruments(
            rule=StopRule(budget_seconds=options.budget_seconds), progress=progress
        ),
    )
    return replace(
        profile,
        assumptions=(*profile.assumptions, *_name_excess(profile, limit_bytes)),
        extra={**profile.extra, "memory_budget_bytes": limit_bytes},
    )


def _name_excess(profile: Profile, limit_bytes: int) -> tuple[str, ...]:
    """Say which segments took more memory than they were meant to."""
    resident = [segment["resident_bytes"] or 0 for segment in profile.extra.get("segments", ())]
    above = [place for place, size in enumerate(resident, start=1) if size > limit_bytes]
    if not above:
        return ()
    sentence = (
        f"Segment {', '.join(map(str, above))} took more memory than the {format_size(limit_bytes)}"
        f" that were given ({format_size(max(resident))} at most): the runtime keeps copies of"
        " weights and scratch memory of its own."
    )
    return (sentence,)
