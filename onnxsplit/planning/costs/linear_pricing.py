"""What a given placement costs as a function of the first link's rates, part by part.

Every part of a cost is a constant, or it is carried by one direction of a link. So three prices
tell it for all rates: over a first link that takes no time, and over one in which one direction
alone takes a second for each byte. They come from the definition of the objective, not from cuts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import UsageError
from onnxsplit.objectives import InferenceLatency, TrainingDelay
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.gradients import follow_gradients
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.costs.training_pricing import list_epochs
from onnxsplit.planning.costs.travel import find_travel
from onnxsplit.prediction import CostPart
from onnxsplit.tiers import Link, Topology

Floats = npt.NDArray[np.float64]

PartName = tuple[str, str]
"""Kind of a part, and the tier or link that spends it."""

_INF = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearPrice:
    """A placement's parts as rows: a constant, and factors of 1 / uplink and 1 / downlink.

    Parameters
    ----------
    names : tuple of (str, str)
        Kind of each part, and the tier or link that spends it.
    rows : ndarray of float64, shape (parts, 3)
    """

    names: tuple[PartName, ...]
    rows: Floats

    @property
    def total(self) -> Floats:
        """The row of all parts together, shape (3,)."""
        return np.asarray(self.rows.sum(axis=0), dtype=np.float64)


def linearise(question: Question, placement: Placement) -> tuple[LinearPrice, ...]:
    """Price a placement for all rates of the first link.

    Parameters
    ----------
    question : Question
        Its other links, and all round trips, stay as they are.
    placement : Placement

    Returns
    -------
    tuple of LinearPrice
        One, or in training one for each side that the loss may be on: the cheapest counts.

    Raises
    ------
    InfeasiblePlacementError
        A value would have to travel back, or can't travel at all.
    UsageError
        The objective is neither latency nor training.

    Notes
    -----
    Three times what pricing a placement takes.
    """
    ways = ((_INF, _INF), (1.0, _INF), (_INF, 1.0))
    list_parts = _open(question, placement)
    prices = [list_parts(_over(question, *way)) for way in ways]
    return tuple(_join(sides) for sides in zip(*prices, strict=True))


def _over(question: Question, up: float, down: float) -> Question:
    """Return the question over a first link of other rates."""
    first, *others = question.topology.links
    link = Link(
        up_bytes_per_second=up,
        down_bytes_per_second=down,
        round_trip_seconds=first.round_trip_seconds,
    )
    topology = Topology(tiers=question.topology.tiers, links=(link, *others))
    return replace(question, topology=topology)


def _open(question: Question, placement: Placement) -> Callable[[Question], list[list[CostPart]]]:
    """Return what lists a placement's parts over a link, for each side that a loss may be on."""
    match question.objective:
        case InferenceLatency():
            return lambda at: [list(price_placement(at, placement).prediction.parts)]
        case TrainingDelay() as objective:
            # Neither depends on the link.
            travel = find_travel(question, placement)
            flow = follow_gradients(question.graph, objective.frozen)
            return lambda at: list_epochs(at, objective, placement, travel, flow)[0]
        case _:
            raise UsageError(
                f"The objective {question.objective.name!r} is not priced for all links at once;"
                " give latency or training."
            )


def _join(prices: Sequence[Sequence[CostPart]]) -> LinearPrice:
    """Turn the parts at three links into rows."""
    tables = [_add_by_name(parts) for parts in prices]
    names = tuple(dict.fromkeys(name for table in tables for name in table))
    fixed, up, down = (np.array([table.get(name, 0.0) for name in names]) for table in tables)
    return LinearPrice(names=names, rows=np.column_stack((fixed, up - fixed, down - fixed)))


def _add_by_name(parts: Sequence[CostPart]) -> dict[PartName, float]:
    """Add up the parts of one name."""
    table: dict[PartName, float] = {}
    for part in parts:
        name = (part.kind, part.where)
        table[name] = table.get(name, 0.0) + part.seconds
    return table
