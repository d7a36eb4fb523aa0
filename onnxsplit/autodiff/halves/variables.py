"""Variables: the initializers that training changes, and how they get their values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper

from onnxsplit.engines.port import Array
from onnxsplit.errors import BundleError, ModelError
from onnxsplit.model.index import index_model
from onnxsplit.model.loading import LoadedModel
from onnxsplit.model.saving import take_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A part of the model that training changes.

    Parameters
    ----------
    name : str
        Of the initializer in the separated model.
    source : str
        Of the model's own value that the operators read.
    kind : str
        ``parameter``, which has a gradient, or ``statistic``, which a forward pass updates.
    operators : tuple of str
        Those that read it.
    """

    name: str
    source: str
    kind: Literal["parameter", "statistic"]
    operators: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as a manifest holds it."""
        return {
            "name": self.name,
            "source": self.source,
            "kind": self.kind,
            "operators": list(self.operators),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Variable":
        """Read it; raises BundleError if it is malformed."""
        try:
            return cls(
                name=entry["name"],
                source=entry["source"],
                kind=entry["kind"],
                operators=tuple(entry["operators"]),
            )
        except (KeyError, TypeError) as error:
            raise BundleError(
                f"A variable of the training stages is malformed: {error}."
            ) from error


def apply_variables(
    proto: onnx.ModelProto, variables: Sequence[Variable], values: Mapping[str, Array]
) -> None:
    """Give variables their values, in place, so that their operators read them.

    Parameters
    ----------
    proto : onnx.ModelProto
        Of the model's own operators; what computed a variable from constants is taken out.
    variables : sequence of Variable
    values : mapping of str to array
        Of the same type and shape as the model's own.

    Raises
    ------
    ModelError
        The model lacks an operator.
    """
    graph = proto.graph
    nodes = {node.name: node for node in graph.node}
    for variable in variables:
        for operator in variable.operators:
            if operator not in nodes:
                raise ModelError(f"The model has no operator {operator!r}, which is to be trained.")
            for place, name in enumerate(nodes[operator].input):
                if name == variable.source:
                    nodes[operator].input[place] = variable.name
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made = {v.name for v in variables}
    for node in [n for n in graph.node if not made.isdisjoint(n.output)]:
        graph.node.remove(node)
    for variable in variables:
        tensor = numpy_helper.from_array(np.array(values[variable.name], order="C"), variable.name)
        if variable.name in stored:
            stored[variable.name].CopyFrom(tensor)
        else:
            graph.initializer.append(tensor)
    _drop_unread(proto)


def load_weights(model: LoadedModel) -> onnx.ModelProto:
    """Copy a model with all its weights inside."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            take_in(tensor, model.base_folder)
    return proto


def _drop_unread(proto: onnx.ModelProto) -> None:
    """Leave out constant operators and initializers that nothing reads any more."""
    index = index_model(proto)
    dead = index.constant - index.live
    nodes = [node for place, node in enumerate(index.nodes) if place not in dead]
    read = {value for place in index.live for value in index.reads[place]} | set(index.outputs)
    weights = [tensor for tensor in proto.graph.initializer if tensor.name in read]
    _replace(proto.graph.node, nodes)
    _replace(proto.graph.initializer, weights)


def _replace(field: Any, kept: Sequence[Any]) -> None:  # noqa: ANN401 - protobuf's lists have no common type
    """Leave out the entries of a protobuf's list that are not kept."""
    copies = [type(entry).FromString(entry.SerializeToString()) for entry in kept]
    del field[:]
    field.extend(copies)
