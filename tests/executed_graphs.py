"""Operator graphs and executed graphs in one line an operator, for the tests of attribution."""

import networkx as nx

from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.profiling.executed import BLOCKED_DOMAIN, ExecutedNode
from onnxsplit.profiling.fusion import FusedGraph


def model(text: str, *, inputs: str = "x", outputs: str = "y", size: int = 4) -> OperatorGraph:
    """Build a graph from lines such as ``conv Conv x -> c``; weights are left out."""
    operators = []
    for index, line in enumerate(filter(None, map(str.strip, text.splitlines()))):
        left, _, right = line.partition("->")
        name, op_type, *reads = left.split()
        operators.append(
            Operator(
                name=name,
                op_type=op_type,
                domain="",
                index=index,
                inputs=tuple(reads),
                outputs=tuple(right.split()),
            )
        )
    values = [*inputs.split(), *(value for op in operators for value in op.outputs)]
    return OperatorGraph(
        identity=ModelIdentity(),
        operators=tuple(operators),
        tensors={v: TensorSpec(name=v, dtype="float32", shape=(1, size)) for v in values},
        inputs=tuple(inputs.split()),
        outputs=tuple(outputs.split()),
    )


def node(
    name: str,
    op_type: str,
    inputs: str,
    outputs: str,
    *,
    addend: str | None = None,
    activation: str | None = None,
) -> ExecutedNode:
    """Build an executed node; a type such as ``nchwc.Conv`` has the domain of blocked kernels."""
    blocked = op_type.startswith("nchwc.")
    reads = inputs.split() + ([] if addend is None else [addend])
    return ExecutedNode(
        name=name,
        op_type=op_type.removeprefix("nchwc."),
        inputs=tuple(reads),
        outputs=tuple(outputs.split()),
        domain=BLOCKED_DOMAIN if blocked else "",
        addend=addend,
        activation=activation,
    )


def members(fused: FusedGraph) -> list[str]:
    """List each group's operators as one text, in the groups' order."""
    return [" ".join(group.operators) for group in fused.groups]


def check_groups(graph: OperatorGraph, fused: FusedGraph, kernels: int) -> None:
    """Assert that groups partition operators and kernels, and that their quotient is acyclic."""
    operators = [name for group in fused.groups for name in group.operators]
    assert sorted(operators) == sorted(operator.name for operator in graph)
    places = [p for group in fused.groups for p in (*group.nodes, *group.layout)]
    assert sorted([*places, *fused.strays]) == list(range(kernels))
    group_of = {name: i for i, group in enumerate(fused.groups) for name in group.operators}
    quotient: nx.DiGraph[int] = nx.DiGraph()
    quotient.add_nodes_from(range(len(fused.groups)))
    quotient.add_edges_from(
        (group_of[before], group_of[operator.name])
        for operator in graph
        for before in graph.predecessors(operator.name)
        if group_of[before] != group_of[operator.name]
    )
    assert nx.is_directed_acyclic_graph(quotient)
    assert all(before < after for before, after in quotient.edges)
