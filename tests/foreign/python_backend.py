"""A model for Triton's Python backend that runs ``model.onnx`` beside it, as an ONNX backend does.

The wheel with the server has none.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as backend  # type: ignore[import-not-found] # the server's own


class TritonPythonModel:
    """What the server calls."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load the model."""
        del arguments
        path = Path(__file__).with_name("model.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests, each alone."""
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:  # noqa: ANN401 - the server's own types
        """Answer one request."""
        feeds = {tensor.name(): read(tensor.as_numpy()) for tensor in request.inputs()}
        wanted = list(request.requested_output_names())
        outputs = self.session.run(wanted, feeds)
        tensors = [backend.Tensor(*pair) for pair in zip(wanted, map(write, outputs), strict=True)]
        return backend.InferenceResponse(tensors)


def read(array: np.ndarray) -> np.ndarray:
    """Decode strings."""
    if array.dtype.kind != "O":
        return array
    flat = [text.decode() for text in array.reshape(-1)]
    return np.array(flat, dtype=object).reshape(array.shape)


def write(array: np.ndarray) -> np.ndarray:
    """Encode strings."""
    if array.dtype.kind != "O":
        return array
    flat = [text.encode() for text in array.reshape(-1)]
    return np.array(flat, dtype=object).reshape(array.shape)
