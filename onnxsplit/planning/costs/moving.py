"""What moving from an earlier placement costs: the weights that a tier lacks, over the link.

A tier holds every initializer that any of its operators used before. What it needs and does not
hold is sent to it once, in addition to what a run transfers, and spread over the runs until the
placement changes again. What a tier no longer needs is dropped for nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from onnxsplit.errors import UsageError
from onnxsplit.objectives import Throughput, TrainingDelay
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.charges import Charges, Floats, SharedCharge, down_column, up_column
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.planning.costs.prices import SecondPrices
from onnxsplit.planning.costs.question import Origin, Question
from onnxsplit.planning.demands.constraints import check_operators
from onnxsplit.prediction import CostPart, PartKind

_TIERS = 2


def refuse_other_moves(question: Question) -> None:
    """Refuse what moving has no meaning for.

    Parameters
    ----------
    question : Question

    Raises
    ------
    UsageError
        The chain is longer, the objective is not a sum over one inference, there is a mix, or the
        earlier placement leaves out an operator.
    """
    if isinstance(question.objective, TrainingDelay):
        raise UsageError(
            "--from: an epoch of training brings the device's part down and up again anyway, so"
            " that moving costs nothing more; leave it out."
        )
    if isinstance(question.objective, Throughput) or question.variants:
        other = "a mix" if question.variants else "throughput"
        raise UsageError(f"--from is for single inferences, not for {other}; leave it out.")
    if len(question.topology.tiers) != _TIERS:
        raise UsageError("--from is for a device and a server; leave it out for a longer chain.")
    if question.origin is not None:
        check_operators(question.graph, question.topology, question.origin.placement)


def charge_moving(
    question: Question, origin: Origin, coarse: CoarseGraph, charges: Charges, prices: SecondPrices
) -> Charges:
    """Add to charges what moving costs.

    Parameters
    ----------
    question : Question
    origin : Origin
    coarse : CoarseGraph
    charges : Charges
        Of one inference on two tiers.
    prices : SecondPrices

    Returns
    -------
    Charges
        A weight that one cell uses is charged with the cell; one that several use is charged once.

    Raises
    ------
    UsageError
        As for `refuse_other_moves`.

    Notes
    -----
    O(n + weights). Charging shared weights for each operator instead is wrong more often than not.
    """
    refuse_other_moves(question)
    device, server = question.topology.tiers
    held = {tier: _list_weights(question, origin.placement, tier) for tier in (device, server)}
    users: dict[str, set[int]] = {}
    for operator in question.graph:
        for weight in operator.weights:
            users.setdefault(weight, set()).add(coarse.cell_of[operator.name])
    vertices, shared = charges.vertices.copy(), list(charges.shared)
    for weight, cells in users.items():
        size = question.graph.weight_bytes[weight] / origin.runs
        costs = np.zeros((_TIERS, vertices.shape[2]))
        if weight not in held[device]:
            costs[0, down_column(0)] = size * prices.receiving(0)
        if weight not in held[server]:
            costs[1, up_column(0)] = size * prices.sending(0)
        if len(cells) == 1:
            vertices[next(iter(cells))] += costs
        else:
            shared.append(_share(cells, costs))
    return replace(charges, vertices=vertices, shared=tuple(shared))


def price_moving(question: Question, placement: Placement) -> list[CostPart]:
    """Price what moving to a placement costs each run, from its definition.

    Parameters
    ----------
    question : Question
    placement : Placement
    """
    if question.origin is None:
        return []
    ((near, far, link),) = question.topology.hops
    down, up = (sum(sizes.values()) for sizes in list_moves(question, question.origin, placement))
    ways: tuple[tuple[PartKind, int, float], ...] = (
        ("model_download", down, link.down_bytes_per_second),
        ("model_upload", up, link.up_bytes_per_second),
    )
    return [
        CostPart(
            kind=kind,
            where=f"{near}->{far}",
            seconds=size / rate / question.origin.runs,
            evidence=link.evidence,
        )
        for kind, size, rate in ways
        if size
    ]


def list_moves(
    question: Question, origin: Origin, placement: Placement
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the weights that come down to the device, and those that go up, with their bytes.

    Parameters
    ----------
    question : Question
    origin : Origin
    placement : Placement
        The new one.
    """
    return tuple(  # type: ignore[return-value]  # there are two tiers
        {
            weight: question.graph.weight_bytes[weight]
            for weight in _list_weights(question, placement, tier)
            if weight not in _list_weights(question, origin.placement, tier)
        }
        for tier in placement.tiers
    )


def describe_move(question: Question, placement: Placement) -> Mapping[str, Any]:
    """Say what moving to a placement takes, as a plan's file holds it; empty if nothing moves.

    Parameters
    ----------
    question : Question
    placement : Placement
    """
    origin = question.origin
    if origin is None:
        return {}
    down, up = list_moves(question, origin, placement)
    return {
        "runs": origin.runs,
        "download_bytes": sum(down.values()),
        "upload_bytes": sum(up.values()),
        "moved": [
            name
            for name, tier in placement.tier_of.items()
            if origin.placement.tier_of[name] != tier
        ],
    }


def name_move_assumptions(question: Question) -> tuple[str, ...]:
    """Say how moving is counted.

    Parameters
    ----------
    question : Question
    """
    if question.origin is None:
        return ()
    runs = question.origin.runs
    over = "" if runs == 1 else f", spread over {runs} runs"
    sentence = (
        "Moving from the earlier placement is counted on top of what a run transfers: weights that"
        f" a tier lacks are sent to it over the link once{over}."
    )
    return (sentence,)


def _list_weights(question: Question, placement: Placement, tier: str) -> set[str]:
    """Return the initializers that a tier's operators use."""
    return {
        weight
        for name in placement.operators(tier)
        for weight in question.graph.operator(name).weights
    }


def _share(cells: Iterable[int], costs: Floats) -> SharedCharge:
    """Charge a weight that several cells use once on each tier."""
    return SharedCharge(vertices=tuple(sorted(cells)), first_tier=costs[0], last_tier=costs[1])
