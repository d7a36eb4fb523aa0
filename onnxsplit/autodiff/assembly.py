"""Put forward and backward pass together in one model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx

from onnxsplit.autodiff.differentiation import describe_values
from onnxsplit.autodiff.gradients import Gradients
from onnxsplit.graph import TensorSpec
from onnxsplit.model.dtypes import write_type
from onnxsplit.model.index import index_model
from onnxsplit.model.loading import LoadedModel


def join_gradients(
    model: LoadedModel,
    gradients: Gradients,
    *,
    wanted: Sequence[str],
    seeds: Mapping[str, TensorSpec] | None = None,
) -> onnx.ModelProto:
    """Make one model that yields a model's outputs and gradients.

    Parameters
    ----------
    model : LoadedModel
        The one that was differentiated.
    gradients : Gradients
    wanted : sequence of str
        Values whose gradients become outputs, each as ``grad|<value>``.
    seeds : mapping of str to TensorSpec, optional
        Types of the gradients that are fed, by their names.

    Returns
    -------
    onnx.ModelProto
        Inputs: the model's, then the seeds. Outputs: the model's, then the gradients.
    """
    joined = onnx.ModelProto()
    joined.CopyFrom(model.proto)
    graph = joined.graph
    del graph.node[:]
    graph.node.extend(gradients.forward)
    graph.node.extend(node.proto for node in gradients.backward)
    graph.initializer.extend(gradients.constants)
    graph.input.extend(write_type(spec) for spec in (seeds or {}).values())
    specs = describe_values(model, index_model(model.proto))
    for name in wanted:
        output = f"grad|{name}"
        graph.node.add(
            op_type="Identity", name=output, input=[gradients.gradients[name]], output=[output]
        )
        graph.output.append(write_type(replace(specs[name], name=output)))
    return joined
