"""``run``: a split model on one set of inputs after the other."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxsplit.errors import UsageError
from onnxsplit.manifest import Manifest
from onnxsplit.model.bundle import StoredBundle, read_bundle
from onnxsplit.progress import Progress
from onnxsplit.runtime.controller import CutController, Switch
from onnxsplit.runtime.device_half import DeviceHalf
from onnxsplit.runtime.pipeline import Inputs, Step, WhenFull, run_pipelined
from onnxsplit.runtime.run_summary import RunSummary, predict_parts
from onnxsplit.runtime.run_traces import RunResult, RunTrace
from onnxsplit.runtime.served_stages import find_states
from onnxsplit.workflows.adapting import make_controller, open_adaptive_half
from onnxsplit.workflows.device_halves import ConnectOptions, open_half

if TYPE_CHECKING:
    from onnxsplit.runtime.messages import Parameter

RUN_SCHEMA = "onnxsplit.run/1"
MOST_PROBLEMS = 5
SEQUENCE = 1
"""The id of the one sequence that a call runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a call of ``run`` did.

    Parameters
    ----------
    folder : Path
    server : str
    manifest : Manifest
    summary : RunSummary
    traces : tuple of RunTrace
    predicted_seconds : float or None
        Of a run over the link that was planned for; None where several cuts ran.
    predicted_parts : mapping of str to float
    switches : tuple of Switch
        Changes of cut, where the runs adapted.
    notes : tuple of str
    """

    folder: Path
    server: str
    manifest: Manifest
    summary: RunSummary
    traces: tuple[RunTrace, ...]
    predicted_seconds: float | None
    predicted_parts: Mapping[str, float]
    switches: tuple[Switch, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the server was not asked or did not answer, each once."""
        found = (trace.problem for trace in self.traces if trace.problem)
        return tuple(dict.fromkeys(found))[:MOST_PROBLEMS]

    def to_json(self) -> dict[str, Any]:
        """Return the report as ``run --format json`` prints it."""
        return {
            "schema": RUN_SCHEMA,
            "directory": str(self.folder),
            "server": self.server,
            "model": {key: self.manifest.model.get(key) for key in ("sha256", "structure")},
            **self.summary.to_json(),
            "predicted": {
                "total_seconds": self.predicted_seconds,
                "parts": dict(self.predicted_parts),
            },
            "traces": [trace.to_json() for trace in self.traces],
            **({"switches": [s.to_json() for s in self.switches]} if self.switches else {}),
            "notes": list(self.notes),
        }


def run_bundle(
    folder: Path,
    url: str,
    steps: Iterable[Inputs],
    options: ConnectOptions,
    *,
    when_full: WhenFull = "block",
    adaptive: bool = False,
    take: Callable[[RunResult], None] | None = None,
    progress: Progress,
) -> RunReport:
    """Run a bundle's device half on one set of inputs after the other.

    Parameters
    ----------
    folder : Path
    url : str
    steps : iterable of mapping of str to array
    options : ConnectOptions
    when_full : str
        As in `onnxsplit.runtime.pipeline.run_pipelined`.
    adaptive : bool
        Watch the link, and switch among the bundle's cuts as it changes.
    take : callable, optional
        Is given every result, in order.
    progress : Progress

    Raises
    ------
    OnnxSplitError
        As of `onnxsplit.workflows.connecting.connect`, and of a run.
    """
    bundle = read_bundle(folder)
    cut = options.cut or ""
    manifest = bundle.manifest.at_cut(cut) if cut else bundle.manifest
    traces: list[RunTrace] = []
    controller = make_controller(bundle, options) if adaptive else None
    with _open(bundle, url, options, controller) as half:
        start = time.perf_counter()
        results = run_pipelined(
            half, _number(steps, manifest), depth=options.depth, when_full=when_full
        )
        for result in results:
            traces.append(result.trace)
            progress.report("running", done=len(traces))
            if take is not None:
                take(result)
        elapsed = time.perf_counter() - start
    if not traces:
        raise UsageError("There are no inputs to run on.")
    return RunReport(
        folder=folder,
        server=url,
        manifest=manifest,
        summary=RunSummary.of(traces, elapsed),
        traces=tuple(traces),
        predicted_seconds=None if adaptive else traces[0].predicted_seconds,
        predicted_parts={} if adaptive else predict_parts(manifest),
        switches=tuple(controller.switches) if controller else (),
    )


def _open(
    bundle: StoredBundle, url: str, options: ConnectOptions, controller: CutController | None
) -> DeviceHalf:
    """Open the device's half, with all cuts and a watched link if it is to adapt."""
    if controller is None:
        return open_half(bundle, url, options, cuts=[options.cut or ""])
    return open_adaptive_half(bundle, url, options, controller)


def _number(steps: Iterable[Inputs], manifest: Manifest) -> Iterator[Step]:
    """Give each set of inputs its place in the sequence, where the model keeps states."""
    tiers = [stage.tier for stage in manifest.stages]
    if not any(find_states(manifest, tier) for tier in tiers):
        for inputs in steps:
            yield inputs, {}
        return
    for place, inputs in enumerate(steps):
        parameters: dict[str, Parameter] = {"sequence_id": SEQUENCE, "sequence_start": place == 0}
        yield inputs, parameters
