"""How far predicted times of stages are from measured ones, on sample networks cut in many places.

Each network is profiled as users profile it, then cut; its stages and the whole run in turn, in
blocks, so that all see the same disturbances. Errors are relative to the measured time. A machine
that is busy with other work runs at another speed from one minute to the next, so errors are also
given with the profile scaled to the whole model's time at the time of the comparison. Stages of a
few microseconds have large relative errors that decide nothing, so errors are given for all stages
and for those alone that take at least a hundredth of the time of the whole. A stage that runs again
and again finds its weights in the caches, which they leave while a whole model runs; to tell how
much of an error that is, stages are also timed directly after another one ("cold").
"""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onnxsplit.engines.environment import describe_machine
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import DEFAULT_RUNTIME, RUNTIMES, EngineOptions, Feeds, Session
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.carving import carve_stages
from onnxsplit.placement import Placement
from onnxsplit.profiles import Profile
from onnxsplit.profiling.attribution import attribute
from onnxsplit.profiling.instruments import Instruments, Subject
from onnxsplit.profiling.measurement import measure_profile
from onnxsplit.profiling.rounds import take_times
from onnxsplit.profiling.sampling import BLOCK_RUNS, StopRule, low_quantile
from onnxsplit.progress import SilentProgress
from onnxsplit.workflows.preparation import InputOptions, PreparedModel, prepare_by_running
from samples.networks import build

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "alexnet": {},
    "bert": {"sequence_length": 32, "depth": 1 / 3},
    "densenet121": {"image_size": 112},
    "googlenet": {"image_size": 160},
    "gpt2": {"sequence_length": 32, "depth": 1 / 3},
    "llama": {"sequence_length": 16, "depth": 1 / 8},
    "mobilenetv2": {},
    "mobilenetv3": {},
    "resnet18": {"image_size": 160},
    "resnet50": {"image_size": 112},
    "shufflenet": {},
    "squeezenet": {},
    "unet": {"image_size": 64},
}
"""Sizes at which a run takes some 3 to 60 ms on one core of 2023."""

CUTS = 8
SPEEDS = (0.02, 0.05, 0.1, 0.2, 0.5)
MEGABITS_PER_SECOND = (1, 5, 20, 100, 1000)
_FEWEST_ROUNDS = 8
_LONG_SHARE = 0.01
"""Share of the whole model's time from which a stage counts as long."""

_FAR, _NEAR = 0.06, 0.02
"""Relative errors of a prediction that is far off, and of one that is as good as met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A place to cut, its crossings, and the runs of both stages: again and again, and cold."""

    placement: Placement
    crossings: tuple[str, ...]
    crossing_bytes: int
    device: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    device_cold: list[float] = field(default_factory=list)
    server_cold: list[float] = field(default_factory=list)

    @property
    def cold_seconds(self) -> tuple[float, float]:
        """Return the typical seconds of both stages after other stages ran."""
        return float(np.median(self.device_cold)), float(np.median(self.server_cold))

    @property
    def seconds(self) -> tuple[float, float]:
        """Return the measured seconds of both stages."""
        return low_quantile(self.device), low_quantile(self.server)


Predictor = Callable[[Cut], tuple[float, float]]


