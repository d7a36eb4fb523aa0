"""Which constants are weights that train, and which operators read each."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from onnxsplit.model.index import ModelIndex

_LAYOUTS = frozenset(
    {"Cast", "Constant", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze"}
    | {"Transpose", "Unsqueeze"}
)
"""Operators that change no number of a weight, so that what they make is trained in its place."""
_HUGE = 1e9
_FLOATING = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16})


_STATISTICS = (3, 4)
"""Places of the running mean and variance among the inputs of a batch normalisation."""


def find_readers(
    index: ModelIndex, trained: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Map each value that is to be a parameter to the trained operators that read it."""
    readers: dict[str, list[str]] = {}
    for place in index.order:
        node = index.nodes[place]
        weights = set(trained.get(node.name, ()))
        if not weights:
            continue
        for position, value in enumerate(node.input):
            if _is_statistic(node, position) or not value or not index.is_constant(value):
                continue
            _, stored = index.find_constants([value])
            if stored & weights and node.name not in readers.setdefault(value, []):
                readers[value].append(node.name)
    return {value: tuple(names) for value, names in readers.items()}


def find_tied_layouts(
    index: ModelIndex, readers: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Map weights that are read in several layouts to the values that hold these."""
    layouts: dict[str, list[str]] = {}
    for value in readers:
        _, stored = index.find_constants([value])
        for name in sorted(stored):
            if index.initializers[name].data_type in _FLOATING:
                layouts.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in layouts.items() if len(values) > 1}


def merge_layouts(
    index: ModelIndex,
    readers: Mapping[str, tuple[str, ...]],
    layouts: Mapping[str, tuple[str, ...]],
) -> dict[str, tuple[str, ...]]:
    """Let one weight stand for all its layouts: the operators that change it train as well."""
    merged = dict(readers)
    for name, values in layouts.items():
        read = {operator for value in values for operator in merged.pop(value)}
        merged[name] = tuple(node.name for node in index.nodes if node.name in read)
    return merged


def find_statistics(
    index: ModelIndex, trained: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Map running statistics to the batch normalisations that keep them."""
    found: dict[str, list[str]] = {}
    for place in index.order:
        node = index.nodes[place]
        if node.op_type != "BatchNormalization" or node.name not in trained:
            continue
        for position in _STATISTICS:
            found.setdefault(node.input[position], []).append(node.name)
    return {value: tuple(names) for value, names in found.items()}


def _is_statistic(node: onnx.NodeProto, position: int) -> bool:
    """Tell whether an input is a running statistic, which no gradient passes."""
    return node.op_type == "BatchNormalization" and position in _STATISTICS


def is_weight(index: ModelIndex, value: str) -> bool:
    """Tell whether a constant is a weight, rather than a table or a mask.

    Exports do not tell buffers from parameters. What is computed by more than a change of layout is
    taken to be a table, such as sines of positions; what holds huge numbers, to be a mask.
    """
    places, stored = index.find_constants([value])
    if any(index.nodes[place].op_type not in _LAYOUTS for place in places):
        return False
    return all(
        np.all(np.abs(numpy_helper.to_array(tensor).astype(np.float64)) < _HUGE)
        for name in stored
        if (tensor := index.initializers.get(name)) is not None and tensor.data_type in _FLOATING
    )
