"""What the caller says of machines and link, turned into profiles and a topology."""

import os
from dataclasses import dataclass
from pathlib import Path

from onnxsplit.errors import UsageError
from onnxsplit.profiles import Profile
from onnxsplit.profiling.storage import read_profile
from onnxsplit.tiers import LINK_PRESETS, Link, Topology
from onnxsplit.workflows.links import read_link

TierSource = str | os.PathLike[str] | Profile
LinkSource = str | os.PathLike[str] | Link

DEFAULT_DEVICE = "local:0.05"
DEFAULT_SERVER = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTier:
    """The machine at hand, or an imagined one that is ``speed`` times as fast.

    Parameters
    ----------
    speed : float
        Positive; 1 is this machine as it is.
    """

    speed: float = 1.0


def read_tier(source: TierSource, tier: str, *, flag: str | None = None) -> Profile | LocalTier:
    """Read ``local``, ``local:SPEED``, a profile file or a profile.

    Parameters
    ----------
    source : str, path or Profile
    tier : str
        The tier that it stands for; it replaces the one in the file.
    flag : str, optional
        What the caller typed before the source, for messages; ``--<tier>`` if not given.

    Raises
    ------
    UsageError
        The speed is no positive number, or there is no such file.
    ProfileError
        The file is no profile.
    """
    if isinstance(source, Profile):
        return source
    text, flag = os.fspath(source), flag or f"--{tier} "
    if text == "local":
        return LocalTier()
    if text.startswith("local:"):
        return LocalTier(speed=_parse_speed(text.removeprefix("local:"), flag))
    if not Path(text).is_file():
        raise UsageError(
            f"{flag}{text}: there is no such profile file; give a file that"
            " `onnxsplit profile` wrote, `local`, or `local:SPEED` such as local:0.05."
        )
    return read_profile(Path(text))


def read_topology(
    link: LinkSource,
    *,
    uplink: str | None = None,
    downlink: str | None = None,
    rtt: str | None = None,
) -> Topology:
    """Read a preset, a rate, a link file or a link, with overrides.

    Parameters
    ----------
    link : str, path or Link
    uplink, downlink : str, optional
        Rates that replace the link's own, such as ``5 Mbit/s``.
    rtt : str, optional
        Round trip that replaces the link's own, such as ``15 ms``.

    Raises
    ------
    UsageError
        The link is neither a preset, a rate nor a file, or an override has no unit.
    """
    base = _read_link(link)
    return Topology.pair(base.override(up=uplink, down=downlink, rtt=rtt))


def _read_link(source: LinkSource) -> Link:
    """Read a link without its overrides."""
    if isinstance(source, Link):
        return source
    text = os.fspath(source)
    if text.strip().lower() not in LINK_PRESETS and Path(text).is_file():
        return read_link(Path(text))
    try:
        return Link.parse(text)
    except UsageError as error:
        raise UsageError(
            f"--link {text}: {error} Or name a link file; there is none here."
        ) from error


def _parse_speed(text: str, flag: str) -> float:
    """Read the SPEED of ``local:SPEED``."""
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise UsageError(
            f"{flag}local:{text}: the speed must be a positive number, such as local:0.05 for a"
            " machine twenty times slower than this one."
        )
    return speed