def main(argv: Sequence[str]) -> None:
    """Profile, cut, measure and compare."""
    parser = argparse.ArgumentParser(prog="fidelity", description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help="some of the networks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runtime", choices=RUNTIMES, default=DEFAULT_RUNTIME)
    parser.add_argument("--cuts", type=int, default=CUTS)
    parser.add_argument("--seconds", type=float, default=8.0, help="to compare each network")
    parser.add_argument("--keep", type=Path, help="folder for each network's profile and runs")
    options = parser.parse_args(argv)
    engine = EngineOptions(threads=options.threads, runtime=options.runtime)
    results: dict[str, Any] = {}
    for name in options.networks:
        sys.stderr.write(f"{name}\n")
        results[name] = _examine(name, engine, options)
    report = {
        "machine": describe_machine(),
        "threads": options.threads,
        "runtime": options.runtime,
        "networks": results,
        "predictors": _summarise(results),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def _examine(name: str, engine: EngineOptions, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one network and its stages, and compare them with every predictor."""
    start = time.perf_counter()
    model = build(name, **NETWORKS[name])
    prepared = prepare_by_running(model, InputOptions(), engine, SilentProgress())
    subject = Subject(model=prepared.model, graph=prepared.graph, feeds=prepared.batches[0])
    built = time.perf_counter()
    profile = measure_profile(subject, engine, tier="device")
    profiled = time.perf_counter()
    # OpenVINO has no way to run operators as they stand.
    unfused = _time_unfused(subject, engine) if engine.runtime == DEFAULT_RUNTIME else {}
    cuts = choose_cuts(prepared.graph, profile, options.cuts)
    whole = _run_in_turn(prepared, cuts, engine, options.seconds)
    if options.keep is not None:
        _keep(options.keep / f"{name}.json", profile, unfused, cuts, whole)
    predictors = _list_predictors(profile, unfused, whole)
    return {
        "prepare_seconds": round(built - start, 2),
        "profile_seconds": round(profiled - built, 2),
        "whole_seconds": whole,
        "profiled_whole_seconds": profile.extra["whole_seconds"],
        "interval_relative": profile.extra["interval_relative"],
        "attributed_share": profile.extra["attributed_share"],
        "layout_share": profile.extra["layout_seconds"] / profile.extra["whole_seconds"],
        "crossings": [len(cut.crossings) for cut in cuts],
        "stage_seconds": [seconds for cut in cuts for seconds in cut.seconds],
        "predictors": {
            predictor: _compare(cuts, predict, whole) for predictor, predict in predictors.items()
        },
    }


def _time_unfused(subject: Subject, engine: EngineOptions) -> dict[str, float]:
    """Return each operator's seconds with all optimisations disabled."""
    disabled = EngineOptions(threads=engine.threads, optimization="disabled")
    instruments = Instruments(rule=StopRule(budget_seconds=5.0))
    serialized = subject.model.proto.SerializeToString()
    rounds = take_times(serialized, subject, (engine, disabled), instruments)
    attribution, _ = attribute(subject.graph, rounds.runs, rounds.executed)
    seconds = {}
    for group in attribution.fused.groups:
        spent = low_quantile(attribution.sum_seconds((*group.nodes, *group.layout)))
        seconds.update(dict.fromkeys(group.operators, spent / len(group.operators)))
    return seconds


def choose_cuts(graph: OperatorGraph, profile: Profile, count: int) -> list[Cut]:
    """Choose cuts between groups: half at single tensors where there are such, shallow to deep."""
    cuts: list[tuple[float, Cut]] = []
    device: set[str] = set()
    spent = 0.0
    for group in profile.groups[:-1]:
        device.update(group.operators)
        spent += group.seconds
        cut = _make_cut(graph, device)
        if cut is not None:
            cuts.append((spent / profile.total_seconds, cut))
    single = [entry for entry in cuts if len(entry[1].crossings) == 1]
    several = [entry for entry in cuts if len(entry[1].crossings) > 1]
    chosen = _spread(single, max(count // 2, count - len(several)))
    chosen += _spread(several, count - len(chosen))
    return [cut for _, cut in chosen]


def _make_cut(graph: OperatorGraph, device: set[str]) -> Cut | None:
    """Describe the cut below some operators; None if it can't be taken or leaves nothing to do."""
    crossings: dict[str, None] = {}
    for operator in graph:
        if operator.name not in device:
            crossings.update((t, None) for t in operator.inputs if graph.producer(t) in device)
    sizes = [graph.tensors[name].size_bytes for name in crossings]
    if not crossings or any(size is None for size in sizes):
        return None
    tier_of = {op.name: "device" if op.name in device else "server" for op in graph}
    return Cut(
        placement=Placement(tiers=("device", "server"), tier_of=tier_of),
        crossings=tuple(crossings),
        crossing_bytes=sum(size or 0 for size in sizes),
    )


def _spread(cuts: Sequence[tuple[float, Cut]], count: int) -> list[tuple[float, Cut]]:
    """Take cuts whose shares of the time are spread evenly, each once."""
    left = list(cuts)
    taken = []
    for place in range(min(count, len(left))):
        wanted = (place + 0.5) / count
        nearest = min(left, key=lambda entry: abs(entry[0] - wanted))
        left.remove(nearest)
        taken.append(nearest)
    return sorted(taken, key=lambda entry: entry[0])


def _run_in_turn(
    prepared: PreparedModel, cuts: Sequence[Cut], engine: EngineOptions, seconds: float
) -> float:
    """Run the whole and all stages in turn, and return the whole model's seconds."""
    sessions: list[Session] = []
    whole: list[float] = []
    feeds = prepared.batches[0]
    folder = prepared.model.base_folder

    def load(content: bytes, values: Feeds) -> Callable[[], None]:
        session = open_session(content, engine, base_folder=folder)
        sessions.append(session)
        return session.bind(values)

    turns = [(load(prepared.model.proto.SerializeToString(), feeds), whole, list[float]())]
    for cut in cuts:
        carving = carve_stages(prepared.model, prepared.graph, cut.placement, prepared.tensors)
        values: dict[str, Any] = dict(feeds)
        kept = ((cut.device, cut.device_cold), (cut.server, cut.server_cold))
        for stage, (times, cold) in zip(carving.stages, kept, strict=True):
            content = stage.proto.SerializeToString()
            given = {spec.name: values[spec.name] for spec in stage.inputs}
            turns.append((load(content, given), times, cold))
            values.update(sessions[-1].run(given))
    start = time.perf_counter()
    rounds = 0
    rng = random.Random(0)
    while rounds < _FEWEST_ROUNDS or time.perf_counter() - start < seconds:
        rng.shuffle(turns)
        for run, times, cold in turns:
            cold.append(_clock(run))
            times.extend(_clock(run) for _ in range(BLOCK_RUNS))
        rounds += 1
    for session in sessions:
        session.close()
    return low_quantile(whole)


def _clock(run: Callable[[], None]) -> float:
    """Return the seconds of one run."""
    before = time.perf_counter()
    run()
    return time.perf_counter() - before


def _list_predictors(
    profile: Profile, unfused: Mapping[str, float], whole: float
) -> dict[str, Predictor]:
    """Return every way to predict both stages of a cut."""
    unfused_factor = profile.extra["whole_seconds"] / (math.fsum(unfused.values()) or 1.0)
    speed = whole / profile.extra["whole_seconds"]
    raw = 1 / profile.extra["scale"]

    def from_unfused(factor: float) -> Predictor:
        def predict(cut: Cut) -> tuple[float, float]:
            device, server = _sum(unfused, cut)
            return device * factor, server * factor

        return predict

    def from_profile(factor: float, *, boundaries: bool, kernels_only: bool = False) -> Predictor:
        return lambda cut: predict_stages(
            profile, cut, factor, boundaries=boundaries, kernels_only=kernels_only
        )

    unfused_ones = {
        "unfused": from_unfused(1.0),
        "unfused, scaled": from_unfused(unfused_factor),
        "unfused, scaled, at today's speed": from_unfused(unfused_factor * speed),
    }
    return {
        **(unfused_ones if unfused else {}),
        "fused": from_profile(raw, boundaries=False, kernels_only=True),
        "fused, scaled": from_profile(1.0, boundaries=False),
        "fused, scaled, boundaries": from_profile(1.0, boundaries=True),
        "fused, scaled, at today's speed": from_profile(speed, boundaries=False),
        "fused, scaled, boundaries, at today's speed": from_profile(speed, boundaries=True),
    }


def predict_stages(
    profile: Profile, cut: Cut, factor: float, *, boundaries: bool, kernels_only: bool = False
) -> tuple[float, float]:
    """Return what a profile predicts for both stages, times a factor."""
    seconds = {"device": 0.0, "server": 0.0}
    for group in profile.groups:
        tiers = {cut.placement.tier_of[name] for name in group.operators}
        (tier,) = tiers  # cuts lie between groups
        seconds[tier] += group.seconds
    costs = [profile.boundaries[name] for name in cut.crossings if name in profile.boundaries]
    fixed = 0.0 if kernels_only else profile.run_seconds
    send = sum(cost.send_seconds for cost in costs) if boundaries else 0.0
    receive = sum(cost.receive_seconds for cost in costs) if boundaries else 0.0
    return (
        factor * (seconds["device"] + fixed + send),
        factor * (seconds["server"] + fixed + receive),
    )


def _sum(seconds: Mapping[str, float], cut: Cut) -> tuple[float, float]:
    """Add up operators' seconds on both sides."""
    sums = {"device": 0.0, "server": 0.0}
    for name, spent in seconds.items():
        sums[cut.placement.tier_of[name]] += spent
    return sums["device"], sums["server"]


def _compare(cuts: Sequence[Cut], predict: Predictor, whole: float) -> dict[str, Any]:
    """Return errors of stages, long stages and totals, and regrets over the grid."""
    stages, cold_stages, long_stages, totals = [], [], [], []
    far, far_by_caches = 0, 0
    for cut in cuts:
        measured, predicted = cut.seconds, predict(cut)
        errors = [p / m - 1 for p, m in zip(predicted, measured, strict=True)]
        stages += errors
        colds = [p / m - 1 for p, m in zip(predicted, cut.cold_seconds, strict=True)]
        cold_stages += colds
        far += sum(abs(error) > _FAR for error in errors)
        far_by_caches += sum(
            error > _FAR and cold <= _NEAR for error, cold in zip(errors, colds, strict=True)
        )
        long_stages += [
            error
            for error, seconds in zip(errors, measured, strict=True)
            if seconds >= _LONG_SHARE * whole
        ]
        totals.append(sum(predicted) / sum(measured) - 1)
    return {
        "stage_errors": [round(error, 5) for error in stages],
        "cold_stage_errors": [round(error, 5) for error in cold_stages],
        "long_stage_errors": [round(error, 5) for error in long_stages],
        "total_errors": [round(error, 5) for error in totals],
        "far_stages": far,
        "far_stages_below_cold": far_by_caches,
        "regrets": [round(r, 6) for r in _list_regrets(cuts, predict)],
    }


def _list_regrets(cuts: Sequence[Cut], predict: Predictor) -> list[float]:
    """Return how much longer the cut predicted best takes than the one measured best."""
    regrets = []
    for speed in SPEEDS:
        for rate in MEGABITS_PER_SECOND:
            upload = [cut.crossing_bytes * 8 / (rate * 1e6) for cut in cuts]
            measured = [_add(cut.seconds, speed) + u for cut, u in zip(cuts, upload, strict=True)]
            predicted = [_add(predict(cut), speed) + u for cut, u in zip(cuts, upload, strict=True)]
            chosen = predicted.index(min(predicted))
            regrets.append(measured[chosen] / min(measured) - 1)
    return regrets


def _add(seconds: tuple[float, float], speed: float) -> float:
    """Add up the stages with the device at a fraction of the speed."""
    return seconds[0] / speed + seconds[1]


def _summarise(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return quantiles over all networks for each predictor."""
    first = next(iter(results.values()))["predictors"]
    summary = {}
    for name in first:
        entries = [result["predictors"][name] for result in results.values()]
        regrets = np.array([r for entry in entries for r in entry["regrets"]])
        summary[name] = {
            **{
                kind: _quantiles(np.abs([e for entry in entries for e in entry[f"{kind}_errors"]]))
                for kind in ("stage", "cold_stage", "long_stage", "total")
            },
            **{
                kind: sum(entry[kind] for entry in entries)
                for kind in ("far_stages", "far_stages_below_cold")
            },
            "regret": {"mean": float(regrets.mean()), "max": float(regrets.max())},
        }
    return summary


def _quantiles(errors: Any) -> dict[str, float]:  # noqa: ANN401 - an array of floats
    """Return median, 90th percentile and largest of some errors."""
    median, high, most = np.quantile(errors, [0.5, 0.9, 1.0])
    return {"median": float(median), "p90": float(high), "max": float(most)}


def _keep(
    path: Path,
    profile: Profile,
    unfused: Mapping[str, float],
    cuts: Sequence[Cut],
    whole: float,
) -> None:
    """Write what was measured, for a closer look."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "profile": profile.to_json(),
        "unfused": dict(unfused),
        "whole_seconds": whole,
        "cuts": [
            {
                "device": list(cut.placement.operators("device")),
                "crossings": cut.crossings,
                "device_seconds": cut.device,
                "server_seconds": cut.server,
                "device_cold_seconds": cut.device_cold,
                "server_cold_seconds": cut.server_cold,
            }
            for cut in cuts
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
