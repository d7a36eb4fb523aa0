"""A stage in float16 that takes and gives what it took and gave before."""

from pathlib import Path

import onnx

from onnxsplit.engines.half_precision import halve_precision
from onnxsplit.model.index import index_model


def halve_stage(proto: onnx.ModelProto, base_folder: Path | None) -> onnx.ModelProto:
    """Return a model that computes in float16, its operators in topological order.

    Parameters
    ----------
    proto : onnx.ModelProto
    base_folder : Path or None
        Where its external data lies.

    Raises
    ------
    ModelError, UnsupportedModelError
        As for `onnxsplit.engines.half_precision.halve_precision`.
    """
    halved = halve_precision(proto, None if base_folder is None else str(base_folder))
    index = index_model(halved)
    ordered = [onnx.NodeProto.FromString(index.nodes[p].SerializeToString()) for p in index.order]
    del halved.graph.node[:]
    halved.graph.node.extend(ordered)
    return halved
