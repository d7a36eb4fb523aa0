"""Chains of tiers with names of the caller's own, and the links between neighbours."""

from collections.abc import Mapping, Sequence
from os import PathLike

from onnxsplit.errors import UsageError
from onnxsplit.profiles import Profile
from onnxsplit.tiers import Link, Topology
from onnxsplit.workflows.targets import LinkSource, LocalTier, TierSource, read_tier, read_topology

Tiers = Mapping[str, TierSource]
"""Name to profile, ``local`` or ``local:SPEED``; the device side first."""

Links = LinkSource | Sequence[LinkSource]

_ARROW = "->"


def list_links(link: Links) -> tuple[LinkSource, ...]:
    """Return one link, or several, as a tuple."""
    if isinstance(link, str | PathLike | Link):
        return (link,)
    return tuple(link)


def read_chain(tiers: Tiers) -> dict[str, Profile | LocalTier]:
    """Read what each named tier is.

    Parameters
    ----------
    tiers : mapping of str to path, str or Profile
        The device side first.

    Raises
    ------
    UsageError
        There are fewer than two, a name can't be used, or a source is neither file nor ``local``.
    ProfileError
        A file is no profile.
    """
    if len(tiers) < 2:  # noqa: PLR2004 - two ends make a link
        raise UsageError(
            f"--tier names {', '.join(tiers)} alone; give at least two, the device side first, or"
            " --device and --server."
        )
    for name in tiers:
        if not name.strip() or name != name.strip() or _ARROW in name or not name.isprintable():
            raise UsageError(
                f"--tier {name!r} is no name for a tier: it must be printable, without {_ARROW!r}"
                " and without spaces at its ends, such as edge."
            )
    return {name: read_tier(source, name, flag=f"--tier {name}=") for name, source in tiers.items()}


def read_links(
    links: Sequence[LinkSource],
    tiers: Sequence[str],
    *,
    uplink: str | None = None,
    downlink: str | None = None,
    rtt: str | None = None,
) -> Topology:
    """Join tiers by links.

    Parameters
    ----------
    links : sequence of path, str or Link
        One for each pair of neighbours, the device's first.
    tiers : sequence of str
        The device side first.
    uplink, downlink, rtt : str, optional
        Replace single figures of the link, where there is just one.

    Raises
    ------
    UsageError
        The number of links does not fit, a link can't be read, or figures are replaced where there
        are several links.
    """
    if len(links) != len(tiers) - 1:
        need = len(tiers) - 1
        once = "once" if need == 1 else f"{need} times, the device's first"
        raise UsageError(
            f"The tiers {', '.join(tiers)} need {need} link{'s' if need > 1 else ''}, one for each"
            f" pair of neighbours, not {len(links)}; give --link {once}."
        )
    if len(links) == 1:
        base = read_topology(links[0], uplink=uplink, downlink=downlink, rtt=rtt)
        return Topology(tiers=tuple(tiers), links=base.links)
    given = {"--uplink": uplink, "--downlink": downlink, "--rtt": rtt}
    for flag, value in given.items():
        if value is not None:
            raise UsageError(
                f"{flag} replaces a figure of the one link, and here are {len(links)}; give a link"
                " file for each link that is neither a preset nor a rate."
            )
    read = tuple(read_topology(link).links[0] for link in links)
    return Topology(tiers=tuple(tiers), links=read)
