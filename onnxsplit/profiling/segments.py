"""Profile a model that does not fit the memory: segment by segment, each loaded alone."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxsplit.engines.port import EngineOptions, Feeds, Value
from onnxsplit.engines.residence import read_peak, settle_memory
from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.loading import LoadedModel, load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import resolve_tensors
from onnxsplit.model.stages import Stage
from onnxsplit.placement import Placement
from onnxsplit.profiles import BoundaryCost, OperatorGroup, Profile
from onnxsplit.profiling.instruments import Instruments, Subject
from onnxsplit.profiling.measurement import measure_profile
from onnxsplit.units import format_size

SESSIONS = 2
"""How many sessions of a segment are loaded at a time while it is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One segment's profile, and the memory it took."""

    profile: Profile
    weight_bytes: int
    resident_bytes: int | None


def profile_segments(
    model: LoadedModel,
    graph: OperatorGraph,
    feeds: Feeds,
    segments: Sequence[Sequence[str]],
    options: EngineOptions,
    *,
    tier: str,
    instruments: Instruments,
) -> Profile:
    """Measure consecutive parts of a model one after the other, and put one profile together.

    Parameters
    ----------
    model : LoadedModel
        Its weights should lie in external data; else they are all in memory as it is.
    graph : OperatorGraph
        Of this model; the sizes may be inferred, real ones are met on the way.
    feeds : mapping of str to value
        Model inputs; what a segment takes in is what those before it make.
    segments : sequence of sequences of str
        All operators, in graph order.
    options : EngineOptions
    tier : str
    instruments : Instruments
        The budget is shared equally.

    Returns
    -------
    Profile
        It lists the segments, says that no fusion across them was seen, and how much memory each
        took where the system tells.

    Raises
    ------
    ModelError
        A segment can't be loaded or run.
    """
    stages = _carve(model, graph, segments)
    share = replace(instruments.rule, budget_seconds=instruments.rule.budget_seconds / len(stages))
    alone = replace(instruments, rule=share)
    pool: dict[str, Value] = dict(feeds)
    measured: list[_Measured] = []
    for place, stage in enumerate(stages):
        instruments.progress.report("profiling segments", done=place, total=len(stages))
        measured.append(_measure(stage, pool, options, tier=tier, instruments=alone))
        needed = {spec.name for later in stages[place + 1 :] for spec in later.inputs}
        pool = {name: value for name, value in pool.items() if name in needed}
    instruments.progress.report("profiling segments", done=len(stages), total=len(stages))
    return _stitch(model, stages, measured, tier=tier)


def _carve(
    model: LoadedModel, graph: OperatorGraph, segments: Sequence[Sequence[str]]
) -> tuple[Stage, ...]:
    """Carve the segments as stages of as many tiers."""
    tiers = tuple(f"segment-{place}" for place in range(1, len(segments) + 1))
    tier_of = {name: tier for tier, names in zip(tiers, segments, strict=True) for name in names}
    boundary = {name: _declare(spec) for name, spec in graph.tensors.items()}
    return carve_stages(model, graph, Placement(tiers=tiers, tier_of=tier_of), boundary).stages


def _declare(spec: TensorSpec) -> TensorSpec:
    """Return a type for a segment's boundary; a symbolic dim was not resolved, so it is open."""
    if spec.shape is None:
        return spec
    return replace(spec, shape=tuple(dim if isinstance(dim, int) else None for dim in spec.shape))


def _measure(
    stage: Stage,
    pool: dict[str, Value],
    options: EngineOptions,
    *,
    tier: str,
    instruments: Instruments,
) -> _Measured:
    """Measure one segment, add what it makes to the pool, and watch the memory."""
    before = settle_memory()
    model = load_model(stage.proto, base_folder=stage.base_folder)
    feeds = {spec.name: pool[spec.name] for spec in stage.inputs}
    with instruments.open_session(
        model.proto.SerializeToString(), options, base_folder=model.base_folder
    ) as session:
        made = session.run(feeds)
    subject = Subject(
        model=model,
        graph=read_graph(model, resolve_tensors(model, feeds, options)),
        feeds=feeds,
    )
    profile = measure_profile(subject, options, tier=tier, instruments=instruments)
    after = read_peak()
    pool.update(made)
    return _Measured(
        profile=profile,
        weight_bytes=stage.weight_bytes,
        resident_bytes=None if None in (before, after) else (after or 0) - (before or 0),
    )


def _stitch(
    model: LoadedModel, stages: Sequence[Stage], measured: Sequence[_Measured], *, tier: str
) -> Profile:
    """Put the segments' profiles together."""
    groups: list[OperatorGroup] = []
    tensors: dict[str, TensorSpec] = {}
    boundaries: dict[str, BoundaryCost] = {}
    sentences: dict[str, None] = {}
    for entry in measured:
        groups.extend(entry.profile.groups)
        tensors.update(entry.profile.tensors)
        boundaries.update(entry.profile.boundaries)
        sentences.update(dict.fromkeys(entry.profile.assumptions))
    return Profile(
        tier=tier,
        model=model.identity,
        groups=tuple(groups),
        tensors=tensors,
        run_seconds=statistics.median(entry.profile.run_seconds for entry in measured),
        boundaries=boundaries,
        environment=measured[0].profile.environment,
        evidence="measured",
        assumptions=(*sentences, _explain(measured)),
        extra={
            "operators": [name for stage in stages for name in stage.operators],
            "method": f"segments of {measured[0].profile.extra.get('method')}",
            "segments": [
                _describe(stage, entry) for stage, entry in zip(stages, measured, strict=True)
            ],
        },
    )


def _explain(measured: Sequence[_Measured]) -> str:
    """Say what measuring by segments leaves out."""
    largest = max((entry.resident_bytes or 0 for entry in measured), default=0)
    seen = f", with {format_size(largest)} resident at most" if largest else ""
    return (
        f"The model was measured in {len(measured)} segments, each loaded alone{seen}: fusions"
        " across their ends were not seen, and each ran with its weights in cache."
    )


def _describe(stage: Stage, entry: _Measured) -> Mapping[str, Any]:
    """Describe one segment in the profile."""
    extra = entry.profile.extra
    return {
        "operators": len(stage.operators),
        "first": stage.operators[0],
        "last": stage.operators[-1],
        "seconds": entry.profile.total_seconds,
        "runs": extra.get("runs"),
        "interval_relative": extra.get("interval_relative"),
        "weight_bytes": entry.weight_bytes,
        "resident_bytes": entry.resident_bytes,
    }
