"""Small models for the tests of engines and profiling."""

from collections.abc import Mapping, Sequence

import onnx
from onnx import TensorProto, helper

OPSET = 21
DEFAULT_OPSETS = {"": OPSET}


def build_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    *,
    initializers: Sequence[onnx.TensorProto] = (),
    opsets: Mapping[str, int] = DEFAULT_OPSETS,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes), "g", list(inputs), list(outputs), initializer=list(initializers)
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def floats(
    name: str, shape: Sequence[int | str | None] | None, dtype: int = TensorProto.FLOAT
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def relu_model(dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    node = helper.make_node("Relu", ["x"], ["y"], name="relu")
    return build_model([node], [floats("x", ["N", 4], dtype)], [floats("y", None, dtype)])


def chain_model() -> onnx.ModelProto:
    """A convolution, two activations and a product, with a constant that is folded."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [8, 3, 3, 3], [0.01] * 216)
    half = helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])
    return build_model(
        [
            helper.make_node("Neg", ["half"], ["minus"], name="folded"),
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node("Mul", ["r", "minus"], ["m"], name="mul"),
            helper.make_node("Sigmoid", ["m"], ["y"], name="sigmoid"),
        ],
        [floats("x", [1, 3, 16, 16])],
        [floats("y", [1, 8, 16, 16])],
        initializers=[weights, half],
    )


def control_flow_model() -> onnx.ModelProto:
    """An If and a Loop whose bodies reuse the name of a node of the top graph."""
    then = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["t"], name="last")], "then", [], [floats("t", None)]
    )
    otherwise = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["e"], name="last")], "else", [], [floats("e", None)]
    )
    body = helper.make_graph(
        [
            helper.make_node("Add", ["v", "x"], ["v_out"], name="last"),
            helper.make_node("Identity", ["go"], ["go_out"], name="again"),
        ],
        "body",
        [
            floats("i", [], TensorProto.INT64),
            floats("go", [], TensorProto.BOOL),
            floats("v", None),
        ],
        [floats("go_out", [], TensorProto.BOOL), floats("v_out", None)],
    )
    return build_model(
        [
            helper.make_node("ReduceSum", ["x"], ["s"], name="sum", keepdims=0),
            helper.make_node("Greater", ["s", "zero"], ["p"], name="positive"),
            helper.make_node(
                "If", ["p"], ["b"], name="if", then_branch=then, else_branch=otherwise
            ),
            helper.make_node("Loop", ["rounds", "", "b"], ["l"], name="loop", body=body),
            helper.make_node("Add", ["l", "x"], ["y"], name="last"),
        ],
        [floats("x", [2, 4])],
        [floats("y", [2, 4])],
        initializers=[
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("rounds", TensorProto.INT64, [], [3]),
        ],
    )


def function_model() -> onnx.ModelProto:
    """Two calls of a local function around a function of ONNX that has no kernel of its own."""
    double = helper.make_function(
        "local",
        "Block",
        ["a"],
        ["b"],
        [
            helper.make_node("Relu", ["a"], ["t"], name="first"),
            helper.make_node("Neg", ["t"], ["b"], name="between"),
        ],
        [helper.make_opsetid("", OPSET)],
    )
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0] * 4)
    model = build_model(
        [
            helper.make_node("Block", ["x"], ["u"], name="call_1", domain="local"),
            helper.make_node("Abs", ["u"], ["between_calls"], name="between"),
            helper.make_node("Block", ["between_calls"], ["v"], name="call_2", domain="local"),
            helper.make_node(
                "GroupNormalization", ["v", "scales", "scales"], ["y"], name="norm", num_groups=2
            ),
        ],
        [floats("x", [1, 4, 8, 8])],
        [floats("y", [1, 4, 8, 8])],
        initializers=[scales],
        opsets={**DEFAULT_OPSETS, "local": 1},
    )
    model.functions.append(double)
    return model


def half_precision_model() -> onnx.ModelProto:
    """A float16 convolution, which the CPU provider computes in float32 between casts."""
    weights = helper.make_tensor("w", TensorProto.FLOAT16, [4, 4, 1, 1], [0.5] * 16)
    half = TensorProto.FLOAT16
    return build_model(
        [
            helper.make_node("Conv", ["x", "w"], ["u"], name="conv"),
            helper.make_node("Relu", ["u"], ["y"], name="relu"),
        ],
        [floats("x", [1, 4, 8, 8], half)],
        [floats("y", [1, 4, 8, 8], half)],
        initializers=[weights],
    )


def external_model(location: str) -> onnx.ModelProto:
    """An addition whose four float32 weights lie in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    node = helper.make_node("Add", ["x", "w"], ["y"], name="add")
    return build_model([node], [floats("x", [4])], [floats("y", [4])], initializers=[weights])
