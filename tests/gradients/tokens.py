"""Inputs of sample transformers."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray


def draw_tokens(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Draw token ids and types; masks hide nothing, and symbolic dims are two.

    Parameters
    ----------
    model : onnx.ModelProto
    """
    rng = np.random.default_rng(5)
    feeds = {}
    for value in model.graph.input:
        shape = [dim.dim_value or 2 for dim in value.type.tensor_type.shape.dim]
        high = 2 if "type" in value.name else 50
        drawn = rng.integers(0, high, shape)
        feeds[value.name] = np.ones(shape, np.int64) if "mask" in value.name else drawn
    return feeds
