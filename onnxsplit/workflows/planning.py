"""``plan``: where to cut, without writing anything."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions
from onnxsplit.model.loading import ModelSource
from onnxsplit.placement import Placement, Plan
from onnxsplit.planning.constraints import Constraints
from onnxsplit.planning.plans import make_plan, make_plan_for
from onnxsplit.planning.question import pose_question
from onnxsplit.planning.separators import place_cut
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.workflows.costing import MeasuringOptions
from onnxsplit.workflows.grounds import Grounds, Surroundings, lay_grounds
from onnxsplit.workflows.placements import read_placement
from onnxsplit.workflows.preparation import InputOptions, InputSource
from onnxsplit.workflows.targets import DEFAULT_DEVICE, DEFAULT_SERVER, LinkSource, TierSource


def plan(  # noqa: PLR0913 - one argument for each thing that a caller may want to say
    model: ModelSource,
    *,
    device: TierSource = DEFAULT_DEVICE,
    server: TierSource = DEFAULT_SERVER,
    link: LinkSource = "wifi",
    uplink: str | None = None,
    downlink: str | None = None,
    rtt: str | None = None,
    costs: str | os.PathLike[str] | None = None,
    device_scale: str | os.PathLike[str] | None = None,
    server_scale: str | os.PathLike[str] | None = None,
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
    costs : path, optional
        A CSV of every operator's seconds on both tiers, in the place of device and server.
    device_scale, server_scale : path, optional
        Tables (CSV or JSON) of how many times as long each operator type takes there.
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
    grounds = lay_grounds(
        model,
        Surroundings(
            device=device,
            server=server,
            link=link,
            uplink=uplink,
            downlink=downlink,
            rtt=rtt,
            costs=costs,
            device_scale=device_scale,
            server_scale=server_scale,
        ),
        InputOptions(shapes=shapes or {}, dims=dims or {}, inputs=inputs),
        MeasuringOptions(engine=engine, cache=cache),
        progress,
        run=False,
    )
    progress.report("planning")
    question = pose_question(grounds.prepared.graph, grounds.profiles, grounds.topology)
    constraints = Constraints(pin_device=tuple(pin_device), pin_server=tuple(pin_server))
    wanted = _choose_placement(grounds, placement, cut_at)
    if wanted is None:
        return make_plan(question, constraints=constraints, require_split=require_split)
    return make_plan_for(question, wanted, constraints=constraints)


def _choose_placement(
    grounds: Grounds,
    placement: str | os.PathLike[str] | Placement | None,
    cut_at: Sequence[str],
) -> Placement | None:
    """Return the placement that the caller asked for, if any."""
    if isinstance(placement, Placement):
        return placement
    if placement is not None:
        return read_placement(Path(placement), grounds.prepared.graph, grounds.topology.tiers)
    return place_cut(grounds.prepared.graph, tuple(cut_at)) if cut_at else None
