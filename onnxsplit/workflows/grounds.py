"""What every plan stands on: the model with its sizes, a profile for each tier, and the link."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxsplit.model.loading import ModelSource
from onnxsplit.profiles import Profile
from onnxsplit.progress import Progress
from onnxsplit.tiers import DEVICE, SERVER, Topology
from onnxsplit.workflows.costing import MeasuringOptions, settle_profiles
from onnxsplit.workflows.preparation import (
    InputOptions,
    PreparedModel,
    prepare_by_running,
    prepare_from_profiles,
)
from onnxsplit.workflows.targets import (
    LinkSource,
    LocalTier,
    TierSource,
    read_tier,
    read_topology,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Machines and link, as the caller names them.

    Parameters
    ----------
    device, server : path, str or Profile
        A profile, ``local`` or ``local:SPEED``.
    link : path, str or Link
        A preset, a rate for both ways, or a link file.
    uplink, downlink, rtt : str or None
        Replace single figures of the link.
    """

    device: TierSource
    server: TierSource
    link: LinkSource
    uplink: str | None = None
    downlink: str | None = None
    rtt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """All that a plan needs.

    Parameters
    ----------
    prepared : PreparedModel
    profiles : mapping of str to Profile
    topology : Topology
    speeds : mapping of str to float
        Of each tier that is this machine, how many times as fast it is taken to be.
    """

    prepared: PreparedModel
    profiles: dict[str, Profile]
    topology: Topology
    speeds: Mapping[str, float] = field(default_factory=dict)


def lay_grounds(
    model: ModelSource,
    surroundings: Surroundings,
    sizes: InputOptions,
    measuring: MeasuringOptions,
    progress: Progress,
    *,
    run: bool,
) -> Grounds:
    """Read the model, its sizes, the profiles and the link.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    surroundings : Surroundings
    sizes : InputOptions
    measuring : MeasuringOptions
    progress : Progress
    run : bool
        Whether the model must be run; else that is done only where a tier is to be measured.

    Raises
    ------
    OnnxSplitError
        The model, a profile or the link can't be used, or a dim has no size.
    """
    topology = read_topology(
        surroundings.link,
        uplink=surroundings.uplink,
        downlink=surroundings.downlink,
        rtt=surroundings.rtt,
    )
    tiers = {
        DEVICE: read_tier(surroundings.device, DEVICE),
        SERVER: read_tier(surroundings.server, SERVER),
    }
    given = [source for source in tiers.values() if isinstance(source, Profile)]
    prepare = prepare_by_running if run or len(given) < len(tiers) else prepare_from_profiles
    prepared = prepare(model, sizes, measuring.engine, progress, profiles=given)
    profiles = settle_profiles(tiers, prepared, measuring, progress)
    return Grounds(
        prepared=prepared,
        profiles=profiles,
        topology=topology,
        speeds={
            tier: source.speed for tier, source in tiers.items() if isinstance(source, LocalTier)
        },
    )
