"""Reverse-mode differentiation from ONNX to ONNX, in standard operators."""
