"""``plan``: where to cut, without writing anything."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions
from onnxsplit.model.loading import ModelSource
from onnxsplit.placement import Placement, Plan
from onnxsplit.planning.constraints import Constraints
from onnxsplit.planning.plans import make_plan, make_plan_for
from onnxsplit.planning.separators import place_cut
from onnxsplit.profiles import Profile
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.tiers import DEVICE, SERVER
from onnxsplit.workflows.costing import MeasuringOptions, settle_profiles
from onnxsplit.workflows.placements import read_placement
from onnxsplit.workflows.preparation import (
    InputOptions,
    InputSource,
    PreparedModel,
    prepare_by_running,
    prepare_from_profiles,
)
from onnxsplit.workflows.targets import LinkSource, TierSource, read_tier, read_topology


def plan(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    model: ModelSource,
    *,
    device: TierSource = "local:0.05",
    server: TierSource = "local",
    link: LinkSource = "wifi",
    uplink: str | None = None,
    downlink: str | None = None,
    rtt: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: InputSource | None = None,
    pin_device: Sequence[str] = (),
    pin_server: Sequence[str] = (),
    cut_at: Sequence[str] = (),
    placement: str | os.PathLike[str] | Placement | None = None,
    require_split: bool = False,
    threads: int | None = None,
    provider: str | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> Plan:
    """Find the placement of least latency: the true optimum, or what was asked for, priced.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        Its weights are not needed when both tiers are profiles.
    device, server : path, str or Profile
        A profile, ``local`` (measure this machine) or ``local:SPEED``.
    link : path, str or Link
        A preset, a rate for both ways, or a link file.
    uplink, downlink, rtt : str, optional
        Replace single figures of the link.
    shapes, dims, inputs : mapping, mapping, path or mapping, optional
        Fix the inputs' sizes; the profiles' sizes are taken where these leave them open.
    pin_device, pin_server : sequence of str
        Globs over operator names, or ``op:TYPE``.
    cut_at : sequence of str
        Tensors; everything upstream of them runs on the device, everything else on the server.
    placement : path or Placement, optional
        Price this placement.
    require_split : bool
        Take the best proper split, even if not splitting is faster.
    threads, provider, cache
        How this machine is measured, if it is.
    progress : Progress, optional

    Returns
    -------
    Plan

    Raises
    ------
    InfeasiblePlacementError
        No placement meets the constraints, or there is no proper split.
    OnnxSplitError
        The model or a profile can't be used, a dim has no size, or an option is wrong.
    """
    progress = progress or SilentProgress()
    engine = EngineOptions(provider=provider or CPU_PROVIDER, threads=threads or 0)
    topology = read_topology(link, uplink=uplink, downlink=downlink, rtt=rtt)
    tiers = {DEVICE: read_tier(device, DEVICE), SERVER: read_tier(server, SERVER)}
    given = [source for source in tiers.values() if isinstance(source, Profile)]
    sizes = InputOptions(shapes=shapes or {}, dims=dims or {}, inputs=inputs)
    prepare = prepare_from_profiles if len(given) == len(tiers) else prepare_by_running
    prepared = prepare(model, sizes, engine, progress, profiles=given)
    profiles = settle_profiles(
        tiers, prepared, MeasuringOptions(engine=engine, cache=cache), progress
    )
    progress.report("planning")
    constraints = Constraints(pin_device=tuple(pin_device), pin_server=tuple(pin_server))
    wanted = choose_placement(prepared, topology.tiers, placement, cut_at)
    if wanted is not None:
        return make_plan_for(prepared.graph, profiles, topology, wanted, constraints=constraints)
    return make_plan(
        prepared.graph, profiles, topology, constraints=constraints, require_split=require_split
    )


def choose_placement(
    prepared: PreparedModel,
    tiers: tuple[str, ...],
    placement: str | os.PathLike[str] | Placement | None,
    cut_at: Sequence[str],
) -> Placement | None:
    """Return the placement that the caller asked for, if any.

    Raises
    ------
    UsageError
        A file or tensor can't be used.
    """
    if isinstance(placement, Placement):
        return placement
    if placement is not None:
        return read_placement(Path(placement), prepared.graph, tiers)
    return place_cut(prepared.graph, tuple(cut_at)) if cut_at else None
