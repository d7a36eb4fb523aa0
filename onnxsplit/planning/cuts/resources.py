"""What keeps each resource of a pipeline busy: every tier, and every link in both directions.

While one input is computed on the server the next can be sent and the one after that computed on
the device. The busiest resource sets the period from one result to the next; round trips delay a
result, but hold nothing up.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from onnxsplit.planning.costs.charges import Charges, Floats, TensorCharge, read_parameters
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.planning.costs.inference_charges import charge_inference
from onnxsplit.planning.costs.prices import SecondPrices
from onnxsplit.planning.costs.question import Question
from onnxsplit.prediction import WORK_KINDS, CostPart


def find_period(parts: Sequence[CostPart]) -> float:
    """Return the seconds of the busiest resource of one inference.

    Parameters
    ----------
    parts : sequence of CostPart
    """
    busy: dict[tuple[str, str], list[float]] = {}
    for part in parts:
        if part.kind != "round_trip":
            kind = "work" if part.kind in WORK_KINDS else part.kind
            busy.setdefault((kind, part.where), []).append(part.seconds)
    return max((math.fsum(seconds) for seconds in busy.values()), default=0.0)


def charge_resources(question: Question, coarse: CoarseGraph, banned: frozenset[str]) -> Charges:
    """Return charges whose columns are resources: tiers, uplinks, then downlinks, in seconds.

    Parameters
    ----------
    question : Question
    coarse : CoarseGraph
    banned : frozenset of str
        Values that may not cross.

    Notes
    -----
    As many passes of `charge_inference` as there are resources, each pricing one of them alone.
    There are as many of them as parameters of the chain's links.
    """
    links = len(question.topology.links)
    parameters = read_parameters(question.topology)
    each = [charge_inference(question, coarse, banned, prices) for prices in _list_prices(links)]

    def stack(rows: Sequence[Floats]) -> Floats:
        """Put each resource's cost into a column of its own."""
        costs = [
            np.where(np.isfinite(row).all(axis=-1), np.nan_to_num(row, posinf=0.0) @ parameters, 0)
            for row in rows
        ]
        stacked = np.stack(costs, axis=-1)
        stacked[..., 0] = np.where(np.isfinite(rows[0]).all(axis=-1), stacked[..., 0], np.inf)
        return stacked

    return Charges(
        tiers=links + 1,
        vertices=stack([charges.vertices for charges in each]),
        order=each[0].order,
        tensors=tuple(
            _stack_tensor(entries[0], stack([entry.forward for entry in entries]))
            for entries in zip(*(charges.tensors for charges in each), strict=True)
        ),
        beyond=stack([charges.beyond for charges in each]),
        first=stack([charges.first for charges in each]),
        before=stack([charges.before for charges in each]),
        always=np.zeros_like(parameters),
    )


def _stack_tensor(charge: TensorCharge, forward: Floats) -> TensorCharge:
    """Replace a value's costs."""
    return TensorCharge(
        tensor=charge.tensor,
        maker=charge.maker,
        readers=charge.readers,
        forward=forward,
        size_bytes=charge.size_bytes,
        starts_at_last=charge.starts_at_last,
        ends_at_last=charge.ends_at_last,
    )


def _list_prices(links: int) -> list[SecondPrices]:
    """Price one resource after the other."""
    none = _only(None)
    tiers = [
        SecondPrices(computing=_only(tier), sending=none, receiving=none, tripping=none)
        for tier in range(links + 1)
    ]
    uplinks = [
        SecondPrices(computing=none, sending=_only(link), receiving=none, tripping=none)
        for link in range(links)
    ]
    downlinks = [
        SecondPrices(computing=none, sending=none, receiving=_only(link), tripping=none)
        for link in range(links)
    ]
    return [*tiers, *uplinks, *downlinks]


def _only(chosen: int | None) -> Callable[[int], float]:
    """Return a price of 1 for one place and 0 for all others."""
    return lambda place: 1.0 if place == chosen else 0.0
