"""Tiny models, each with one thing in it that extractors tend to lose."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxsplit.engines.port import Value

Made = tuple[onnx.ModelProto, Mapping[str, Value]]

X = np.array([[0.5, -1.25, 3.0], [2.0, 0.125, -7.5]], dtype=np.float32)
W = np.array([[1.5, 0.5, -2.0], [0.25, 4.0, 1.0]], dtype=np.float32)
TRUE = np.array(True)  # noqa: FBT003 - the value of a tensor

DOUBLE = """
<domain: "local", opset_import: ["" : 17]>
Double (v) => (r) { r = Add(v, v) }
"""
QUADRUPLE = """
<domain: "local", opset_import: ["" : 17, "local" : 1]>
Quadruple (v) => (r) { d = local.Double(v) r = local.Double(d) }
"""
BINARIZE = """
<domain: "other", opset_import: ["ai.onnx.ml" : 3]>
Cut (v) => (r) { r = ai.onnx.ml.Binarizer<threshold = 0.25>(v) }
"""


def parse(
    graph: str,
    *,
    ir_version: int = 8,
    opsets: Mapping[str, int] | None = None,
    functions: Sequence[str] = (),
) -> onnx.ModelProto:
    """Build a model from the text of its graph."""
    imports = opsets or {"": 17}
    return helper.make_model(
        onnx.parser.parse_graph(graph),
        ir_version=ir_version,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in imports.items()],
        functions=[onnx.parser.parse_function(text) for text in functions],
        producer_name="tests",
        producer_version="1",
    )


def name_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name each node after the first value that it makes."""
    for node in model.graph.node:
        node.name = f"make_{next(filter(None, node.output))}"
    return model


def make_chain() -> Made:
    return parse("g (float[2,3] x) => (float[2,3] y) { a = Relu(x) b = Neg(a) y = Exp(b) }"), {
        "x": X
    }


