"""Machines and the links between them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Self

from onnxsplit.errors import UsageError
from onnxsplit.units import format_duration, format_rate, parse_duration, parse_rate

Evidence = Literal["measured", "scaled", "assumed"]
"""Where a number comes from: measured as it is, measured and scaled, or assumed."""

DEVICE = "device"
SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What joins two neighbouring tiers.

    Parameters
    ----------
    up_bytes_per_second, down_bytes_per_second : float
        Rates away from and towards the device; ``inf`` is allowed.
    round_trip_seconds : float
        Time for an empty message there and back.
    evidence : str
        ``measured`` for a probed link, ``assumed`` for presets and typed-in rates.
    label : str
        How people call it, such as ``wifi``; shown, never computed with.

    Raises
    ------
    UsageError
        A rate is not positive, or the round trip is negative or not finite.
    """

    up_bytes_per_second: float
    down_bytes_per_second: float
    round_trip_seconds: float = 0.0
    evidence: Evidence = "assumed"
    label: str = ""

    def __post_init__(self) -> None:
        """Refuse rates and times that no link has."""
        for name in ("up_bytes_per_second", "down_bytes_per_second"):
            if not getattr(self, name) > 0:
                raise UsageError(
                    f"The link's {name} is {getattr(self, name)!r}; it must be positive."
                )
        if not 0 <= self.round_trip_seconds < float("inf"):
            raise UsageError(
                f"The link's round_trip_seconds is {self.round_trip_seconds!r};"
                " it must be finite and not negative."
            )

    @staticmethod
    def parse(
        text: str, *, up: str | None = None, down: str | None = None, rtt: str | None = None
    ) -> "Link":
        """Read a link from a preset's name or a rate, with overrides.

        Parameters
        ----------
        text : str
            A preset (``3g``, ``4g``, ``5g``, ``wifi``, ``ethernet``) or one rate for both ways
            (``20 Mbit/s``).
        up, down, rtt : str, optional
            Replace the uplink rate, the downlink rate or the round trip.

        Raises
        ------
        UsageError
            The text is neither a preset nor a rate, or an override has no unit.

        Examples
        --------
        >>> Link.parse("20 Mbit/s", rtt="15 ms").describe()
        'up 20 Mbit/s, down 20 Mbit/s, round trip 15 ms'
        """
        preset = LINK_PRESETS.get(text.strip().lower())
        if preset is None:
            rate = _parse_rate_or_preset(text)
            preset = Link(up_bytes_per_second=rate, down_bytes_per_second=rate)
        return preset.override(up=up, down=down, rtt=rtt)

    def override(
        self, *, up: str | None = None, down: str | None = None, rtt: str | None = None
    ) -> Self:
        """Return the link with the given figures replaced; typed-in figures are assumptions.

        Raises
        ------
        UsageError
            A figure has no unit or is not positive.
        """
        if up is None and down is None and rtt is None:
            return self
        return replace(
            self,
            up_bytes_per_second=parse_rate(up) if up else self.up_bytes_per_second,
            down_bytes_per_second=parse_rate(down) if down else self.down_bytes_per_second,
            round_trip_seconds=parse_duration(rtt) if rtt else self.round_trip_seconds,
            evidence="assumed",
        )

    def describe(self) -> str:
        """Say the rates and the round trip in one line."""
        return (
            f"up {format_rate(self.up_bytes_per_second)},"
            f" down {format_rate(self.down_bytes_per_second)},"
            f" round trip {format_duration(self.round_trip_seconds)}"
        )


def _parse_rate_or_preset(text: str) -> float:
    """Read a rate, and name the presets when it is none."""
    try:
        return parse_rate(text)
    except UsageError as error:
        raise UsageError(f"{error} Link presets are {', '.join(LINK_PRESETS)}.") from error


def _nominal(label: str, up: str, down: str, rtt: str) -> Link:
    """Build one preset."""
    return Link(
        up_bytes_per_second=parse_rate(up),
        down_bytes_per_second=parse_rate(down),
        round_trip_seconds=parse_duration(rtt),
        label=label,
    )


LINK_PRESETS: Mapping[str, Link] = {
    "3g": _nominal("3g", "1.1 Mbit/s", "2 Mbit/s", "100 ms"),
    "4g": _nominal("4g", "5.85 Mbit/s", "20 Mbit/s", "50 ms"),
    "5g": _nominal("5g", "50 Mbit/s", "200 Mbit/s", "15 ms"),
    "wifi": _nominal("wifi", "100 Mbit/s", "100 Mbit/s", "5 ms"),
    "ethernet": _nominal("ethernet", "1000 Mbit/s", "1000 Mbit/s", "0.5 ms"),
}
"""Nominal links: assumptions, not measurements. The uplinks of 3g and 4g are those of Hu et al.,
"Dynamic Adaptive DNN Surgery for Inference Acceleration on the Edge", INFOCOM 2019."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Tiers in a chain with a link between neighbours; the first tier holds the inputs.

    Raises
    ------
    UsageError
        Names are not unique, there are fewer than two tiers, or links do not match the tiers.
    """

    tiers: tuple[str, ...]
    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        """Refuse chains that do not fit together."""
        if len(set(self.tiers)) != len(self.tiers):
            raise UsageError(f"Tier names must be unique; these are not: {', '.join(self.tiers)}.")
        if len(self.tiers) < 2:  # noqa: PLR2004 - two ends make a link
            raise UsageError("A topology needs at least two tiers.")
        if len(self.links) != len(self.tiers) - 1:
            raise UsageError(
                f"{len(self.tiers)} tiers need {len(self.tiers) - 1} links between neighbours,"
                f" and {len(self.links)} were given."
            )

    @classmethod
    def pair(cls, link: Link) -> Self:
        """Join a device and a server by one link."""
        return cls(tiers=(DEVICE, SERVER), links=(link,))

    @property
    def hops(self) -> tuple[tuple[str, str, Link], ...]:
        """Neighbouring tiers with the link between them, from the device on."""
        pairs = pairwise(self.tiers)
        return tuple((a, b, link) for (a, b), link in zip(pairs, self.links, strict=True))
