"""Reverse-mode differentiation from ONNX to ONNX, in standard operators.

`preparation.prepare_model` brings a model to a form that the rules know;
`paths.find_gradient_paths` tells which operators gradients pass and which of those have no rule;
`differentiation.differentiate` writes the backward nodes; `assembly.join_gradients` makes one model
of both directions.
"""
