"""Proof of optimality: a flow as large as the cut, checked in integers that can't overflow."""

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
    O(n + m) in 64-bit integers: sums of fewer than 2^32 amounts of at most 2^30 can't overflow.
    """
    if not source_side[SOURCE] or source_side[SINK]:
        raise InternalError("The cut does not separate the source from the sink.")
    _check_flow(structure, capacities, flow)
    severed = source_side[structure.tails] & ~source_side[structure.heads]
    never = severed & (capacities >= INFINITE_TICKS)
    if never.any():
        raise InternalError(f"The cut severs {_name(structure, never)}, which may never be cut.")
    cut_ticks = int(capacities[severed].sum())
    balance = _balance(structure, flow)
    balance[SINK] = 0
    carried = int(balance[SOURCE])
    balance[SOURCE] = 0
    if balance.any():
        vertex = int(np.argmax(balance != 0))
        raise InternalError(
            f"Vertex {vertex} loses or makes {abs(int(balance[vertex]))} ticks of flow."
        )
    if carried != cut_ticks:
        raise InternalError(f"The cut costs {cut_ticks} ticks and the flow carries {carried}.")
    return cut_ticks


def _check_flow(structure: ArcStructure, capacities: Ticks, flow: Ticks) -> None:
    """Refuse a flow that exceeds a capacity, or is not the negative of its reverse."""
    over = flow > capacities
    if over.any():
        arc = int(np.argmax(over))
        raise InternalError(
            f"The flow {flow[arc]} exceeds the capacity {capacities[arc]} of"
            f" {_name(structure, over)}."
        )
    lopsided = flow != -flow[structure.reverse_of]
    if lopsided.any():
        raise InternalError(
            f"The flow {_name(structure, lopsided)} is not the negative of its reverse."
        )


def _balance(structure: ArcStructure, flow: Ticks) -> Ticks:
    """Return what leaves each vertex, less what enters it."""
    sums = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(flow)))
    return np.asarray(sums[structure.row_starts[1:]] - sums[structure.row_starts[:-1]])


def _name(structure: ArcStructure, arcs: npt.NDArray[np.bool_]) -> str:
    """Name the first of some arcs."""
    arc = int(np.argmax(arcs))
    return f"{structure.tails[arc]}->{structure.heads[arc]}"
