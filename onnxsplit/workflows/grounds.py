"""What every plan stands on: the model with its sizes, a profile for each tier, and the link."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from onnxsplit.engines.port import EngineOptions, Runtime
from onnxsplit.errors import UsageError
from onnxsplit.model.loading import ModelSource
from onnxsplit.planning.costs.scaling import FactorTable, profiles_from_costs, scale_by_type
from onnxsplit.profiles import Profile
from onnxsplit.progress import Progress
from onnxsplit.tiers import DEVICE, SERVER, Topology
from onnxsplit.workflows.benches import MeasuringOptions
from onnxsplit.workflows.chains import Tiers, read_chain, read_links
from onnxsplit.workflows.costing import settle_profiles
from onnxsplit.workflows.preparation import (
    InputOptions,
    PreparedModel,
    prepare_by_running,
    prepare_from_profiles,
)
from onnxsplit.workflows.runtimes import assign_engines
from onnxsplit.workflows.tables import read_costs, read_factors
from onnxsplit.workflows.targets import (
    DEFAULT_DEVICE,
    DEFAULT_SERVER,
    LinkSource,
    LocalTier,
    TierSource,
    read_tier,
)

TablePath = str | PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Machines and link, as the caller names them.

    Parameters
    ----------
    device, server : path, str or Profile
        A profile, ``local`` or ``local:SPEED``.
    links : tuple of path, str or Link
        Presets, rates for both ways, or link files; one for each pair of neighbours.
    tiers : mapping of str to path, str or Profile
        A chain of the caller's own, in the place of device and server; the device side first.
    uplink, downlink, rtt : str or None
        Replace single figures of the link, where there is just one.
    device_runtime, server_runtime : str or None
        What the first and the last tier run on; None for what their profiles were measured on.
    costs : path or None
        A table of every operator's seconds on both tiers, in the place of device and server.
    device_scale, server_scale : path or None
        Tables of how many times as long each operator type takes there.
    """

    device: TierSource
    server: TierSource
    links: tuple[LinkSource, ...]
    tiers: Tiers = field(default_factory=dict)
    uplink: str | None = None
    downlink: str | None = None
    rtt: str | None = None
    device_runtime: Runtime | None = None
    server_runtime: Runtime | None = None
    costs: TablePath | None = None
    device_scale: TablePath | None = None
    server_scale: TablePath | None = None

    def read_tiers(self) -> dict[str, Profile | LocalTier]:
        """Return what each tier is.

        Raises
        ------
        UsageError, ProfileError
            A file is missing or malformed, or tiers come beside a table of costs.
        """
        has_pair = (self.device, self.server) != (DEFAULT_DEVICE, DEFAULT_SERVER)
        if self.tiers:
            self._check_alone(has_pair=has_pair)
            return read_chain(self.tiers)
        if self.costs is None:
            return {
                DEVICE: read_tier(self.device, DEVICE),
                SERVER: read_tier(self.server, SERVER),
            }
        if has_pair:
            raise UsageError(
                "--costs holds the costs of both tiers; drop it, or --device and --server."
            )
        path = Path(self.costs)
        return {**profiles_from_costs(read_costs(path), (DEVICE, SERVER), source=path.name)}

    def _check_alone(self, *, has_pair: bool) -> None:
        """Refuse what speaks of device and server beside a chain of other tiers."""
        given = {
            "--device and --server": has_pair,
            "--costs": self.costs is not None,
            "--device-scale": self.device_scale is not None,
            "--server-scale": self.server_scale is not None,
        }
        for flag, is_given in given.items():
            if is_given:
                raise UsageError(
                    f"--tier says what every tier is, so {flag} can't be given as well; drop one of"
                    " the two."
                )

    def read_links(self, tiers: Iterable[str]) -> Topology:
        """Return the chain of these tiers.

        Raises
        ------
        UsageError
            The links do not fit the tiers, or one can't be read.
        """
        return read_links(
            self.links, tuple(tiers), uplink=self.uplink, downlink=self.downlink, rtt=self.rtt
        )

    def read_scales(self) -> dict[str, FactorTable]:
        """Return the tables to scale tiers by.

        Raises
        ------
        UsageError
            A file is missing or malformed.
        """
        given = {DEVICE: self.device_scale, SERVER: self.server_scale}
        return {
            tier: read_factors(Path(path), f"--{tier}-scale")
            for tier, path in given.items()
            if path is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """All that a plan needs.

    Parameters
    ----------
    prepared : PreparedModel
    profiles : mapping of str to Profile
    topology : Topology
    speeds : mapping of str to float
        Of each tier that is this machine, how many times as fast it is taken to be; a tier that
        is scaled by operator type has no one speed, and is left out.
    engines : mapping of str to EngineOptions
        What each tier runs on.
    lacking : mapping of str to tuple of str
        Operators that a tier's runtime said it can't run, where it was asked.
    """

    prepared: PreparedModel
    profiles: dict[str, Profile]
    topology: Topology
    speeds: Mapping[str, float] = field(default_factory=dict)
    engines: Mapping[str, EngineOptions] = field(default_factory=dict)
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    tiers, scales = surroundings.read_tiers(), surroundings.read_scales()
    topology = surroundings.read_links(tiers)
    engines = assign_engines(
        tiers,
        measuring.engine,
        device_runtime=surroundings.device_runtime,
        server_runtime=surroundings.server_runtime,
    )
    given = [source for source in tiers.values() if isinstance(source, Profile)]
    prepare = prepare_by_running if run or len(given) < len(tiers) else prepare_from_profiles
    prepared = prepare(model, sizes, measuring.engine, progress, profiles=given)
    profiles = settle_profiles(tiers, prepared, measuring, progress, engines=engines)
    for tier, table in scales.items():
        profiles[tier] = scale_by_type(profiles[tier], prepared.graph, table)
    return Grounds(
        prepared=prepared,
        profiles=profiles,
        topology=topology,
        engines=engines,
        speeds={
            tier: source.speed
            for tier, source in tiers.items()
            if isinstance(source, LocalTier) and tier not in scales
        },
    )
