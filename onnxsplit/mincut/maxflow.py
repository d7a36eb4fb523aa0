"""Maximum flow by scipy's Dinic, kept away from its traps.

scipy computes in 32-bit integers: larger capacities are truncated without a word, and an infinity
of 2^31 - 1 wraps when flow is added to it. Here capacities arrive as 64-bit integers, at most
``INFINITE_TICKS``, with parallel arcs merged; finite flow stays below 2^29 + 1.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from onnxsplit.errors import CapacityOverflowError, InternalError
from onnxsplit.mincut.problem import SINK, SOURCE
from onnxsplit.mincut.structure import ArcStructure
from onnxsplit.mincut.ticks import INFINITE_TICKS, Ticks


def find_maximum_flow(structure: ArcStructure, capacities: Ticks) -> Ticks:
    """Find a maximum flow from the source to the sink.

    Parameters
    ----------
    structure : ArcStructure
    capacities : ndarray of int64, shape (merged arcs,)
        In ticks, at most ``INFINITE_TICKS``.

    Returns
    -------
    ndarray of int64, shape (merged arcs,)
        Net flow along each arc; that of the reverse arc is its negative.

    Raises
    ------
    CapacityOverflowError
        A capacity does not fit the engine's integers.

    Notes
    -----
    Dinic's algorithm (1970): O(n^2 m) at worst; close to linear on the graphs of real models.
    """
    if capacities.size == 0:
        return np.zeros(0, dtype=np.int64)
    if capacities.max() > INFINITE_TICKS:
        raise CapacityOverflowError(
            f"A capacity of {capacities.max()} ticks exceeds the solver's {INFINITE_TICKS}."
        )
    shape = (structure.vertex_count, structure.vertex_count)
    indices = structure.heads.astype(np.int32)
    starts = structure.row_starts.astype(np.int32)
    matrix = csr_array((capacities.astype(np.int32), indices, starts), shape=shape)
    flow = maximum_flow(matrix, SOURCE, SINK, method="dinic").flow
    if flow.nnz != capacities.size or not np.array_equal(flow.indices, indices):
        raise InternalError("The flow engine returned arcs other than those it was given.")
    return flow.data.astype(np.int64)
