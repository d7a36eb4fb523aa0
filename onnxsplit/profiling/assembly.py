"""Put a profile together from the times that were taken."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxsplit.engines.port import EngineOptions, KernelEvent
from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.profiling.attribution import Owners, place_operators, sum_by_operator
from onnxsplit.profiling.sampling import low_quantile, relative_interval

METHOD = "unfused-scaled"

_ASSUMPTION = (
    "Operators were timed unfused and scaled so that they add up to the whole model's time at full"
    " optimisation."
)
_DIGITS = 9
"""Seconds are kept to the nanosecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Everything that was timed.

    Parameters
    ----------
    whole_seconds : tuple of float
        Wall times of the whole model with all optimisations.
    runs : tuple of sequences of KernelEvent
        The kernels of each traced run.
    owners : tuple of Owners
        The operators that the kernels of each run belong to.
    """

    whole_seconds: tuple[float, ...]
    runs: tuple[Sequence[KernelEvent], ...]
    owners: tuple[Owners, ...]


def assemble_profile(
    graph: OperatorGraph,
    measurement: Measurement,
    *,
    options: EngineOptions,
    tier: str,
    environment: Mapping[str, Any],
) -> Profile:
    """Return the profile: a group for each operator, scaled to the whole model's time.

    An operator's time is the 20th percentile of its times over the traced runs, times the whole
    model's time over the sum of all of them. What was fused or laid out anew in the whole model
    is thereby spread over all operators in proportion. Constant operators, which a session folds
    once and for all, are left out, and so are values whose size is not known.

    Parameters
    ----------
    graph : OperatorGraph
    measurement : Measurement
    options : EngineOptions
        Tells which provider was asked for.
    tier : str
    environment : mapping
    """
    kernel_seconds = _summarise_kernels(measurement)
    live = {operator.name: kernel_seconds.get(operator.name, 0.0) for operator in graph}
    kernel_sum = math.fsum(live.values())
    whole = low_quantile(measurement.whole_seconds)
    scale = whole / kernel_sum if kernel_sum else 1.0
    groups = tuple(
        OperatorGroup(operators=(name,), seconds=round(seconds * scale, _DIGITS))
        for name, seconds in live.items()
    )
    folded = {*graph.constant_operators, *graph.dead_operators}
    return Profile(
        tier=tier,
        groups=groups,
        model=graph.identity,
        tensors={name: spec for name, spec in graph.tensors.items() if spec.size_bytes is not None},
        environment=environment,
        evidence="measured",
        assumptions=(_ASSUMPTION,),
        extra={
            "method": METHOD,
            "whole_seconds": round(whole, _DIGITS),
            "kernel_sum_seconds": round(kernel_sum, _DIGITS),
            "scale": round(scale, 6),
            "runs": len(measurement.whole_seconds),
            "interval_relative": _round_interval(measurement.whole_seconds),
            "folded_seconds": _add_up(kernel_seconds, folded),
            "unattributed_seconds": round(kernel_seconds.get(None, 0.0), _DIGITS),
            "untimed": [name for name in live if name not in kernel_seconds],
            **_report_providers(measurement, live, options.provider),
        },
    )


def _summarise_kernels(measurement: Measurement) -> dict[str | None, float]:
    """Return each owner's 20th percentile over the runs."""
    sums = [
        sum_by_operator(run, owners)
        for run, owners in zip(measurement.runs, measurement.owners, strict=True)
    ]
    owners = dict.fromkeys(owner for entry in sums for owner in entry)
    return {owner: low_quantile([entry.get(owner, 0.0) for entry in sums]) for owner in owners}


def _report_providers(
    measurement: Measurement, live: Mapping[str, float], wanted: str
) -> dict[str, Any]:
    """Say which provider computed each operator, and which did not run where they should."""
    if not measurement.runs:
        return {"placement_by_provider": {}, "fell_back": []}
    places = place_operators(measurement.runs[-1], measurement.owners[-1])
    providers: dict[str, list[str]] = {}
    for name in live:
        if name in places:
            providers.setdefault(places[name], []).append(name)
    fell_back = [name for name in live if places.get(name, wanted) != wanted]
    return {"placement_by_provider": providers, "fell_back": fell_back}


def _add_up(kernel_seconds: Mapping[str | None, float], names: set[str]) -> float:
    """Add up the seconds of some operators."""
    return round(math.fsum(kernel_seconds.get(name, 0.0) for name in sorted(names)), _DIGITS)


def _round_interval(seconds: Sequence[float]) -> float | None:
    """Return the interval of the whole model's time, rounded for the file."""
    interval = relative_interval(seconds)
    return None if interval is None else round(interval, 6)
