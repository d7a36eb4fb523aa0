"""One epoch of split learning, priced part by part from its definition; knows nothing of cuts."""

import math

from onnxsplit.objectives import TrainingDelay
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.division import note_divided, share_groups
from onnxsplit.planning.costs.epochs import measure_labels
from onnxsplit.planning.costs.gradients import GradientFlow, follow_gradients, weigh_transfers
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.costs.travel import Travel
from onnxsplit.prediction import CostPart, PartKind
from onnxsplit.tiers import Evidence

_Way = tuple[PartKind, float, float]
"""Kind, bytes and rate."""


def price_epoch(
    question: Question, objective: TrainingDelay, placement: Placement, travel: Travel
) -> tuple[list[CostPart], tuple[str, ...]]:
    """List the parts of one epoch.

    Parameters
    ----------
    question : Question
        Its profiles have backward seconds.
    objective : TrainingDelay
    placement : Placement
    travel : Travel
        What crosses in a forward pass.

    Returns
    -------
    list of CostPart
    tuple of str
        Assumptions that only this placement makes.
    """
    flow = follow_gradients(question.graph, objective.frozen)
    epochs, notes = list_epochs(question, objective, placement, travel, flow)
    return min(epochs, key=_add_up), notes


def list_epochs(
    question: Question,
    objective: TrainingDelay,
    placement: Placement,
    travel: Travel,
    flow: GradientFlow,
) -> tuple[list[list[CostPart]], tuple[str, ...]]:
    """List the parts of one epoch for each side that the loss may be on: server, then device.

    Parameters
    ----------
    question, objective, placement, travel
        As for `price_epoch`.
    flow : GradientFlow
        What is trained.

    Returns
    -------
    list of list of CostPart
        Each is linear in the inverse rates and the round trip.
    tuple of str
        Assumptions that only this placement makes.
    """
    work, notes = _price_work(question, objective, placement, flow, travel)
    model = _price_model(question, placement, flow)
    sides = [
        _price_loss(question, objective, placement, flow, loss_on_device=on_device)
        for on_device in (False, True)
    ]
    return [[*work, *model, *links] for links in sides if links is not None], notes


def _add_up(parts: list[CostPart]) -> float:
    """Return the seconds of all parts."""
    return math.fsum(part.seconds for part in parts)


def _price_work(
    question: Question,
    objective: TrainingDelay,
    placement: Placement,
    flow: GradientFlow,
    travel: Travel,
) -> tuple[list[CostPart], tuple[str, ...]]:
    """Price computing on both sides."""
    parts: list[CostPart] = []
    divided: set[str] = set()
    for tier in placement.tiers:
        profile = question.profiles[tier]
        shares, here = share_groups(profile, placement, tier)
        divided |= here
        forward = math.fsum(group.seconds * share for group, share in shares)
        backward = math.fsum(
            (group.backward_seconds or 0.0) * share
            for group, share in shares
            if any(name in flow.backward for name in group.operators)
        )
        forward += _price_boundary(question, travel, tier)
        run = profile.run_seconds if placement.operators(tier) else 0.0
        passes: tuple[tuple[PartKind, float], ...] = (("server", forward + backward + run),)
        if tier == placement.tiers[0]:
            passes = (("device_forward", forward + run), ("device_backward", backward + run))
        parts += [
            CostPart(
                kind=kind,
                where=tier,
                seconds=objective.iterations * seconds,
                evidence=_find_evidence(question, tier, kind),
            )
            for kind, seconds in passes
            if seconds or placement.operators(tier)
        ]
    return parts, note_divided(divided)


def _find_evidence(question: Question, tier: str, kind: PartKind) -> Evidence:
    """Tell what a part of a tier rests on; what holds backward passes from a table is assumed."""
    if tier in question.tabled_tiers and kind != "device_forward":
        return "assumed"
    return question.profiles[tier].evidence


def _price_boundary(question: Question, travel: Travel, tier: str) -> float:
    """Add up what the crossings of one iteration add on a tier."""
    added = []
    for crossing in travel.crossings:
        sent, taken = question.find_boundary_seconds(
            crossing.tensor, crossing.source, crossing.target
        )
        added.append(sent if tier == crossing.source else taken)
    return math.fsum(added)


def _price_model(question: Question, placement: Placement, flow: GradientFlow) -> list[CostPart]:
    """Price the device part's way down and up; shared parameters travel once."""
    device, _ = placement.tiers
    down, up = weigh_transfers(question.graph, flow, placement.operators(device))
    link = question.topology.links[0]
    return _price_ways(
        question,
        ("model_download", float(sum(down.values())), link.down_bytes_per_second),
        ("model_upload", float(sum(up.values())), link.up_bytes_per_second),
    )


def _price_loss(
    question: Question,
    objective: TrainingDelay,
    placement: Placement,
    flow: GradientFlow,
    *,
    loss_on_device: bool,
) -> list[CostPart] | None:
    """Price what the iterations transfer with the loss on one side; None if it can't be there."""
    graph, link, tier_of = question.graph, question.topology.links[0], placement.tier_of
    device, server = placement.tiers
    made_at = {name: tier_of.get(graph.producer(name) or "", device) for name in graph.tensors}
    if loss_on_device and any(made_at[name] == server for name in flow.to_loss):
        return None
    up = down = 0
    for tensor, where in made_at.items():
        if where == server:
            continue
        size = graph.tensors[tensor].size_bytes or 0
        to_loss = tensor in flow.to_loss and not loss_on_device
        if to_loss or any(tier_of[name] == server for name in graph.consumers(tensor)):
            up += size
        sends_back = any(tier_of[name] == server for name in flow.returning.get(tensor, ()))
        if sends_back or (to_loss and graph.producer(tensor) in flow.backward):
            down += size
    labels_travel = (objective.labels_at == "server") == loss_on_device
    rate = link.down_bytes_per_second if loss_on_device else link.up_bytes_per_second
    labels = measure_labels(question, objective) if labels_travel else 0
    count = objective.iterations
    parts = _price_ways(
        question,
        ("activation_upload", float(count * up), link.up_bytes_per_second),
        ("gradient_download", float(count * down), link.down_bytes_per_second),
        ("label_transfer", float(count * labels), rate),
    )
    if placement.operators(server) or not loss_on_device:
        parts += [_travel(question, "round_trip", count * link.round_trip_seconds)]
    if not placement.operators(server) and not loss_on_device:
        run = count * question.profiles[server].run_seconds
        idle = question.profiles[server].evidence
        parts += [CostPart(kind="server", where=server, seconds=run, evidence=idle)] if run else []
    return parts


def _price_ways(question: Question, *ways: _Way) -> list[CostPart]:
    """Return the parts of the transfers that carry anything."""
    return [
        _travel(question, kind, size_bytes / rate) for kind, size_bytes, rate in ways if size_bytes
    ]


def _travel(question: Question, kind: PartKind, seconds: float) -> CostPart:
    """Return a part that is spent on the link."""
    ((near, far, link),) = question.topology.hops
    return CostPart(kind=kind, where=f"{near}->{far}", seconds=seconds, evidence=link.evidence)
