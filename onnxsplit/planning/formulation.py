"""Inference latency as a minimum-cut problem.

Source side is the device, sink side the server. Sources: the auxiliary vertex per tensor follows
Hu et al., "Dynamic Adaptive DNN Surgery for Inference Acceleration on the Edge" (INFOCOM 2019), the
cut itself arXiv 2507.01041; both are rebuilt here from their ideas and corrected where brute force
showed a difference (nothing comes back, one charge per tensor, one round trip, downloads).

* ``source -> v``: seconds on the server, plus the download of the outputs that ``v`` makes.
* ``v -> sink``: seconds on the device.
* ``p -> a_t``: upload of tensor ``t``; ``a_t -> c`` infinite for every consumer, so that a tensor
  pays once. A single consumer needs no auxiliary vertex. Model inputs start at the source.
* ``c -> p`` infinite: what the server makes does not come back before the outputs.
* ``source -> z``: the round trip; ``z -> v`` infinite for every ``v`` that may run on the server.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onnxsplit.graph import OperatorGraph
from onnxsplit.mincut import SINK, SOURCE, ArcStructure, ProblemBuilder
from onnxsplit.placement import Placement
from onnxsplit.planning.coarsening import CoarseGraph
from onnxsplit.tiers import Link, Topology

_FIRST_CELL = 2
_NO_TIE = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Formulation:
    """A cut problem whose pins and bonuses can be changed without building it anew.

    Parameters
    ----------
    coarse : CoarseGraph
    tiers : tuple of str
        Device and server.
    structure : ArcStructure
    capacities : ndarray of float64, shape (arcs,)
        In seconds.
    tie_breaks : tuple of ndarray of float64, shape (arcs,)
        Crossings, then crossing bytes.
    server_arcs, device_arcs : ndarray of int64, shape (cells,)
        Place of ``source -> v`` and ``v -> sink``.
    pins : mapping of str to str
        Operator to tier.
    banned : frozenset of str
        Values that may not cross.
    link : Link
        Between the two.
    """

    coarse: CoarseGraph
    tiers: tuple[str, ...]
    structure: ArcStructure
    capacities: npt.NDArray[np.float64]
    tie_breaks: tuple[npt.NDArray[np.float64], ...]
    server_arcs: npt.NDArray[np.int64]
    device_arcs: npt.NDArray[np.int64]
    pins: Mapping[str, str]
    banned: frozenset[str]
    link: Link

    def pin(
        self,
        *,
        device: Iterable[int] = (),
        server: Iterable[int] = (),
        extra_device: npt.NDArray[np.float64] | None = None,
        extra_server: npt.NDArray[np.float64] | None = None,
    ) -> npt.NDArray[np.float64]:
        """Return capacities with cells pinned and costs added.

        Parameters
        ----------
        device, server : iterable of int
            Cells that must run there.
        extra_device, extra_server : ndarray of float64, shape (cells,)
            Seconds added to each cell's cost on that tier.
        """
        capacities = self.capacities.copy()
        if extra_device is not None:
            capacities[self.device_arcs] += extra_device
        if extra_server is not None:
            capacities[self.server_arcs] += extra_server
        capacities[self.server_arcs[list(device)]] = math.inf
        capacities[self.device_arcs[list(server)]] = math.inf
        return capacities

    def read_placement(self, source_side: npt.NDArray[np.bool_], graph: OperatorGraph) -> Placement:
        """Return the placement that a cut stands for, in graph order."""
        device, server = self.tiers
        cell_of = self.coarse.cell_of
        on_device = source_side[_FIRST_CELL : _FIRST_CELL + len(self.coarse.cells)].tolist()
        return Placement(
            tiers=self.tiers,
            tier_of={
                operator.name: device if on_device[cell_of[operator.name]] else server
                for operator in graph
            },
        )


def formulate(
    graph: OperatorGraph,
    coarse: CoarseGraph,
    topology: Topology,
    *,
    pins: Mapping[str, str],
    banned: frozenset[str],
) -> Formulation:
    """Build the cut problem of inference latency.

    Parameters
    ----------
    graph : OperatorGraph
    coarse : CoarseGraph
    topology : Topology
        A device and a server.
    pins : mapping of str to str
        Operator to tier.
    banned : frozenset of str
        Values that may not cross.

    Returns
    -------
    Formulation

    Notes
    -----
    O(n + m). Assumes that intermediate results never travel back, that inputs and outputs live on
    the device, and that transfers of one run share the link one after the other.
    """
    (device, server, link), *_ = topology.hops
    builder = ProblemBuilder(tie_break_levels=len(_NO_TIE))
    for _ in coarse.cells:
        builder.add_vertex()
    downloads = _sum_downloads(graph, coarse, link.down_bytes_per_second)
    pinned_device = {coarse.cell_of[name] for name, tier in pins.items() if tier == device}
    pinned_server = {coarse.cell_of[name] for name, tier in pins.items() if tier == server}
    server_arcs: list[int] = []
    device_arcs: list[int] = []
    for place, cell in enumerate(coarse.cells):
        on_server = cell.seconds[server] + downloads[place]
        on_device = cell.seconds[device]
        on_server = math.inf if place in pinned_device else on_server
        on_device = math.inf if place in pinned_server else on_device
        server_arcs.append(builder.add_arc(SOURCE, _FIRST_CELL + place, on_server))
        device_arcs.append(builder.add_arc(_FIRST_CELL + place, SINK, on_device))
        for before in sorted(coarse.predecessors[place]):
            builder.add_arc(_FIRST_CELL + place, _FIRST_CELL + before, math.inf)
    _add_tensors(builder, graph, coarse, link.up_bytes_per_second, banned)
    if link.round_trip_seconds:
        message = builder.add_vertex()
        builder.add_arc(SOURCE, message, link.round_trip_seconds)
        for place in range(len(coarse.cells)):
            if place not in pinned_device:
                builder.add_arc(message, _FIRST_CELL + place, math.inf)
    problem = builder.build()
    return Formulation(
        coarse=coarse,
        tiers=topology.tiers,
        structure=ArcStructure.of(problem),
        capacities=problem.capacities,
        tie_breaks=builder.build_tie_breaks(),
        server_arcs=np.array(server_arcs, dtype=np.int64),
        device_arcs=np.array(device_arcs, dtype=np.int64),
        pins=pins,
        banned=banned,
        link=link,
    )


def _sum_downloads(graph: OperatorGraph, coarse: CoarseGraph, rate: float) -> list[float]:
    """Return the seconds that downloading each cell's model outputs takes."""
    size_bytes = [0.0] * len(coarse.cells)
    for tensor in graph.outputs:
        maker = graph.producer(tensor)
        if maker is not None:
            # An output that can't travel keeps its operator on the device.
            size = graph.tensors[tensor].size_bytes
            size_bytes[coarse.cell_of[maker]] += math.inf if size is None else size
    return [math.inf if math.isinf(size) else size / rate for size in size_bytes]


def _add_tensors(
    builder: ProblemBuilder,
    graph: OperatorGraph,
    coarse: CoarseGraph,
    rate: float,
    banned: frozenset[str],
) -> None:
    """Charge every value that may cross, once."""
    values = (*graph.inputs, *(tensor for operator in graph for tensor in operator.outputs))
    for tensor in values:
        maker = graph.producer(tensor)
        start = SOURCE if maker is None else _FIRST_CELL + coarse.cell_of[maker]
        readers = {_FIRST_CELL + coarse.cell_of[name] for name in graph.consumers(tensor)}
        readers.discard(start)
        if not readers:
            continue
        size = graph.tensors[tensor].size_bytes
        stuck = tensor in banned or size is None
        seconds = math.inf if stuck or size is None else size / rate
        tie_break = _NO_TIE if stuck or size is None else (1, size)
        if len(readers) == 1:
            builder.add_arc(start, readers.pop(), seconds, tie_break)
            continue
        carrier = builder.add_vertex()
        builder.add_arc(start, carrier, seconds, tie_break)
        for reader in sorted(readers):
            builder.add_arc(carrier, reader, math.inf)
