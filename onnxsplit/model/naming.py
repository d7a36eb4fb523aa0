"""Unique operator names.

An operator's name is its node's where that is unique and non-empty, else ``<op_type>_<index>`` with
``_2``, ``_3`` on collision. onnxruntime refuses a graph or body in which two nodes share a name.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import onnx

from onnxsplit.model.bodies import find_bodies


def choose_operator_names(nodes: Sequence[onnx.NodeProto]) -> tuple[str, ...]:
    """Choose a unique name for every node of the top graph, in order."""
    uses = Counter(node.name for node in nodes)
    taken = {name for name, count in uses.items() if name and count == 1}
    names = []
    for index, node in enumerate(nodes):
        if node.name in taken:
            names.append(node.name)
            continue
        name = _find_free_name(f"{node.op_type}_{index}", taken)
        taken.add(name)
        names.append(name)
    return tuple(names)


def rename_repeated_body_nodes(node: onnx.NodeProto) -> dict[str, str]:
    """Make the node names within each body unique, in place.

    Returns
    -------
    dict
        ``<operator>/<new name>`` to the repeated name.
    """
    renamed: dict[str, str] = {}
    for body in find_bodies(node):
        renamed.update(rename_repeated(body.node, prefix=node.name))
        for inner in body.node:
            renamed.update(rename_repeated_body_nodes(inner))
    return renamed


def rename_repeated(nodes: Iterable[onnx.NodeProto], *, prefix: str) -> dict[str, str]:
    """Rename every node, after the first, that repeats a name; in place."""
    listed = list(nodes)
    taken = {node.name for node in listed}
    seen: set[str] = set()
    renamed: dict[str, str] = {}
    for node in listed:
        if node.name and node.name in seen:
            name = _find_free_name(node.name, taken)
            renamed[f"{prefix}/{name}"] = node.name
            node.name = name
            taken.add(name)
        seen.add(node.name)
    return renamed


def _find_free_name(wish: str, taken: set[str]) -> str:
    """Return the wish, or the wish with the first free number from 2 on."""
    if wish not in taken:
        return wish
    number = 2
    while f"{wish}_{number}" in taken:
        number += 1
    return f"{wish}_{number}"
