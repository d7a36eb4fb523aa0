"""The gradient rules, one module per family of operators; importing this package loads them all."""

from collections.abc import Mapping
from types import ModuleType

import onnx

from onnxsplit.autodiff.rules import (
    activations,
    arithmetic,
    batch_norms,
    convolution,
    dropout,
    einsum,
    global_pooling,
    image_norms,
    indexing,
    layer_norms,
    linear,
    losses,
    norms,
    pooling,
    reductions,
    resizing,
    rotations,
    shapes,
    softmax,
    trigonometry,
    windows,
)
from onnxsplit.autodiff.table import RuleEntry, RuleKey, list_registered
from onnxsplit.model.randomness import clean_domain

FAMILIES: tuple[ModuleType, ...] = (
    activations,
    arithmetic,
    batch_norms,
    convolution,
    dropout,
    einsum,
    global_pooling,
    image_norms,
    indexing,
    layer_norms,
    linear,
    losses,
    norms,
    pooling,
    reductions,
    resizing,
    rotations,
    shapes,
    softmax,
    trigonometry,
    windows,
)
"""The modules that hold rules."""

RULES: Mapping[RuleKey, RuleEntry] = list_registered()
"""Every rule, by domain and operator type."""


def find_rule(node: onnx.NodeProto) -> RuleEntry | None:
    """Return the rule of a node's type, or None."""
    return RULES.get((clean_domain(node.domain), node.op_type))
