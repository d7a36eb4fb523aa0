"""From the nodes that an engine runs to groups of the model's operators: nothing is lost.

What runs at full optimisation is not what is in the file. A fused node is traced back through the
values that survived: its operators are those between the values it makes and the values it reads.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx
from networkx.utils import UnionFind

from onnxsplit.graph import OperatorGraph
from onnxsplit.profiling.aliases import find_aliases, is_layout
from onnxsplit.profiling.executed import ExecutedNode

_ABSORBED_TYPES = frozenset(
    {
        *("Cast", "DequantizeLinear", "Dropout", "Expand", "Flatten", "Identity", "Reshape"),
        *("Shape", "Squeeze", "Transpose", "Unsqueeze"),
    }
)
"""Operators that several kernels may each do on the way, so that they join none of them."""

_SIZE_TYPES = frozenset({"Shape", "Size"})
"""Operators that tell what an engine knows before it runs, where sizes are fixed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedGroup:
    """Operators that run together.

    Parameters
    ----------
    operators : tuple of str
        In the model's order.
    nodes : tuple of int
        Places of the executed nodes that do their work; empty if the engine left them out.
    layout : tuple of int
        Places of the inserted nodes that only lay out its values anew.
    """

    operators: tuple[str, ...]
    nodes: tuple[int, ...] = ()
    layout: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedGraph:
    """The model's operators in groups that partition them and don't depend on each other in turn.

    Parameters
    ----------
    groups : tuple of FusedGroup
        In topological order.
    aliases : mapping of str to str
        Value of the executed graph to the model's value that it holds.
    strays : tuple of int
        Places of executed nodes that belong to no operator, as those that work on constants alone.
    """

    groups: tuple[FusedGroup, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    strays: tuple[int, ...] = ()


def group_operators(graph: OperatorGraph, executed: Sequence[ExecutedNode]) -> FusedGraph:
    """Group a model's operators by the kernels that run them.

    Parameters
    ----------
    graph : OperatorGraph
        The model's live, non-constant operators.
    executed : sequence of ExecutedNode
        The graph that the engine runs, in order of execution.

    Returns
    -------
    FusedGraph
        Its groups partition the operators and their quotient is acyclic; every executed node is in
        exactly one group or among the strays. An operator that no node needs is a group of its own.

    Notes
    -----
    Nodes that share a value which the model does not have are joined. The operators of joined nodes
    are the cone from the values they make back to values that survived. Cones that overlap are
    merged, but for operators that each kernel may repeat, and so are cycles of groups. Close to
    linear in the size of both graphs.
    """
    aliases = find_aliases(graph, executed)
    layout = {
        place
        for place, node in enumerate(executed)
        if is_layout(graph, node) and _holds_one(node, aliases)
    }
    constant = _find_constant(graph, executed)
    clusters = _join_nodes(executed, aliases, layout | constant)
    cones = [_find_cone(graph, executed, cluster, aliases) for cluster in clusters]
    group_of = _merge_cycles(graph, _merge_cones(graph, cones))
    owners = {
        place: group_of[next(iter(cone))]
        for cluster, cone in zip(clusters, cones, strict=True)
        if cone
        for place in cluster
    }
    _own_rest(graph, executed, aliases, group_of, owners, constant)
    return FusedGraph(
        groups=_list_groups(graph, group_of, owners, layout),
        aliases=aliases,
        strays=tuple(place for place in range(len(executed)) if place not in owners),
    )


def _find_constant(graph: OperatorGraph, executed: Sequence[ExecutedNode]) -> set[int]:
    """Return the places of nodes that depend on constants alone."""
    varying = set(graph.inputs)
    constant: set[int] = set()
    for place, node in enumerate(executed):
        if any(n in varying for n in node.inputs) or any(n in graph.tensors for n in node.outputs):
            varying.update(node.outputs)
        else:
            constant.add(place)
    return constant


def _holds_one(node: ExecutedNode, aliases: Mapping[str, str]) -> bool:
    """Tell whether a node's first input and output are known to hold the same value."""
    alias = aliases.get(node.inputs[0])
    return alias is not None and all(aliases.get(name) == alias for name in node.outputs)


def _join_nodes(
    executed: Sequence[ExecutedNode], aliases: Mapping[str, str], apart: set[int]
) -> list[list[int]]:
    """Cluster the nodes, but for some, that share a value which the model does not have."""
    makers = {name: place for place, node in enumerate(executed) for name in node.outputs}
    joined: UnionFind[int] = UnionFind(p for p in range(len(executed)) if p not in apart)
    for place, node in enumerate(executed):
        if place in apart:
            continue
        for name in node.inputs:
            maker = makers.get(name)
            if maker is not None and maker not in apart and name not in aliases:
                joined.union(maker, place)
    clusters: dict[int, list[int]] = {}
    for place in range(len(executed)):
        if place not in apart:
            clusters.setdefault(joined[place], []).append(place)
    return list(clusters.values())


def _find_cone(
    graph: OperatorGraph,
    executed: Sequence[ExecutedNode],
    cluster: Sequence[int],
    aliases: Mapping[str, str],
) -> frozenset[str]:
    """Return the operators between what some nodes make and the nearest values that survived."""
    makes = {name for place in cluster for name in executed[place].outputs}
    reads = {name for place in cluster for name in executed[place].inputs} - makes
    survivors = set(aliases.values())
    given = {aliases[name] for name in reads if name in aliases}
    pending = sorted({aliases[name] for name in makes if name in aliases} - given)
    cone: set[str] = set()
    while pending:
        maker = graph.producer(pending.pop())
        if maker is not None and maker not in cone:
            cone.add(maker)
            pending.extend(v for v in graph.operator(maker).inputs if v not in survivors)
    return frozenset(cone)


def _merge_cones(graph: OperatorGraph, cones: Sequence[frozenset[str]]) -> dict[str, str]:
    """Map each operator to one that stands for all cones that overlap with its own.

    What several cones share and each kernel may repeat belongs to none of them; nor does what
    follows from sizes alone, which an engine computes once and keeps.
    """
    times = Counter(name for cone in cones for name in cone)
    known = _find_known(graph)
    repeated = {
        name
        for name, count in times.items()
        if count > 1 and (name in known or graph.operator(name).op_type in _ABSORBED_TYPES)
    }
    joined: UnionFind[str] = UnionFind(operator.name for operator in graph)
    for cone in cones:
        joined.union(*sorted(cone - repeated))
    return {operator.name: joined[operator.name] for operator in graph}


def _find_known(graph: OperatorGraph) -> set[str]:
    """Return the operators whose values follow from sizes and constants alone."""
    known: set[str] = set()
    for operator in graph:
        before = graph.predecessors(operator.name)
        reads = any(name in graph.inputs for name in operator.inputs)
        follows = bool(before) and not reads and all(name in known for name in before)
        if operator.op_type in _SIZE_TYPES or follows:
            known.add(operator.name)
    return known


def _merge_cycles(graph: OperatorGraph, leader: Mapping[str, str]) -> dict[str, int]:
    """Give each group a number, and the same one to groups that depend on each other in turn."""
    quotient: nx.DiGraph[str] = nx.DiGraph()
    quotient.add_nodes_from(leader[operator.name] for operator in graph)
    quotient.add_edges_from(
        (leader[before], leader[operator.name])
        for operator in graph
        for before in graph.predecessors(operator.name)
    )
    number = {
        name: place
        for place, component in enumerate(nx.strongly_connected_components(quotient))
        for name in component
    }
    return {name: number[first] for name, first in leader.items()}


def _own_rest(
    graph: OperatorGraph,
    executed: Sequence[ExecutedNode],
    aliases: Mapping[str, str],
    group_of: Mapping[str, int],
    owners: dict[int, int],
    constant: set[int],
) -> None:
    """Map the nodes that do no operator's work to groups; in place.

    What makes a value of the model belongs to that value's maker, so that a cut at the value leaves
    the work on that side; all else belongs to its first reader. Work on constants that several
    groups read belongs to none.
    """
    readers: dict[str, list[int]] = defaultdict(list)
    for place, node in enumerate(executed):
        for name in node.inputs:
            readers[name].append(place)
    for place in reversed(range(len(executed))):
        if place in owners:
            continue
        node = executed[place]
        held = [aliases[name] for name in (*node.outputs, *node.inputs) if name in aliases]
        makers = [graph.producer(value) for value in held]
        before = [group_of[maker] for maker in makers if maker is not None]
        after = [owners[p] for name in node.outputs for p in readers[name] if p in owners]
        makes_own = any(aliases.get(name) == name for name in node.outputs)
        choices = (*before, *after) if makes_own else (*after, *before)
        if choices and (place not in constant or len(set(after)) == 1):
            owners[place] = choices[0]


def _list_groups(
    graph: OperatorGraph,
    group_of: Mapping[str, int],
    owners: Mapping[int, int],
    layout: set[int],
) -> tuple[FusedGroup, ...]:
    """List the groups in topological order, each with its nodes."""
    members: dict[int, list[str]] = defaultdict(list)
    for operator in graph:
        members[group_of[operator.name]].append(operator.name)
    nodes: dict[int, list[int]] = defaultdict(list)
    for place in sorted(owners):
        nodes[owners[place]].append(place)
    return tuple(
        FusedGroup(
            operators=tuple(members[number]),
            nodes=tuple(place for place in nodes[number] if place not in layout),
            layout=tuple(place for place in nodes[number] if place in layout),
        )
        for number in _sort(graph, group_of, members)
    )


def _sort(
    graph: OperatorGraph, group_of: Mapping[str, int], members: Mapping[int, Sequence[str]]
) -> list[int]:
    """Sort groups topologically, by the place of their first operator where there is a choice."""
    quotient: nx.DiGraph[int] = nx.DiGraph()
    quotient.add_nodes_from(members)
    quotient.add_edges_from(
        (group_of[before], group_of[operator.name])
        for operator in graph
        for before in graph.predecessors(operator.name)
        if group_of[before] != group_of[operator.name]
    )
    place = {number: graph.position(names[0]) for number, names in members.items()}
    return list(nx.lexicographical_topological_sort(quotient, key=place.__getitem__))
