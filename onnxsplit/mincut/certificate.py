"""Proof of optimality: a flow as large as the cut, checked in Python's own integers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.errors import InternalError
from onnxsplit.mincut.problem import SINK, SOURCE
from onnxsplit.mincut.structure import ArcStructure
from onnxsplit.mincut.ticks import INFINITE_TICKS, Ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class TickCertificate:
    """A cut and a flow of the same value; by weak duality both are optimal.

    Parameters
    ----------
    cut_ticks, flow_ticks : int
    tick : float
        What one tick stands for, in the unit of the capacities.
    rounding_bound : float
        How far the cost of this cut may lie above the true optimum, because capacities were
        rounded to ticks.
    """

    cut_ticks: int
    flow_ticks: int
    tick: float
    rounding_bound: float


def certify(
    structure: ArcStructure,
    capacities: Ticks,
    flow: Ticks,
    source_side: npt.NDArray[np.bool_],
) -> int:
    """Check that a flow proves a cut to be minimum.

    Parameters
    ----------
    structure : ArcStructure
    capacities, flow : ndarray of int64, shape (merged arcs,)
        In ticks.
    source_side : ndarray of bool, shape (vertices,)

    Returns
    -------
    int
        The value of both, in ticks.

    Raises
    ------
    InternalError
        A capacity is exceeded, flow is lost or made at a vertex, an infinite arc is cut, or the
        cut's value is not the flow's.

    Notes
    -----
    O(n + m) in Python integers, which can't overflow.
    """
    tails, heads = structure.tails.tolist(), structure.heads.tolist()
    limits, amounts, reverse = capacities.tolist(), flow.tolist(), structure.reverse_of.tolist()
    side = source_side.tolist()
    if not side[SOURCE] or side[SINK]:
        raise InternalError("The cut does not separate the source from the sink.")
    balance = [0] * structure.vertex_count
    cut_ticks = 0
    for arc, (tail, head) in enumerate(zip(tails, heads, strict=True)):
        amount, limit = amounts[arc], limits[arc]
        if amount > limit:
            raise InternalError(
                f"The flow {amount} exceeds the capacity {limit} of {tail}->{head}."
            )
        if amount != -amounts[reverse[arc]]:
            raise InternalError(f"The flow {tail}->{head} is not the negative of its reverse.")
        balance[tail] += amount
        if side[tail] and not side[head]:
            if limit >= INFINITE_TICKS:
                raise InternalError(f"The cut severs {tail}->{head}, which may never be cut.")
            cut_ticks += limit
    for vertex, excess in enumerate(balance):
        if excess and vertex not in {SOURCE, SINK}:
            raise InternalError(f"Vertex {vertex} loses or makes {abs(excess)} ticks of flow.")
    if balance[SOURCE] != cut_ticks:
        raise InternalError(
            f"The cut costs {cut_ticks} ticks and the flow carries {balance[SOURCE]}."
        )
    return cut_ticks
