"""Put a profile together from the times that were taken."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxsplit.engines.port import EngineOptions, KernelEvent
from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import BoundaryCost, OperatorGroup, Profile
from onnxsplit.profiling.attribution import (
    SMALL_OPERATORS,
    Attribution,
    measure_memory,
    place_operators,
)
from onnxsplit.profiling.fusion import FusedGroup
from onnxsplit.profiling.sampling import low_quantile, relative_interval
from onnxsplit.tiers import Evidence

_DIGITS = 9
"""Seconds are kept to the nanosecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Everything that was timed.

    Parameters
    ----------
    method : str
        How operators were timed.
    whole_seconds : tuple of float
        Wall times of the whole model with all optimisations.
    attribution : Attribution
        The kernels and the groups that they belong to.
    first_run : sequence of KernelEvent
        The kernels of the traced session's first run.
    run_seconds : float
        What any run costs.
    boundaries : mapping of str to BoundaryCost
    evidence : str
    assumptions : tuple of str
    extra : mapping
        Further keys of the profile.
    """

    method: str
    whole_seconds: tuple[float, ...]
    attribution: Attribution
    first_run: Sequence[KernelEvent] = ()
    run_seconds: float = 0.0
    boundaries: Mapping[str, BoundaryCost] = field(default_factory=dict)
    evidence: Evidence = "measured"
    assumptions: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def assemble_profile(
    graph: OperatorGraph,
    measurement: Measurement,
    *,
    options: EngineOptions,
    tier: str,
    environment: Mapping[str, Any],
) -> Profile:
    """Return the profile: groups of operators, scaled to the whole model's time.

    A group's time is the 20th percentile of its kernels' times over the traced runs. What any run
    costs is set apart; groups are multiplied with one factor, so that they and it add up to the
    whole model's time. Constant operators, which a session folds once and for all, are left out,
    and so are values whose size is not known.

    Parameters
    ----------
    graph : OperatorGraph
    measurement : Measurement
    options : EngineOptions
        Tells which provider was asked for.
    tier : str
    environment : mapping
    """
    fused = measurement.attribution.fused
    seconds = [_take(measurement, (*group.nodes, *group.layout)) for group in fused.groups]
    kernel_sum = math.fsum(seconds)
    whole = low_quantile(measurement.whole_seconds)
    run_seconds = round(min(measurement.run_seconds, whole), _DIGITS)
    scale = (whole - run_seconds) / kernel_sum if kernel_sum else 1.0
    held = measure_memory(measurement.attribution, measurement.first_run)
    groups = tuple(
        OperatorGroup(
            operators=group.operators,
            seconds=round(spent * scale, _DIGITS),
            extra=_describe_group(measurement, group, held, scale),
        )
        for group, spent in zip(fused.groups, seconds, strict=True)
    )
    return Profile(
        tier=tier,
        groups=groups,
        model=graph.identity,
        tensors={name: spec for name, spec in graph.tensors.items() if spec.size_bytes is not None},
        run_seconds=run_seconds,
        boundaries=measurement.boundaries,
        environment=environment,
        evidence=measurement.evidence,
        assumptions=measurement.assumptions,
        extra={
            "method": measurement.method,
            "operators": [operator.name for operator in graph],
            "whole_seconds": round(whole, _DIGITS),
            "kernel_sum_seconds": round(kernel_sum, _DIGITS),
            "scale": round(scale, 6),
            "runs": len(measurement.whole_seconds),
            "interval_relative": _round_interval(measurement.whole_seconds),
            "attributed_share": round(_share_attributed(measurement, seconds), 6),
            "layout_seconds": _round_sum(
                [scale * _take(measurement, group.layout) for group in fused.groups]
            ),
            "unattributed_seconds": round(_take(measurement, fused.strays), _DIGITS),
            **_report_silent(measurement),
            **_report_providers(measurement, graph, options.provider),
            **_report_memory(graph, held, measurement.first_run),
            **measurement.extra,
        },
    )


def _take(measurement: Measurement, places: Sequence[int]) -> float:
    """Return the 20th percentile of what some kernels take together."""
    runs = measurement.attribution.sum_seconds(places)
    return low_quantile(runs) if runs and places else 0.0


def _describe_group(
    measurement: Measurement, group: FusedGroup, held: Mapping[int, int], scale: float
) -> dict[str, Any]:
    """Say which kernels run a group, what they hold, and what of its time lays out values anew."""
    places = sorted((*group.nodes, *group.layout))
    if not places or not measurement.attribution.runs:
        return {}
    kernels = [measurement.attribution.runs[0][place] for place in places]
    described: dict[str, Any] = {
        "kernels": [kernel.op_type for kernel in kernels],
        "parameter_bytes": sum(kernel.parameter_bytes for kernel in kernels),
    }
    if all(place in held for place in places):
        described["memory_bytes"] = max(held[place] for place in places)
    if group.layout:
        described["layout_seconds"] = round(scale * _take(measurement, group.layout), _DIGITS)
    return described


def _share_attributed(measurement: Measurement, seconds: Sequence[float]) -> float:
    """Return the share of the time that belongs to a group of one kernel or few operators."""
    groups = measurement.attribution.fused.groups
    known = math.fsum(
        spent
        for group, spent in zip(groups, seconds, strict=True)
        if len(group.nodes) == 1 or len(group.operators) <= SMALL_OPERATORS
    )
    whole = math.fsum(seconds) + _take(measurement, measurement.attribution.fused.strays)
    return known / whole if whole else 0.0


def _report_silent(measurement: Measurement) -> dict[str, list[str]]:
    """List operators without a kernel: left out by the engine, or not found in the trace."""
    groups = measurement.attribution.fused.groups
    silent = [n for g in groups if not (*g.nodes, *g.layout) for n in g.operators]
    if measurement.attribution.fused.aliases:
        return {"untimed": [], "eliminated": silent}
    return {"untimed": silent, "eliminated": []}


def _report_providers(
    measurement: Measurement, graph: OperatorGraph, wanted: str
) -> dict[str, Any]:
    """Say which provider computed each operator, and which did not run where they should."""
    places = place_operators(measurement.attribution)
    providers: dict[str, list[str]] = {}
    for operator in graph:
        if operator.name in places:
            providers.setdefault(places[operator.name], []).append(operator.name)
    fell_back = [op.name for op in graph if places.get(op.name, wanted) != wanted]
    return {"placement_by_provider": providers, "fell_back": fell_back}


def _report_memory(
    graph: OperatorGraph, held: Mapping[int, int], first_run: Sequence[KernelEvent]
) -> dict[str, Any]:
    """Say what the whole run holds at its peak, where the engine tells."""
    if not held:
        return {}
    resident = (first_run[0].held_bytes or 0) - first_run[0].output_bytes
    return {
        "memory": {
            "peak_bytes": max(held.values()),
            "weight_bytes": sum(graph.weight_bytes.values()),
            "prepacked_bytes": max(0, resident),
        }
    }


def _round_sum(seconds: Sequence[float]) -> float:
    """Add up seconds for the file."""
    return round(math.fsum(seconds), _DIGITS)


def _round_interval(seconds: Sequence[float]) -> float | None:
    """Return the interval of the whole model's time, rounded for the file."""
    interval = relative_interval(seconds)
    return None if interval is None else round(interval, 6)