def make_skips() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,3] y) {
            a = Relu(x) b = Neg(a) c = Abs(x) d = Mul(b, b) e = Add(a, d) y = Sub(e, c)
        }
    """), {"x": X}


def make_if() -> Made:
    return parse("""
        g (float[2,3] x, bool c) => (float[2,3] y) {
            a = Relu(x)
            b = Neg(x)
            k = Abs(x)
            s = If (c) <
                then_branch = t () => (float[2,3] p) { p = Add(a, k) },
                else_branch = e () => (float[2,3] q) { q = Mul(b, k) }
            >
            y = Exp(s)
        }
    """), {"x": X, "c": TRUE}


def make_loop() -> Made:
    return parse("""
        g (float[2,3] x, int64 n, bool c) => (float[2,3] y) {
            a = Relu(x)
            z = Abs(x)
            s = Loop (n, c, z) <
                body = l (int64 i, bool go, float[2,3] v) => (bool more, float[2,3] w) {
                    more = Identity(go)
                    w = Add(v, a)
                }
            >
            y = Neg(s)
        }
    """), {"x": X, "n": np.array(3), "c": TRUE}


def make_scan() -> Made:
    return parse("""
        g (float[2,3] x) => (float[3] y, float[2,3] z) {
            r = ReduceMax<axes = [0], keepdims = 0>(x)
            s = ReduceMin<axes = [0], keepdims = 0>(x)
            f, t = Scan <
                num_scan_inputs = 1,
                body = l (float[3] v, float[3] e) => (float[3] w, float[3] o) {
                    w = Add(v, e)
                    o = Mul(w, r)
                }
            > (s, x)
            y = Neg(f)
            z = Abs(t)
        }
    """), {"x": X}


def make_nested_bodies() -> Made:
    return parse("""
        g (float[2,3] x, int64 n, bool c) => (float[2,3] y) {
            a = Relu(x)
            b = Neg(x)
            k = Abs(x)
            s = Loop (n, c, k) <
                body = l (int64 i, bool go, float[2,3] v) => (bool more, float[2,3] w) {
                    more = Identity(go)
                    u = If (go) <
                        then_branch = t () => (float[2,3] p) { p = Add(v, a) },
                        else_branch = e () => (float[2,3] q) { q = Mul(v, b) }
                    >
                    w = Identity(u)
                }
            >
            y = Neg(s)
        }
    """), {"x": X, "n": np.array(2), "c": TRUE}


def make_body_with_own_names() -> Made:
    return parse("""
        g (float[2,3] x, bool c) => (float[2,3] y) {
            a = Relu(x)
            s = If (c) <
                then_branch = t () => (float[2,3] p) { inner = Neg(a) p = Abs(inner) },
                else_branch = e () => (float[2,3] p) { inner = Exp(a) p = Abs(inner) }
            >
            b = Neg(s)
            y = Sub(b, x)
        }
    """), {"x": X, "c": np.array(False)}  # noqa: FBT003 - the value of a tensor


def make_functions() -> Made:
    return parse(
        """
        g (float[2,3] x, bool c) => (float[2,3] y) {
            a = local.Quadruple(x)
            b = Relu(a)
            s = If (c) <
                then_branch = t () => (float[2,3] p) { p = other.Cut(b) },
                else_branch = e () => (float[2,3] q) { q = Neg(b) }
            >
            y = Add(s, b)
        }
        """,
        opsets={"": 17, "local": 1, "other": 1, "ai.onnx.ml": 3},
        functions=(DOUBLE, QUADRUPLE, BINARIZE),
    ), {"x": X, "c": TRUE}


def make_overloaded_functions() -> Made:
    model = parse(
        """
        g (float[2,3] x) => (float[2,3] y) {
            a = local.Double(x) b = Relu(a) c = local.Double(b) y = Neg(c)
        }
        """,
        ir_version=10,
        opsets={"": 17, "local": 1},
        functions=(DOUBLE, DOUBLE.replace("Add", "Mul")),
    )
    for function, node, overload in zip(
        model.functions, (model.graph.node[0], model.graph.node[2]), ("sum", "square"), strict=True
    ):
        function.overload = overload
        node.overload = overload
    return model, {"x": X}


def make_sparse_initializer() -> Made:
    model = parse("""
        g (float[2,3] x) => (float[2,3] y) { a = Relu(x) b = Mul(a, w) y = Add(b, w) }
    """)
    values = helper.make_tensor("w", TensorProto.FLOAT, [2], [2.5, -3.0])
    places = helper.make_tensor("w_places", TensorProto.INT64, [2], [1, 4])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 3]))
    return model, {"x": X}


def make_annotations() -> Made:
    model = parse("""
        g (float[2,3] x) => (float[2,3] y)
        <float scale = {0.5}, uint8 zero = {0}, float other = {0.25}> {
            a = Relu(x) b = Neg(a) y = Exp(b)
        }
    """)
    for tensor, scale in (("a", "scale"), ("b", "other")):
        entry = model.graph.quantization_annotation.add(tensor_name=tensor)
        entry.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value=scale)
        entry.quant_parameter_tensor_names.add(key="ZERO_POINT_TENSOR", value="zero")
    return model, {"x": X}


def make_metadata() -> Made:
    model = name_nodes(
        parse(
            """
        g (float[2,3] x) => (float[2,3] y) <float[2,3] a, float[2,3] b> {
            a = Relu(x) b = Neg(a) y = Exp(b)
        }
        """,
            ir_version=10,
        )
    )
    model.doc_string = "about the model"
    model.graph.doc_string = "about the graph"
    model.metadata_props.add(key="origin", value="model")
    model.graph.metadata_props.add(key="origin", value="graph")
    for node in model.graph.node:
        node.doc_string = f"about {node.name}"
        node.metadata_props.add(key="origin", value=node.name)
    for value in (*model.graph.value_info, *model.graph.input):
        value.doc_string = f"about {value.name}"
        value.metadata_props.add(key="origin", value=value.name)
    model.domain = "org.example"
    model.model_version = 42
    return model, {"x": X}


def make_contrib() -> Made:
    return parse(
        """
        g (float[2,3] x) => (y) <float[3] bias = {0.5, -1, 2}> {
            a = Neg(x) b = com.microsoft.BiasGelu(a, bias) c = com.microsoft.QuickGelu(b) y = Abs(c)
        }
        """,
        opsets={"": 17, "com.microsoft": 1},
    ), {"x": X}


def make_sequence() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,3] y) <int64 one = {1}> {
            a = Relu(x) b = Neg(x) s = SequenceConstruct(a, b) c = SequenceAt(s, one) y = Exp(c)
        }
    """), {"x": X}


