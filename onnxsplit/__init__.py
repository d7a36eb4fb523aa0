"""onnxsplit."""
