"""Cuts as ``split.json`` describes them, of a bundle that holds one for each stretch of rates."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from onnxsplit.stage_entries import StageEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class CutEntry:
    """One of several cuts in a bundle: best over a stretch of rates, with stages of its own.

    Parameters
    ----------
    id : str
        Its name within the bundle, such as ``cut-1`` or ``all-device``.
    from_bytes_per_second, to_bytes_per_second : float
        Uplink rates over which it is best; ``inf`` where there is no end.
    constant_seconds : float
        What a run takes over a link without limits and without a round trip.
    bytes_per_uplink, bytes_per_downlink : float
        Seconds that are added for each second that a byte takes up, and down: what travels.
    round_trips : int
        1 if a tier beyond the device runs anything.
    stages : tuple of StageEntry
    yields, crossings, plan, parity, carving
        As in `onnxsplit.manifest.Manifest`.
    """

    id: str
    from_bytes_per_second: float
    to_bytes_per_second: float
    constant_seconds: float
    bytes_per_uplink: float
    bytes_per_downlink: float
    round_trips: int
    stages: tuple[StageEntry, ...]
    yields: Mapping[str, str]
    crossings: tuple[Mapping[str, Any], ...]
    plan: Mapping[str, Any]
    parity: Mapping[str, Any] | None
    carving: Mapping[str, Any]

    def predict_seconds(
        self, *, up_bytes_per_second: float, down_bytes_per_second: float, round_trip_seconds: float
    ) -> float:
        """Return what a run takes over a link."""
        return (
            self.constant_seconds
            + self.bytes_per_uplink / up_bytes_per_second
            + self.bytes_per_downlink / down_bytes_per_second
            + self.round_trips * round_trip_seconds
        )

    def to_json(self) -> dict[str, Any]:
        """Return the cut as the manifest holds it; a rate without end is null."""
        end = self.to_bytes_per_second
        return {
            "id": self.id,
            "from_bytes_per_second": self.from_bytes_per_second,
            "to_bytes_per_second": end if math.isfinite(end) else None,
            "cost": {
                "constant_seconds": self.constant_seconds,
                "bytes_per_uplink": self.bytes_per_uplink,
                "bytes_per_downlink": self.bytes_per_downlink,
                "round_trips": self.round_trips,
            },
            "stages": [stage.to_json() for stage in self.stages],
            "yields": dict(self.yields),
            "crossings": [dict(crossing) for crossing in self.crossings],
            "plan": dict(self.plan),
            "parity": None if self.parity is None else dict(self.parity),
            "carving": dict(self.carving),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read a cut from its parsed JSON; KeyError, TypeError or ValueError if malformed."""
        end, cost = document["to_bytes_per_second"], document["cost"]
        return cls(
            id=document["id"],
            from_bytes_per_second=float(document["from_bytes_per_second"]),
            to_bytes_per_second=math.inf if end is None else float(end),
            constant_seconds=float(cost["constant_seconds"]),
            bytes_per_uplink=float(cost["bytes_per_uplink"]),
            bytes_per_downlink=float(cost["bytes_per_downlink"]),
            round_trips=int(cost["round_trips"]),
            stages=tuple(StageEntry.from_json(entry) for entry in document["stages"]),
            yields=dict(document["yields"]),
            crossings=tuple(dict(entry) for entry in document["crossings"]),
            plan=dict(document["plan"]),
            parity=None if document["parity"] is None else dict(document["parity"]),
            carving=dict(document["carving"]),
        )