def make_optional() -> Made:
    return parse(
        """
        g (float[2,3] x) => (float[2,3] y) {
            a = Relu(x) o = Optional(a) b = OptionalGetElement(o) y = Neg(b)
        }
    """,
        opsets={"": 18},
    ), {"x": X}


def make_strings() -> Made:
    return parse("""
        g (string[2] x) => (string[2] y) {
            a = Identity(x)
            b = StringNormalizer<locale = "C", case_change_action = "UPPER">(a)
            y = Identity(b)
        }
    """), {"x": np.array(["left", "right"], dtype=object)}


def make_shared_ends() -> Made:
    return parse("""
        g (float[2,3] x, float[2,3] z) => (float[2,3] a, float[2,3] y, float[2,3] x, float[2,3] w)
        <float[2,3] w = {1, 2, 3, 4, 5, 6}> {
            a = Relu(x) b = Add(a, z) c = Mul(b, w) d = Sub(c, x) y = Add(d, z)
        }
    """), {"x": X, "z": W}


def make_constant_output() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2] k, float[2,3] y) <float[2] w = {1, 2}> {
            k = Neg(w) a = Relu(x) y = Abs(a)
        }
    """), {"x": X}


def make_repeated_output() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,3] y, float[2,3] a, float[2,3] y) {
            a = Relu(x) b = Abs(a) y = Neg(b)
        }
    """), {"x": X}


def make_unread_input() -> Made:
    return parse("""
        g (float[2,3] x, float[2] unread) => (float[2,3] y) { a = Relu(x) y = Neg(a) }
    """), {"x": X, "unread": np.zeros(2, dtype=np.float32)}


def make_shared_weights() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,3] y) <float[2,3] w = {1, 2, 3, 4, 5, 6}, float own = {7}> {
            k = Neg(w) q = Exp(k) a = Add(x, w) b = Mul(a, q) c = Mul(b, own) d = Sub(c, w)
            y = Mul(d, q)
        }
    """), {"x": X}


def make_overridable_weights() -> Made:
    model, feeds = make_shared_weights()
    for name in ("w", "own"):
        dims = [2, 3] if name == "w" else []
        model.graph.input.insert(0, helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    return model, feeds


def make_symbolic_dims() -> Made:
    return parse("""
        g (float[batch,3] x) => (float[batch,3] y) {
            a = Relu(x) b = Abs(a) c = Neg(b) y = Add(c, a)
        }
    """), {"x": X}


def make_omitted_values() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,3] y) <float top = {1.5}, float[3] s = {1, 2, 3}> {
            a = Relu(x) b = Clip(a, , top) c, , d = LayerNormalization(b, s)
            e = Add(c, d) y = Neg(e)
        }
    """), {"x": X}


def make_quantized() -> Made:
    return parse(
        """
        g (float[2,3] x) => (float[2,2] y)
        <float s = {0.05}, uint8 z = {128}, int8[3,2] w = {1, -2, 3, 4, -5, 6}, float t = {0.1},
         int8 o = {0}> {
            a = QuantizeLinear(x, s, z) b = DequantizeLinear(a, s, z)
            v = DequantizeLinear(w, t, o) c = MatMul(b, v)
            d = QuantizeLinear(c, s, z) e = DequantizeLinear(d, s, z) y = MatMul(e, u)
            p = DequantizeLinear(w, t, o) u = Slice(p, from, to)
        }
    """.replace("int8 o = {0}>", "int8 o = {0}, int64[1] from = {0}, int64[1] to = {2}>")
    ), {"x": X}


