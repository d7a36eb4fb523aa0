"""The answer for every bandwidth: which placement is best where, and what it costs there."""

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from onnxsplit.errors import InternalError, UsageError
from onnxsplit.graph import ModelIdentity
from onnxsplit.placement import Crossing, Placement
from onnxsplit.tiers import Link

FRONTIER_SCHEMA = "onnxsplit.frontier/1"

_SAME_RATIO = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierCut:
    """A placement that is best at some rates, with its cost as a function of them.

    Parameters
    ----------
    placement : Placement
    crossings, downloads : tuple of Crossing
        What travels away from the device, and the model outputs that come back.
    constant : float
        What it costs over links without limit, in the objective's unit.
    per_inverse_uplink, per_inverse_downlink : float
        What is added for each second that a byte takes up, and down.
    """

    placement: Placement
    crossings: tuple[Crossing, ...]
    downloads: tuple[Crossing, ...]
    constant: float
    per_inverse_uplink: float
    per_inverse_downlink: float

    def cost(self, link: Link) -> float:
        """Return what it costs over a link of the frontier's round trip."""
        return (
            self.constant
            + self.per_inverse_uplink / link.up_bytes_per_second
            + self.per_inverse_downlink / link.down_bytes_per_second
        )

    def to_json(self) -> dict[str, Any]:
        """Return the cut as the frontier's file holds it."""
        placement = self.placement
        return {
            "verdict": placement.verdict,
            "crossings": [crossing.to_json() for crossing in self.crossings],
            "downloads": [crossing.to_json() for crossing in self.downloads],
            "cost": {
                "constant": self.constant,
                "per_inverse_uplink": self.per_inverse_uplink,
                "per_inverse_downlink": self.per_inverse_downlink,
            },
            "placement": {tier: list(placement.operators(tier)) for tier in placement.tiers},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierSegment:
    """A stretch of uplink rates with one best placement.

    Parameters
    ----------
    from_bytes_per_second, to_bytes_per_second : float
        Uplink rates at which its neighbours cost the same; 0 and ``inf`` at the ends.
    cut : FrontierCut
    """

    from_bytes_per_second: float
    to_bytes_per_second: float
    cut: FrontierCut

    def to_json(self) -> dict[str, Any]:
        """Return the segment as the frontier's file holds it; a rate without end is null."""
        end = self.to_bytes_per_second
        return {
            "from_bytes_per_second": self.from_bytes_per_second,
            "to_bytes_per_second": end if math.isfinite(end) else None,
            **self.cut.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Every placement that is best at some bandwidth.

    Parameters
    ----------
    model : ModelIdentity
    objective : str
    unit : str
        Of the costs: ``s`` or ``J``.
    tiers : tuple of str
    down_per_up : float
        Downlink rate over uplink rate, the same along all segments.
    round_trip_seconds : float
        The same everywhere.
    restriction : str
        What the best was taken over, such as ``proper splits``; empty for all placements.
    segments : tuple of FrontierSegment
        Whole from 0 to infinity, without gaps.
    regions : tuple of FrontierCut
        In two dimensions, every cut that is best at some pair of rates: at each pair it is the
        cheapest of these. Empty if it was not asked for.
    scope : str
        The graph on which the cuts were certified.
    relative_rounding : float
        How far, at the rates where cuts were found, a true optimum may lie below, as a share.
    solves : int
        Minimum cuts that it took.
    assumptions : tuple of str

    Raises
    ------
    InternalError
        Segments leave a gap.
    """

    model: ModelIdentity
    objective: str
    unit: str
    tiers: tuple[str, ...]
    down_per_up: float
    round_trip_seconds: float
    segments: tuple[FrontierSegment, ...]
    restriction: str = ""
    regions: tuple[FrontierCut, ...] = ()
    scope: str = "original"
    relative_rounding: float = 0.0
    solves: int = field(default=0, compare=False)
    assumptions: tuple[str, ...] = ()
    _starts: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse gaps, and make ready for look-ups."""
        ends = (0.0, *(segment.to_bytes_per_second for segment in self.segments))
        starts = tuple(segment.from_bytes_per_second for segment in self.segments)
        if ends != (*starts, math.inf):
            raise InternalError(f"The frontier's segments start at {starts} and end at {ends[1:]}.")
        object.__setattr__(self, "_starts", starts)

    def at(self, link: Link) -> FrontierCut:
        """Look the best placement over a link up.

        Parameters
        ----------
        link : Link
            Of the frontier's round trip; in one dimension also of its ratio of rates.

        Returns
        -------
        FrontierCut

        Raises
        ------
        UsageError
            The frontier says nothing of such a link.

        Notes
        -----
        A search among the breakpoints in one dimension, the least of all regions in two.
        """
        if link.round_trip_seconds != self.round_trip_seconds:
            raise UsageError(
                f"The frontier is for a round trip of {self.round_trip_seconds} s, not of"
                f" {link.round_trip_seconds} s; make one for that."
            )
        if self.regions:
            return min(self.regions, key=lambda cut: cut.cost(link))
        up, down = link.up_bytes_per_second, link.down_bytes_per_second
        wanted = self.down_per_up * up
        if down != wanted and not math.isclose(down, wanted, rel_tol=_SAME_RATIO):
            raise UsageError(
                f"The frontier is for a downlink {self.down_per_up:g} times as fast as the uplink;"
                " ask for it in two dimensions to look other links up."
            )
        return self.segments[max(0, bisect_right(self._starts, up) - 1)].cut

    def to_json(self) -> dict[str, Any]:
        """Return the frontier as its file holds it (``onnxsplit.frontier/1``)."""
        document = {
            "schema": FRONTIER_SCHEMA,
            "model": {"sha256": self.model.sha256, "structure": self.model.structure},
            "objective": self.objective,
            "unit": self.unit,
            "tiers": list(self.tiers),
            "down_per_up": self.down_per_up,
            "round_trip_seconds": self.round_trip_seconds,
            "restriction": self.restriction,
            "segments": [segment.to_json() for segment in self.segments],
            "certificate": {"scope": self.scope, "relative_rounding": self.relative_rounding},
            "assumptions": list(self.assumptions),
        }
        if self.regions:
            document["regions"] = [region.to_json() for region in self.regions]
        return document
