"""Where every value of a model's top graph comes from, and what depends on constants alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx

from onnxsplit.errors import ModelError
from onnxsplit.model.bodies import list_makes, list_reads
from onnxsplit.model.randomness import (
    clean_domain,
    function_key,
    index_functions,
    is_random,
)

_DETERMINISTIC_DOMAINS = frozenset({"", "ai.onnx.ml", "com.microsoft"})
"""Domains whose operators, but for the random ones, give the same outputs for the same inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIndex:
    """A model's top graph, indexed; positions are places in ``graph.node``.

    Parameters
    ----------
    nodes : tuple of onnx.NodeProto
    reads : tuple of tuple of str
        For each node the values it reads, captures of bodies included, each once.
    producer : mapping of str to int
        Value to the node that makes it.
    initializers : mapping of str to onnx.TensorProto
    sparse_initializers : mapping of str to onnx.SparseTensorProto
    feeds : tuple of str
        Model inputs without a default, which must be fed.
    outputs : tuple of str
        Model outputs, in order.
    order : tuple of int
        The nodes in a topological order that follows the model's own where that is valid.
    constant : frozenset of int
        Nodes that depend on constants alone.
    random : frozenset of int
        Nodes that draw random numbers.
    live : frozenset of int
        Nodes that a model output depends on.
    """

    nodes: tuple[onnx.NodeProto, ...]
    reads: tuple[tuple[str, ...], ...]
    producer: Mapping[str, int]
    initializers: Mapping[str, onnx.TensorProto]
    sparse_initializers: Mapping[str, onnx.SparseTensorProto]
    feeds: tuple[str, ...]
    outputs: tuple[str, ...]
    order: tuple[int, ...]
    constant: frozenset[int]
    random: frozenset[int]
    live: frozenset[int]

    def is_stored(self, value: str) -> bool:
        """Tell whether a value is an initializer."""
        return value in self.initializers or value in self.sparse_initializers

    def is_constant(self, value: str) -> bool:
        """Tell whether a value depends on constants alone."""
        return self.is_stored(value) or self.producer.get(value) in self.constant

    def find_constants(self, values: Iterable[str]) -> tuple[frozenset[int], frozenset[str]]:
        """Return the constant nodes and the initializers that make the constant ones of values.

        Parameters
        ----------
        values : iterable of str
            Values that are not constant are passed over.

        Returns
        -------
        nodes : frozenset of int
        initializers : frozenset of str
        """
        nodes: set[int] = set()
        stored: set[str] = set()
        pending = list(values)
        while pending:
            value = pending.pop()
            if self.is_stored(value):
                stored.add(value)
                continue
            maker = self.producer.get(value)
            if maker in self.constant and maker not in nodes and maker is not None:
                nodes.add(maker)
                pending.extend(self.reads[maker])
        return frozenset(nodes), frozenset(stored)


def index_model(model: onnx.ModelProto) -> ModelIndex:
    """Index a model's top graph; O(nodes + values).

    Raises
    ------
    ModelError
        A value is made twice, or read but never made, or the nodes form a cycle.
    """
    graph = model.graph
    nodes = tuple(graph.node)
    reads = tuple(list_reads(node) for node in nodes)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
    stored = initializers.keys() | sparse.keys()
    feeds = tuple(value.name for value in graph.input if value.name not in stored)
    producer = _index_producers(nodes, {*feeds, *stored})
    order = _sort_nodes(reads, producer, {*feeds, *stored}, nodes)
    functions = index_functions(model)
    random = frozenset(i for i, node in enumerate(nodes) if is_random(node, functions))
    deterministic = frozenset(
        i
        for i, node in enumerate(nodes)
        if i not in random
        and (clean_domain(node.domain) in _DETERMINISTIC_DOMAINS or function_key(node) in functions)
    )
    outputs = tuple(dict.fromkeys(value.name for value in graph.output))
    return ModelIndex(
        nodes=nodes,
        reads=reads,
        producer=producer,
        initializers=initializers,
        sparse_initializers=sparse,
        feeds=feeds,
        outputs=outputs,
        order=order,
        constant=_find_constant(reads, producer, order, stored, deterministic),
        random=random,
        live=_find_live(reads, producer, outputs),
    )


def _index_producers(nodes: tuple[onnx.NodeProto, ...], given: set[str]) -> dict[str, int]:
    """Map every value to the node that makes it."""
    producer: dict[str, int] = {}
    for position, node in enumerate(nodes):
        for value in list_makes(node):
            if value in producer or value in given:
                raise ModelError(
                    f"The value {value!r} is made twice, the second time by {node.name!r};"
                    " the model is invalid."
                )
            producer[value] = position
    return producer


def _sort_nodes(
    reads: tuple[tuple[str, ...], ...],
    producer: Mapping[str, int],
    given: set[str],
    nodes: tuple[onnx.NodeProto, ...],
) -> tuple[int, ...]:
    """Sort topologically, keeping the model's own order wherever it is valid."""
    order: list[int] = []
    state = [0] * len(reads)  # 0 untouched, 1 being visited, 2 done
    for start in range(len(reads)):
        pending = [start]
        while pending:
            node = pending[-1]
            if state[node]:
                if state[node] == 1:
                    state[node] = 2
                    order.append(node)
                pending.pop()
                continue
            state[node] = 1
            for value in reversed(reads[node]):
                maker = producer.get(value)
                if maker is None and value not in given:
                    raise ModelError(
                        f"The operator {nodes[node].name!r} reads {value!r}, which nothing makes."
                    )
                if maker is not None and state[maker] == 1:
                    raise ModelError(f"The operator {nodes[maker].name!r} lies on a cycle.")
                if maker is not None and state[maker] == 0:
                    pending.append(maker)
    return tuple(order)


def _find_constant(
    reads: tuple[tuple[str, ...], ...],
    producer: Mapping[str, int],
    order: tuple[int, ...],
    stored: set[str],
    deterministic: frozenset[int],
) -> frozenset[int]:
    """Find the nodes that depend on constants alone."""
    constant: set[int] = set()
    for node in order:
        fixed = all(value in stored or producer.get(value) in constant for value in reads[node])
        if fixed and node in deterministic:
            constant.add(node)
    return frozenset(constant)


def _find_live(
    reads: tuple[tuple[str, ...], ...], producer: Mapping[str, int], outputs: tuple[str, ...]
) -> frozenset[int]:
    """Find the nodes that an output depends on."""
    live: set[int] = set()
    pending = [producer[value] for value in outputs if value in producer]
    while pending:
        node = pending.pop()
        if node not in live:
            live.add(node)
            pending.extend(producer[value] for value in reads[node] if value in producer)
    return frozenset(live)
