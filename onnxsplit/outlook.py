"""What surrounds an answer: how firm it is, why an operator is where it is, what moving costs."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """A placement that takes over from the best one.

    Parameters
    ----------
    verdict : str
        ``split`` or ``all-<tier>``.
    crossings : tuple of str
        Tensors.
    """

    verdict: str
    crossings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the successor as the plan holds it."""
        return {"verdict": self.verdict, "crossings": list(self.crossings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRange:
    """How far one figure may move before another placement is best, all others staying.

    Parameters
    ----------
    parameter : str
        ``up_bytes_per_second``, ``down_bytes_per_second`` or ``round_trip_seconds`` of a link,
        or the ``speed`` of a tier, where 1 is as profiled.
    where : str
        A link as ``device->server``, or a tier.
    value : float
    least, most : float
        Within these the best placement stays the best; 0 and ``inf`` where nothing ends it.
    below, above : Successor or None
        What is best just outside.
    regret_if_halved_seconds, regret_if_doubled_seconds : float or None
        What staying with the placement costs against the best one when the figure is half, or
        twice, as large; joules where the objective is energy. None where the figure is 0 or
        ``inf``.
    """

    parameter: str
    where: str
    value: float
    least: float
    most: float
    below: Successor | None
    above: Successor | None
    regret_if_halved_seconds: float | None
    regret_if_doubled_seconds: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the range as the plan holds it; null stands for no end, or an infinite rate."""
        return {
            "parameter": self.parameter,
            "tier" if self.parameter == "speed" else "link": self.where,
            "value": _finite(self.value),
            "least": self.least,
            "most": _finite(self.most),
            "below": None if self.below is None else self.below.to_json(),
            "above": None if self.above is None else self.above.to_json(),
            "regret_if_halved_seconds": self.regret_if_halved_seconds,
            "regret_if_doubled_seconds": self.regret_if_doubled_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """How firm the best placement of all is.

    Parameters
    ----------
    of : Successor
        The placement that is best as things are.
    ranges : tuple of ParameterRange
    """

    of: Successor
    ranges: tuple[ParameterRange, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the sensitivity as the plan holds it."""
        return {"of": self.of.to_json(), "ranges": [entry.to_json() for entry in self.ranges]}


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTier:
    """What is best with an operator on another tier than the plan's.

    Parameters
    ----------
    tier : str
    difference_seconds : float or None
        Against the plan; joules where the objective is energy; None where it can't be there.
    moved : tuple of str
        Operators on other tiers than in the plan, the operator itself among them.
    crossings : tuple of str
        Tensors that cross then.
    crossing_bytes : int
    obstacle : str
        Why it can't be there; empty where it can.
    """

    tier: str
    difference_seconds: float | None
    moved: tuple[str, ...] = ()
    crossings: tuple[str, ...] = ()
    crossing_bytes: int = 0
    obstacle: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the alternative as the plan holds it."""
        return {
            "tier": self.tier,
            "difference_seconds": self.difference_seconds,
            "moved": list(self.moved),
            "crossings": list(self.crossings),
            "crossing_bytes": self.crossing_bytes,
            "obstacle": self.obstacle,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an operator is where it is.

    Parameters
    ----------
    operator : str
    tier : str
    others : tuple of OtherTier
    """

    operator: str
    tier: str
    others: tuple[OtherTier, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as the plan holds it."""
        return {
            "operator": self.operator,
            "tier": self.tier,
            "others": [entry.to_json() for entry in self.others],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    """A placement that no other beats in both latency and period.

    Parameters
    ----------
    latency_seconds, period_seconds : float
    placement : Successor
    """

    latency_seconds: float
    period_seconds: float
    placement: Successor

    def to_json(self) -> dict[str, Any]:
        """Return the trade-off as the plan holds it."""
        return {
            "latency_seconds": self.latency_seconds,
            "period_seconds": self.period_seconds,
            **self.placement.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The trade-offs between latency and throughput.

    Parameters
    ----------
    points : tuple of TradeOff
        From the least period to the least latency.
    is_complete : bool
        Every placement was looked at; else these are the ones that were found.
    """

    points: tuple[TradeOff, ...]
    is_complete: bool

    def to_json(self) -> dict[str, Any]:
        """Return the front as the plan holds it."""
        return {
            "complete": self.is_complete,
            "points": [point.to_json() for point in self.points],
        }


def _finite(number: float) -> float | None:
    """Write infinity as JSON can."""
    return None if number == float("inf") else number
