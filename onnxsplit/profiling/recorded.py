"""A profile from a trace that some build of onnxruntime recorded on another machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from onnxsplit.engines.port import EngineOptions, KernelEvent
from onnxsplit.engines.trace import read_events
from onnxsplit.errors import ModelError, ProfileMismatchError, UsageError
from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import Profile
from onnxsplit.profiling.assembly import Measurement, assemble_profile
from onnxsplit.profiling.attribution import attribute, split_runs
from onnxsplit.profiling.executed import ExecutedNode, read_executed

_FEW_SHARE = 0.9
"""Share of the time that must find its operators."""

_ASSUMPTION = (
    "Operators' times are the sums of kernels in a trace; what a run takes besides its kernels, and"
    " what a cut adds, was not recorded."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What was recorded on a target.

    Parameters
    ----------
    runs : tuple of sequences of KernelEvent
        The runs that count.
    executed : sequence of ExecutedNode or None
        The graph that was run; None if it was the model as it stands.
    """

    runs: tuple[Sequence[KernelEvent], ...]
    executed: Sequence[ExecutedNode] | None = None


def read_recording(trace: Path, optimized: Path | None) -> Recording:
    """Read a trace and the optimised model that it is of.

    Parameters
    ----------
    trace : Path
        As onnxruntime's profiler writes it. Of several runs the first one does not count.
    optimized : Path or None
        What the session wrote to its ``optimized_model_filepath``; its weights are not needed.

    Raises
    ------
    UsageError
        A file can't be read, is no such trace, or holds no complete run.
    ModelError
        The optimised model is no ONNX model.
    """
    try:
        with trace.open(encoding="utf-8", errors="replace") as lines:
            runs = list(split_runs(read_events(lines)).values())
    except OSError as error:
        raise UsageError(f"--trace {trace}: it can't be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--trace {trace}: it is no trace of onnxruntime's profiler; give the JSON file that"
            " ending the profiling wrote, as it is."
        ) from error
    if not runs:
        raise UsageError(
            f"--trace {trace}: it holds no complete run; run the session at least once before the"
            " profiling ends."
        )
    executed = None if optimized is None else read_executed(_load(optimized))
    return Recording(runs=tuple(runs[1:] or runs), executed=executed)


def assemble_recorded(graph: OperatorGraph, recording: Recording, *, tier: str) -> Profile:
    """Return the profile that a recording amounts to.

    Parameters
    ----------
    graph : OperatorGraph
        Of the original model, with the sizes that were run.
    recording : Recording
    tier : str

    Raises
    ------
    ProfileMismatchError
        The trace is of another model, other sizes or another optimised graph.
    """
    runs = recording.runs
    attribution, traced_back = attribute(graph, runs, recording.executed)
    if recording.executed is not None and not traced_back:
        raise ProfileMismatchError(
            f"The trace has {len(runs[0])} kernels a run that are not the"
            f" {len(recording.executed)} nodes of the optimised model; both must come from the same"
            " session."
        )
    if recording.executed is not None:
        _check_sizes(graph, runs[0], recording.executed)
    if attribution.known_share < _FEW_SHARE:
        hint = (
            "is it a trace of this model?"
            if traced_back
            else "give the model that the session wrote with --optimized, or record it with"
            " optimisations disabled."
        )
        raise ProfileMismatchError(
            f"Only {100 * attribution.known_share:.0f} % of the trace's time belongs to operators"
            f" of the model; {hint}"
        )
    provider = _find_provider(runs[0])
    return assemble_profile(
        graph,
        Measurement(
            method="trace",
            whole_seconds=tuple(attribution.sum_seconds(range(len(runs[0])))),
            attribution=attribution,
            assumptions=(_ASSUMPTION,),
        ),
        options=EngineOptions(provider=provider),
        tier=tier,
        environment={"provider": provider},
    )


def _load(path: Path) -> onnx.GraphProto:
    """Load a model's graph without its weights."""
    try:
        graph = onnx.load(path, format="protobuf", load_external_data=False).graph
    except OSError as error:
        raise UsageError(f"--optimized {path}: it can't be read: {error.strerror}.") from error
    except DecodeError as error:
        raise ModelError(f"--optimized {path}: it is no ONNX model.") from error
    if not graph.node:
        raise ModelError(f"--optimized {path}: it is no ONNX model, or has no operators.")
    return graph


def _check_sizes(
    graph: OperatorGraph, run: Sequence[KernelEvent], executed: Sequence[ExecutedNode]
) -> None:
    """Refuse a trace of other sizes than the graph's."""
    for kernel, node in zip(run, executed, strict=True):
        if node.is_blocked or len(node.outputs) != len(kernel.output_types):
            continue
        for name, (_, shape) in zip(node.outputs, kernel.output_types, strict=True):
            known = graph.tensors[name].shape if name in graph.tensors else None
            if known is not None and known != shape and all(isinstance(d, int) for d in known):
                raise ProfileMismatchError(
                    f"In the trace {name!r} is {list(shape)}, and of the model it is"
                    f" {list(known)}; give the sizes that were run by --shape or --dim."
                )


def _find_provider(run: Sequence[KernelEvent]) -> str:
    """Return the provider that spent the most time."""
    seconds: dict[str, float] = {}
    for kernel in run:
        seconds[kernel.provider] = seconds.get(kernel.provider, 0.0) + kernel.seconds
    return max(seconds, key=lambda name: (seconds[name], name))