def make_awkward_names() -> Made:
    model, feeds = make_skips()
    for node, name in zip(
        model.graph.node, ("same", "same", "", "Mul_3", "Relu_0", ""), strict=True
    ):
        node.name = name
    return model, feeds


def make_dead_nodes() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,3] y) <float[2,3] w = {1, 2, 3, 4, 5, 6}, float unread = {1}> {
            a = Relu(x) lost = Add(a, w) gone = Neg(lost) b = Abs(a) y = Neg(b)
        }
    """), {"x": X}


def make_random() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,3] y, float[2,3] z) {
            r = RandomNormal<shape = [2, 3]>() a = Add(x, r) b = Mul(a, r) y = Abs(b) z = Neg(r)
        }
    """), {"x": X}


def make_unsorted() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,3] y) { y = Neg(b) b = Abs(a) a = Relu(x) }
    """), {"x": X}


def make_old() -> Made:
    model = parse(
        """
        g (float[2,3] x) => (float[2,3] y) <float[2,3] w = {1, 2, 3, 4, 5, 6}, float v = {2}> {
            a = Relu(x) b = Add(a, w) c = Mul(b, v) y = Sub(c, w)
        }
    """,
        ir_version=3,
        opsets={"": 7},
    )
    for name, dims in (("w", [2, 3]), ("v", [])):
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    return model, {"x": X}


def make_scalar_values() -> Made:
    return parse("""
        g (float[2,3] x) => (y) { a = ReduceSum<keepdims = 0>(x) b = Neg(a) c = Shape(x)
            d = Cast<to = 1>(c) e = Mul(b, d) y = Abs(e) }
    """), {"x": X}


def make_empty_values() -> Made:
    return parse("""
        g (float[n,3] x) => (float[n,3] y) { a = Relu(x) b = Neg(a) y = Abs(b) }
    """), {"x": np.zeros((0, 3), dtype=np.float32)}


def make_three_outputs() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,1] p, float[2,1] q, float[2,1] r)
        <int64[3] parts = {1, 1, 1}> {
            a, b, c = Split<axis = 1>(x, parts) p = Neg(a) q = Add(b, a) r = Mul(c, q)
        }
    """), {"x": X}


def make_training_info() -> Made:
    model, feeds = make_chain()
    model.training_info.add().algorithm.name = "step"
    return model, feeds


def make_device_configuration() -> Made:
    model, feeds = make_chain()
    model.ir_version = 11
    model.configuration.add(name="pair", num_devices=2)
    model.graph.node[1].device_configurations.add(configuration_id="pair")
    return model, feeds


def make_dropout_with_ratio() -> Made:
    return parse("""
        g (float[2,3] x) => (float[2,3] y) {
            half = Constant<value = float {0.5}>() a = Relu(x) b, m = Dropout(a, half) y = Neg(b)
        }
    """), {"x": X}


CASES: Mapping[str, Callable[[], Made]] = {
    name.removeprefix("make_"): value
    for name, value in list(globals().items())
    if name.startswith("make_")
}
"""Every case by its name."""


def store_externally(model: onnx.ModelProto, names: Sequence[str], location: str) -> bytes:
    """Let initializers refer to a file, in place, and return what the file must hold."""
    content = b""
    for tensor in model.graph.initializer:
        if tensor.name in names:
            raw = numpy_helper.to_array(tensor).tobytes()
            content += bytes(-len(content) % 64)
            tensor.CopyFrom(
                TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
            )
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (
                ("location", location),
                ("offset", len(content)),
                ("length", len(raw)),
            ):
                tensor.external_data.add(key=key, value=str(value))
            content += raw
    return content
