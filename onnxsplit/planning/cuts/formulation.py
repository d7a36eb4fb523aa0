"""Charges as a minimum-cut problem.

Source side is the first tier, sink side the last. Vertex ``(v, l)`` is on the source side exactly
if ``v`` runs on tier ``l`` or before it; with two tiers there is one vertex for each ``v``.

* ``(v, l) -> (v, l-1)``: what ``v`` costs on tier ``l``; ``(v, -1)`` is the sink and ``(v, k-1)``
  the source. ``(v, l-1) -> (v, l)`` infinite.
* ``(p, l) -> a_t``: tensor ``t`` on link ``l``; ``a_t -> (c, l)`` infinite for every reader, so
  that a tensor pays once. A single reader needs no auxiliary vertex. Model inputs start at the
  source; outputs that are wanted on the last tier are read by the sink.
* ``(c, l) -> (p, l)`` infinite: nothing comes back before the outputs.
* ``(c, l) -> d_t`` infinite, ``d_t -> sink``: an input that lives on the last tier, on link ``l``.
* ``source -> z_l``, ``z_l -> (v, l)`` infinite for the leaves: what anything behind link ``l``
  costs.
* ``(v, l) -> y_l`` infinite for the roots, ``y_l -> sink``: what anything before link ``l`` costs.
* ``p -> h_t``: the gradient of ``t`` on its way back; ``h_t -> c`` infinite for the readers that
  send one. ``v -> w`` infinite, ``w -> sink``: parameters that several vertices share.

Each construction is held against brute force; those for several tiers are exact for relay chains.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from onnxsplit.graph import OperatorGraph
from onnxsplit.mincut import SINK, SOURCE, ArcStructure, LinearProblem, ProblemBuilder
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.charges import Charges, Floats, TensorCharge, read_parameters
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.tiers import Topology

_FIRST = 2
_TIE_LEVELS = 2

Bar = tuple[int, int]
"""A cell and the place of a tier on which it must not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formulation:
    """A cut problem whose links, pins and bonuses can be changed without building it anew.

    Parameters
    ----------
    coarse : CoarseGraph
    topology : Topology
    charges : Charges
    problem : LinearProblem
        Capacities are linear in the parameters of the topology.
    structure : ArcStructure
    capacities : ndarray of float64, shape (arcs,)
        At this topology.
    tier_arcs : ndarray of int64, shape (cells, tiers)
        The arc that charges each cell on each tier.
    pins : mapping of str to str
        Operator to tier.
    banned : frozenset of str
        Values that may not cross.
    off_first : frozenset of str
        Operators that must not run on the first tier.
    """

    coarse: CoarseGraph
    topology: Topology
    charges: Charges
    problem: LinearProblem
    structure: ArcStructure
    capacities: Floats
    tier_arcs: npt.NDArray[np.int64]
    pins: Mapping[str, str]
    banned: frozenset[str]
    off_first: frozenset[str]

    @property
    def tiers(self) -> tuple[str, ...]:
        """The chain's tiers."""
        return self.topology.tiers

    @property
    def tie_breaks(self) -> tuple[Floats, ...]:
        """Crossings, then crossing bytes."""
        return self.problem.tie_breaks

    @property
    def always(self) -> float:
        """What every placement costs, whatever it is; no part of the cut."""
        return float(self.charges.always @ read_parameters(self.topology))

    @property
    def deciding(self) -> int:
        """How many vertices decide all others: source, sink, and those of the charges."""
        return _FIRST + len(self.charges.vertices) * (len(self.tiers) - 1)

    def locate(self, cell: int, layer: int) -> int:
        """Return the vertex that is on the source side if a cell runs on that tier or before."""
        layers = len(self.tiers) - 1
        if layer < 0:
            return SINK
        return SOURCE if layer == layers else _FIRST + cell * layers + layer

    def move_to(self, topology: Topology) -> Self:
        """Return the same problem over other links between the same tiers; O(arcs)."""
        capacities = self.problem.coefficients @ read_parameters(topology)
        return replace(self, topology=topology, capacities=capacities)

    def bar(self, bars: Iterable[Bar]) -> Floats:
        """Return the capacities when cells must not run on tiers.

        Parameters
        ----------
        bars : iterable of (int, int)
            Cell and place of the tier.
        """
        capacities = self.capacities.copy()
        arcs = [self.tier_arcs[cell, tier] for cell, tier in bars]
        capacities[arcs] = np.inf
        return capacities

    def list_bars(self, cells: Iterable[int], tier: int) -> list[Bar]:
        """Return the bars that leave cells just one tier."""
        others = [place for place in range(len(self.tiers)) if place != tier]
        return [(cell, place) for cell in cells for place in others]

    def read_tiers(self, source_side: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return the place of each cell's tier in a cut, shape (cells,)."""
        layers = len(self.tiers) - 1
        cells = len(self.coarse.cells)
        sides = source_side[_FIRST : _FIRST + cells * layers].reshape(cells, layers)
        return np.asarray(layers - np.count_nonzero(sides, axis=1), dtype=np.int64)

    def read_placement(self, source_side: npt.NDArray[np.bool_], graph: OperatorGraph) -> Placement:
        """Return the placement that a cut stands for, in graph order."""
        places = self.read_tiers(source_side).tolist()
        cell_of = self.coarse.cell_of
        return Placement(
            tiers=self.tiers,
            tier_of={
                operator.name: self.tiers[places[cell_of[operator.name]]] for operator in graph
            },
        )


def formulate(
    charges: Charges,
    coarse: CoarseGraph,
    topology: Topology,
    *,
    pins: Mapping[str, str],
    banned: frozenset[str],
    off_first: frozenset[str] = frozenset(),
    parameters: Floats | None = None,
) -> Formulation:
    """Build the cut problem of some charges.

    Parameters
    ----------
    charges : Charges
    coarse : CoarseGraph
    topology : Topology
    pins : mapping of str to str
        Operator to tier.
    banned : frozenset of str
        Values that may not cross; their charges are infinite already.
    off_first : frozenset of str
        Operators that must not run on the first tier.
    parameters : ndarray of float64, shape (columns,), optional
        What the charges' columns are multiplied with; by default the parameters of the topology.

    Returns
    -------
    Formulation

    Notes
    -----
    O((n + m) k) for k tiers.
    """
    allowed = _allow_tiers(charges, coarse, topology, pins)
    allowed[[coarse.cell_of[name] for name in off_first], 0] = False
    network = _Network(
        charges=charges,
        builder=ProblemBuilder(parameters=charges.columns, tie_break_levels=_TIE_LEVELS),
    )
    tier_arcs = network.add_vertices(allowed)
    network.add_order()
    for tensor in charges.tensors:
        network.add_tensor(tensor)
    network.add_trips(allowed)
    network.add_shared()
    problem = network.builder.build()
    parameters = read_parameters(topology) if parameters is None else parameters
    return Formulation(
        coarse=coarse,
        topology=topology,
        charges=charges,
        problem=problem,
        structure=ArcStructure.of(problem.at(parameters)),
        capacities=problem.coefficients @ parameters,
        tier_arcs=tier_arcs[: len(coarse.cells)],
        pins=pins,
        banned=banned,
        off_first=off_first,
    )


def _allow_tiers(
    charges: Charges, coarse: CoarseGraph, topology: Topology, pins: Mapping[str, str]
) -> npt.NDArray[np.bool_]:
    """Return which vertex may run on which tier, shape (vertices, tiers)."""
    allowed: npt.NDArray[np.bool_] = np.array(np.isfinite(charges.vertices).all(axis=2))
    for name, tier in pins.items():
        place = topology.tiers.index(tier)
        cell = coarse.cell_of[name]
        allowed[cell, :place] = False
        allowed[cell, place + 1 :] = False
    return allowed


@dataclass(slots=True, kw_only=True)
class _Network:
    """Vertices and arcs while they are collected."""

    charges: Charges
    builder: ProblemBuilder

    @property
    def layers(self) -> int:
        """Vertices of the network for each vertex of the charges."""
        return self.charges.tiers - 1

    def locate(self, vertex: int, layer: int) -> int:
        """Return the number of ``(vertex, layer)``; beyond the layers lie source and sink."""
        if layer < 0:
            return SINK
        return SOURCE if layer == self.layers else _FIRST + vertex * self.layers + layer

    def add_vertices(self, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Add every vertex with its costs; return the arc of each vertex and tier."""
        vertices, tiers, _ = self.charges.vertices.shape
        self.builder.add_vertices(vertices * self.layers)
        arcs = np.zeros((vertices, tiers), dtype=np.int64)
        rows, may_run = [list(tiers) for tiers in self.charges.vertices], allowed.tolist()
        for vertex in range(vertices):
            for tier in range(tiers):
                ends = self.locate(vertex, tier), self.locate(vertex, tier - 1)
                costs = rows[vertex][tier] if may_run[vertex][tier] else None
                arcs[vertex, tier] = self.builder.add_arc(*ends, costs)
            for layer in range(1, self.layers):
                ends = self.locate(vertex, layer - 1), self.locate(vertex, layer)
                self.builder.add_arc(*ends)
        return arcs

    def add_order(self) -> None:
        """Let nothing come back."""
        pairs = np.array(self.charges.order, dtype=np.int64).reshape(-1, 2)
        for layer in range(self.layers):
            ends = _FIRST + pairs * self.layers + layer
            self.builder.add_firm_arcs(ends[:, 0].tolist(), ends[:, 1].tolist())

    def add_tensor(self, tensor: TensorCharge) -> None:
        """Charge a value once for each link."""
        tie = (1, tensor.size_bytes)
        for layer in range(self.layers):
            costs = _finite(tensor.forward[layer])
            tie_break = tie if costs is not None else (0, 0)
            readers = [self.locate(reader, layer) for reader in tensor.readers]
            if tensor.starts_at_last:
                self._gather(readers, costs, tie_break)
                continue
            start = SOURCE if tensor.maker is None else self.locate(tensor.maker, layer)
            if tensor.ends_at_last:
                readers.append(SINK)
            self._spread(start, readers, costs, tie_break)
            if tensor.gradient is not None and tensor.gradient_readers:
                back = [self.locate(reader, layer) for reader in tensor.gradient_readers]
                self._spread(start, back, _finite(tensor.gradient[layer]), (0, 0))

    def _spread(
        self, start: int, readers: list[int], costs: Floats | None, tie: tuple[int, int]
    ) -> None:
        """Charge once if the start is on the source side and any reader is not."""
        if len(readers) == 1:
            self.builder.add_arc(start, readers[0], costs, tie)
            return
        carrier = self.builder.add_vertices()
        self.builder.add_arc(start, carrier, costs, tie)
        self.builder.add_firm_arcs([carrier] * len(readers), readers)

    def _gather(self, members: list[int], costs: Floats | None, tie: tuple[int, int]) -> None:
        """Charge once if any member is on the source side."""
        collector = self.builder.add_vertices()
        self.builder.add_arc(collector, SINK, costs, tie)
        self.builder.add_firm_arcs(members, [collector] * len(members))

    def add_trips(self, allowed: npt.NDArray[np.bool_]) -> None:
        """Charge what anything on the first tier, before a link or behind a link costs."""
        charges = self.charges
        # Nothing comes back: what runs anything behind a link runs a leaf there, and what runs
        # anything before it runs a root there.
        followed = {maker for _, maker in charges.order}
        leading = {reader for reader, _ in charges.order}
        for layer in range(self.layers):
            behind = [
                vertex
                for vertex, tiers in enumerate(allowed)
                if vertex not in followed and tiers[layer + 1 :].any()
            ]
            within = [
                vertex
                for vertex, tiers in enumerate(allowed)
                if vertex not in leading and tiers[: layer + 1].any()
            ]
            if charges.beyond[layer].any() and behind:
                members = [self.locate(vertex, layer) for vertex in behind]
                message = self.builder.add_vertices()
                self.builder.add_arc(SOURCE, message, charges.beyond[layer])
                self.builder.add_firm_arcs([message] * len(members), members)
            paid = charges.before[layer] + (charges.first if layer == 0 else 0)
            if paid.any() and within:
                self._gather([self.locate(vertex, layer) for vertex in within], paid, (0, 0))

    def add_shared(self) -> None:
        """Charge shared parameters once."""
        for entry in self.charges.shared:
            members = [self.locate(vertex, 0) for vertex in entry.vertices]
            self._gather(members, entry.first_tier, (0, 0))
            if entry.last_tier is not None:
                ends = [self.locate(vertex, self.layers - 1) for vertex in entry.vertices]
                self._spread(SOURCE, ends, entry.last_tier, (0, 0))


def _finite(costs: Floats) -> Floats | None:
    """Return costs, or None if they are infinite."""
    return costs if np.isfinite(costs).all() else None
