"""Operators that may run twice: cheap, deterministic, and without parameters."""

from onnxsplit.graph import Operator, OperatorGraph

CHEAP_TYPES = frozenset(
    # element by element
    {"Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Div", "Equal", "Floor", "Greater"}
    | {"GreaterOrEqual", "Identity", "IsInf", "IsNaN", "Less", "LessOrEqual", "Max", "Min", "Mod"}
    | {"Mul", "Neg", "Not", "Or", "Relu", "Sign", "Sub", "Where", "Xor"}
    # shape and order
    | {"Concat", "Expand", "Flatten", "Gather", "Pad", "Reshape", "Shape", "Size", "Slice", "Split"}
    | {"Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze"}
    # made of few numbers
    | {"ConstantOfShape", "CumSum", "OneHot", "Range"}
)
"""Operators of the default domain that neither draw numbers, keep a state nor do heavy work."""

MOST_CONSTANT_BYTES = 1024
"""Constants of an operator, such as a new shape or a factor, up to which it has no parameters."""


def may_double(operator: Operator, graph: OperatorGraph) -> bool:
    """Tell whether an operator may run twice: cheap, deterministic and without parameters."""
    constants = sum(graph.weight_bytes.get(weight, 0) for weight in operator.weights)
    return (
        operator.domain in {"", "ai.onnx"}
        and operator.op_type in CHEAP_TYPES
        and not operator.is_random
        and constants <= MOST_CONSTANT_BYTES
    )
