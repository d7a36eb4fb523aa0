"""What many runs took, in a few figures."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from onnxsplit.manifest import Manifest
from onnxsplit.runtime.run_traces import RunTrace

PART_NAMES = ("device", "encode", "network", "server", "decode")
_HIGH = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Many runs in a few figures.

    Parameters
    ----------
    runs : int
        Those that gave a result.
    routes : mapping of str to int
        How many took which way, those that were dropped included.
    cuts : mapping of str to int
        Of a bundle of several cuts, how many ran which.
    retries : int
        Requests that were sent again.
    median_seconds, high_seconds, least_seconds, most_seconds : float or None
        Of the whole run on a warm connection (the second is the 90th percentile); on a new one
        where there was no other. None without runs.
    first_seconds : float or None
        Of the first run, on a connection that was opened for it.
    part_seconds : mapping of str to float
        Medians of the same runs: ``device``, ``encode``, ``network``, ``server``, ``decode``.
    period_seconds : float or None
        From one result to the next, over all runs.
    sent_bytes, received_bytes : int
        Medians.
    """

    runs: int
    routes: Mapping[str, int]
    cuts: Mapping[str, int]
    retries: int
    median_seconds: float | None
    high_seconds: float | None
    least_seconds: float | None
    most_seconds: float | None
    first_seconds: float | None
    part_seconds: Mapping[str, float]
    period_seconds: float | None
    sent_bytes: int
    received_bytes: int

    @classmethod
    def of(cls, traces: Sequence[RunTrace], elapsed_seconds: float) -> "RunSummary":
        """Sum up runs that took so long together.

        Where some were split, those alone tell the times: what the device did while the server was
        away is counted in ``routes``.
        """
        ran = [trace for trace in traces if trace.route != "dropped"]
        split = [trace for trace in ran if trace.route == "split"] or ran
        warm = [trace for trace in split if not trace.is_fresh] or split
        totals = sorted(trace.total_seconds for trace in warm)
        fresh = [trace.total_seconds for trace in split if trace.is_fresh]
        return cls(
            runs=len(ran),
            routes=_count(trace.route for trace in traces),
            cuts=_count(trace.cut for trace in ran if trace.cut),
            retries=sum(trace.retries for trace in ran),
            median_seconds=median(totals) if totals else None,
            high_seconds=totals[math.ceil(_HIGH * len(totals)) - 1] if totals else None,
            least_seconds=totals[0] if totals else None,
            most_seconds=totals[-1] if totals else None,
            first_seconds=fresh[0] if fresh else None,
            part_seconds=_find_medians(warm),
            period_seconds=elapsed_seconds / len(ran) if ran else None,
            sent_bytes=_median_of(warm, lambda trace: trace.sent_bytes),
            received_bytes=_median_of(warm, lambda trace: trace.received_bytes),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figures as ``run --format json`` prints them."""
        return {
            "runs": self.runs,
            "routes": dict(self.routes),
            "cuts": dict(self.cuts),
            "retries": self.retries,
            "latency": {
                "median_seconds": self.median_seconds,
                "high_seconds": self.high_seconds,
                "least_seconds": self.least_seconds,
                "most_seconds": self.most_seconds,
                "first_seconds": self.first_seconds,
            },
            "parts": dict(self.part_seconds),
            "period_seconds": self.period_seconds,
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
        }


def predict_parts(manifest: Manifest) -> dict[str, float]:
    """Return what a plan says of the parts that a run measures; empty if it does not tell.

    What the cut adds on a machine counts for that machine, encoding and decoding for none: plans
    know neither.
    """
    predicted: Any = manifest.plan.get("predicted") or {}
    tiers = manifest.plan.get("tiers") or [""]
    parts = dict.fromkeys(("device", "network", "server"), 0.0)
    for part in predicted.get("parts", ()):
        where = part.get("tier")
        name = "network" if where is None else "device" if where == tiers[0] else "server"
        parts[name] += part["seconds"]
    return parts if predicted.get("parts") else {}


def _find_medians(traces: Sequence[RunTrace]) -> dict[str, float]:
    """Return the median of every part."""
    return {
        name: median(getattr(trace, f"{name}_seconds") for trace in traces) if traces else 0.0
        for name in PART_NAMES
    }


def _median_of(traces: Sequence[RunTrace], read: Callable[[RunTrace], int]) -> int:
    """Return a median in whole numbers."""
    return int(median(map(read, traces))) if traces else 0


def _count(names: Iterable[str]) -> dict[str, int]:
    """Count names, in the order in which they come."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts
