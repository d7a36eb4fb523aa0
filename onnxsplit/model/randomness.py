"""Which operators draw random numbers, and so must never be copied to both sides."""

from collections.abc import Mapping

import onnx

from onnxsplit.model.bodies import find_bodies

FunctionKey = tuple[str, str, str]

_RANDOM_TYPES = frozenset(
    {
        ("", "Bernoulli"),
        ("", "Multinomial"),
        ("", "RandomNormal"),
        ("", "RandomNormalLike"),
        ("", "RandomUniform"),
        ("", "RandomUniformLike"),
        ("com.microsoft", "BiasDropout"),
        ("com.microsoft", "BitmaskBiasDropout"),
        ("com.microsoft", "BitmaskDropout"),
        ("com.microsoft", "Sampling"),
    }
)
_DROPOUT_TRAINING_INPUT = 2


def index_functions(model: onnx.ModelProto) -> dict[FunctionKey, onnx.FunctionProto]:
    """Return the model-local functions by domain, name and overload."""
    return {
        (clean_domain(function.domain), function.name, function.overload): function
        for function in model.functions
    }


def function_key(node: onnx.NodeProto) -> FunctionKey:
    """Return the key under which a node's function would be found."""
    return clean_domain(node.domain), node.op_type, node.overload


def clean_domain(domain: str) -> str:
    """Return the domain with the default one's long name shortened."""
    return "" if domain == "ai.onnx" else domain


def is_random(node: onnx.NodeProto, functions: Mapping[FunctionKey, onnx.FunctionProto]) -> bool:
    """Tell whether a node draws random numbers, itself, in a body or in the function it calls.

    A seeded operator counts as well: what onnxruntime draws depends on the node's place in the
    graph, which differs between a stage and the whole.
    """
    if (clean_domain(node.domain), node.op_type) in _RANDOM_TYPES:
        return True
    if node.op_type == "Dropout" and clean_domain(node.domain) == "":
        # Only the third input can switch training mode on; without it Dropout is the identity.
        return len(node.input) > _DROPOUT_TRAINING_INPUT and bool(
            node.input[_DROPOUT_TRAINING_INPUT]
        )
    function = functions.get(function_key(node))
    if function is not None:
        return any(is_random(inner, functions) for inner in function.node)
    return any(is_random(inner, functions) for body in find_bodies(node) for inner in body.node)
