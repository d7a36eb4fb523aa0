"""Read the operator graph of a model: what is placed, what is constant, what is dead."""

import math
from collections.abc import Mapping

import onnx

from onnxsplit.graph import ITEM_BYTES, Operator, OperatorGraph, TensorSpec
from onnxsplit.model.bodies import list_makes
from onnxsplit.model.dtypes import DTYPE_NAMES
from onnxsplit.model.index import ModelIndex, index_model
from onnxsplit.model.loading import LoadedModel
from onnxsplit.model.randomness import clean_domain


def read_graph(model: LoadedModel, tensors: Mapping[str, TensorSpec]) -> OperatorGraph:
    """Read the DAG of live, non-constant operators.

    Parameters
    ----------
    model : LoadedModel
    tensors : mapping of str to TensorSpec
        Sizes; a value without an entry gets an unknown one, and then can't travel.

    Returns
    -------
    OperatorGraph

    Raises
    ------
    ModelError
        A value is made twice or never, or the nodes form a cycle.
    """
    index = index_model(model.proto)
    placed = [i for i in index.order if i in index.live and i not in index.constant]
    operators = tuple(_read_operator(index, i) for i in placed)
    constant_outputs = tuple(name for name in index.outputs if index.is_constant(name))
    weights = sorted({name for operator in operators for name in operator.weights})
    values = [
        *index.feeds,
        *(name for operator in operators for name in operator.outputs),
        *index.outputs,
    ]
    return OperatorGraph(
        identity=model.identity,
        operators=operators,
        tensors={name: tensors.get(name) or _unknown(name) for name in dict.fromkeys(values)},
        inputs=index.feeds,
        outputs=index.outputs,
        constant_operators=tuple(index.nodes[i].name for i in sorted(index.live & index.constant)),
        dead_operators=tuple(
            node.name for i, node in enumerate(index.nodes) if i not in index.live
        ),
        constant_outputs=constant_outputs,
        weight_bytes={name: measure_initializer(index, name) for name in weights},
        weight_dtypes={
            name: dtype for name in weights if (dtype := _find_dtype(index, name)) is not None
        },
    )


def _read_operator(index: ModelIndex, position: int) -> Operator:
    """Read one operator."""
    node = index.nodes[position]
    reads = index.reads[position]
    _, stored = index.find_constants(reads)
    return Operator(
        name=node.name,
        op_type=node.op_type,
        domain=clean_domain(node.domain),
        index=position,
        inputs=tuple(value for value in reads if not index.is_constant(value)),
        outputs=list_makes(node),
        weights=tuple(sorted(stored)),
        is_random=position in index.random,
    )


def _find_dtype(index: ModelIndex, name: str) -> str | None:
    """Return an initializer's element type."""
    if name in index.initializers:
        return DTYPE_NAMES.get(index.initializers[name].data_type)
    return DTYPE_NAMES.get(index.sparse_initializers[name].values.data_type)


def measure_initializer(index: ModelIndex, name: str) -> int:
    """Return an initializer's bytes; of a sparse one those of its values and indices."""
    if name in index.initializers:
        return _measure_tensor(index.initializers[name])
    sparse = index.sparse_initializers[name]
    return _measure_tensor(sparse.values) + _measure_tensor(sparse.indices)


def _measure_tensor(tensor: onnx.TensorProto) -> int:
    """Return elements times item size; strings count as they are stored."""
    dtype = DTYPE_NAMES.get(tensor.data_type)
    if dtype not in ITEM_BYTES or dtype is None:
        return sum(len(text) for text in tensor.string_data)
    return math.ceil(math.prod(tensor.dims) * ITEM_BYTES[dtype])


def _unknown(name: str) -> TensorSpec:
    """Return the spec of a value about which nothing is known."""
    return TensorSpec(name=name, dtype=None, shape=None, kind="unknown")
