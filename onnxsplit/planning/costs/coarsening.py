"""The common coarsening of all profiles' groups: what no cut may divide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from onnxsplit.graph import OperatorGraph
from onnxsplit.profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Operators that stay together: some machine runs them as one kernel, or they have to.

    Parameters
    ----------
    operators : tuple of str
        In topological order.
    seconds : mapping of str to float
        Tier to the time of all of them.
    """

    operators: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseGraph:
    """The operator graph with cells as vertices: acyclic.

    Parameters
    ----------
    cells : tuple of Cell
        In topological order.
    cell_of : mapping of str to int
        Operator to its cell's place.
    predecessors : tuple of frozenset of int
    successors : tuple of frozenset of int
    """

    cells: tuple[Cell, ...]
    cell_of: Mapping[str, int]
    predecessors: tuple[frozenset[int], ...]
    successors: tuple[frozenset[int], ...]

    @property
    def roots(self) -> tuple[int, ...]:
        """Cells that read from no other cell."""
        return tuple(i for i, before in enumerate(self.predecessors) if not before)

    @property
    def leaves(self) -> tuple[int, ...]:
        """Cells that no other cell reads from."""
        return tuple(i for i, after in enumerate(self.successors) if not after)


def coarsen(
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    together: Sequence[Sequence[str]] = (),
) -> CoarseGraph:
    """Merge the groups of all profiles, what is kept together, and the cycles that merging makes.

    Parameters
    ----------
    graph : OperatorGraph
    profiles : mapping of str to Profile
        Tier to profile; each lists every operator of the graph once.
    together : sequence of sequence of str
        Further operators that share a tier.

    Returns
    -------
    CoarseGraph
        Operators of one group, of groups that share an operator, and of groups that depend on each
        other both ways, share a cell.

    Notes
    -----
    O(n + m): union of groups, then strongly connected components of the quotient.
    """
    groups = [group.operators for profile in profiles.values() for group in profile.groups]
    bundles = [names for names in (*groups, *together) if len(names) > 1]
    if not bundles:
        return _assemble([[operator.name] for operator in graph], graph, profiles)
    leader = _merge_groups(graph, bundles)
    quotient: nx.DiGraph[str] = nx.DiGraph()
    quotient.add_nodes_from(leader[operator.name] for operator in graph)
    edges = {
        (leader[before], leader[operator.name])
        for operator in graph
        for before in graph.predecessors(operator.name)
        if leader[before] != leader[operator.name]
    }
    quotient.add_edges_from(sorted(edges))
    component_of = {
        name: place
        for place, component in enumerate(nx.strongly_connected_components(quotient))
        for name in component
    }
    members: dict[int, list[str]] = {}
    for operator in graph:
        members.setdefault(component_of[leader[operator.name]], []).append(operator.name)
    between = {
        (component_of[before], component_of[after])
        for before, after in edges
        if component_of[before] != component_of[after]
    }
    order = _sort(members, between, graph)
    return _assemble([members[component] for component in order], graph, profiles)


def _merge_groups(graph: OperatorGraph, bundles: Sequence[Sequence[str]]) -> dict[str, str]:
    """Map every operator to one that stands for its union of groups."""
    leader = {operator.name: operator.name for operator in graph}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for names in bundles:
        first = find(names[0])
        for name in names[1:]:
            leader[find(name)] = first
    return {name: find(name) for name in leader}


def _sort(
    members: Mapping[int, list[str]], edges: set[tuple[int, int]], graph: OperatorGraph
) -> list[int]:
    """Sort cells topologically, by the place of their first operator where there is a choice."""
    order: nx.DiGraph[int] = nx.DiGraph()
    order.add_nodes_from(members)
    order.add_edges_from(edges)
    place = {component: graph.position(names[0]) for component, names in members.items()}
    return list(nx.lexicographical_topological_sort(order, key=place.__getitem__))


def _assemble(
    groups: list[list[str]], graph: OperatorGraph, profiles: Mapping[str, Profile]
) -> CoarseGraph:
    """Add up the seconds of each cell and link the cells."""
    cell_of = {name: place for place, names in enumerate(groups) for name in names}
    seconds: list[dict[str, float]] = [dict.fromkeys(profiles, 0.0) for _ in groups]
    for tier, profile in profiles.items():
        for group in profile.groups:
            seconds[cell_of[group.operators[0]]][tier] += group.seconds
    before: list[set[int]] = [set() for _ in groups]
    after: list[set[int]] = [set() for _ in groups]
    for operator in graph:
        here = cell_of[operator.name]
        for name in graph.predecessors(operator.name):
            there = cell_of[name]
            if there != here:
                before[here].add(there)
                after[there].add(here)
    return CoarseGraph(
        cells=tuple(
            Cell(operators=tuple(names), seconds=times)
            for names, times in zip(groups, seconds, strict=True)
        ),
        cell_of=cell_of,
        predecessors=tuple(map(frozenset, before)),
        successors=tuple(map(frozenset, after)),
    )
