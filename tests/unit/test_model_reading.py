"""The read graph against what onnxruntime really makes, on tiny awkward models."""

import numpy as np
import onnx
import pytest

from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions, Value
from onnxsplit.errors import ModelError
from onnxsplit.model.inference import infer_specs
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import find_symbolic_specs, resolve_tensors
from tests.tiny_models import CASES, X, parse

ENGINE = EngineOptions(threads=1, optimization="disabled")


def _run_for_everything(model: onnx.ModelProto, feeds: dict[str, Value]) -> dict[str, Value]:
    """Run with every value of the top graph as an output."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    present = {value.name for value in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name]
    watched.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in present
    )
    with open_session(watched.SerializeToString(), ENGINE) as session:
        return session.run(feeds, names)


@pytest.mark.parametrize("case", CASES)
def test_sizes_are_those_of_the_values_that_the_engine_makes(case: str) -> None:
    model, feeds = CASES[case]()
    loaded = load_model(model)
    graph = read_graph(loaded, resolve_tensors(loaded, feeds, ENGINE))
    real = _run_for_everything(loaded.proto, dict(feeds))
    for operator in graph:
        for name in operator.outputs:
            spec, value = graph.tensors[name], real[name]
            if isinstance(value, np.ndarray) and spec.kind == "tensor":
                assert spec.shape == value.shape, name
                dtype = "string" if value.dtype.kind in "OUS" else str(value.dtype).replace("_", "")
                assert spec.dtype == dtype, name
            else:
                assert spec.kind != "tensor" or value is None, name


@pytest.mark.parametrize("case", CASES)
def test_every_node_is_placed_constant_or_dead_and_just_one_of_these(case: str) -> None:
    model, feeds = CASES[case]()
    loaded = load_model(model)
    graph = read_graph(loaded, resolve_tensors(loaded, feeds, ENGINE))
    kinds = [*(op.name for op in graph), *graph.constant_operators, *graph.dead_operators]
    assert sorted(kinds) == sorted(node.name for node in loaded.proto.graph.node)


def test_values_that_bodies_capture_are_inputs_of_the_node_that_holds_them() -> None:
    model = parse("""
    g (float[2,3] x, bool c) => (float[2,3] y) {
        outer = Relu(x)
        inner = Neg(x)
        y = If (c) <
            then_branch = t () => (float[2,3] r) { r = Exp(outer) },
            else_branch = e () => (float[2,3] s) {
                s = If (c) <
                    then_branch = tt () => (float[2,3] p) { p = Abs(inner) },
                    else_branch = ee () => (float[2,3] q) { q = Identity(x) }
                >
            }
        >
    }
    """)
    loaded = load_model(model)
    graph = read_graph(loaded, {})
    (branch,) = (operator for operator in graph if operator.op_type == "If")
    assert set(branch.inputs) == {"c", "outer", "inner", "x"}


def test_what_depends_on_constants_alone_is_no_operator() -> None:
    model = parse("""
    g (float[2,3] x) => (float[2,3] y, float[3] k)
    <float[3] w = {1, 2, 3}>
    {
        two = Constant<value = float {2}>()
        k = Mul(w, two)
        y = Add(x, k)
    }
    """)
    graph = read_graph(load_model(model), {})
    assert [operator.op_type for operator in graph] == ["Add"]
    assert graph.operators[0].inputs == ("x",)
    assert graph.operators[0].weights == ("w",)
    assert graph.weight_bytes == {"w": 12}
    assert graph.constant_outputs == ("k",)
    assert len(graph.constant_operators) == 2


@pytest.mark.parametrize(
    ("body", "is_random"),
    [
        ("y = Relu(x)", False),
        ("y = RandomNormalLike<seed = 1.0>(x)", True),
        ("y = Dropout(x, ratio, on)", True),
        ("y = Dropout(x, ratio)", False),
        ("y = Bernoulli(x)", True),
    ],
)
def test_random_operators_are_told_apart(body: str, *, is_random: bool) -> None:
    text = f"g (float[2] x) => (float[2] y) <float ratio = {{0.5}}, bool on = {{1}}> {{ {body} }}"
    (operator,) = read_graph(load_model(parse(text)), {})
    assert operator.is_random == is_random


def test_a_random_source_without_inputs_is_an_operator_and_no_constant() -> None:
    model = parse("""
    g (float[2] x) => (float[2] y) {
        noise = RandomNormal<shape = [2]>()
        y = Add(x, noise)
    }
    """)
    graph = read_graph(load_model(model), {})
    assert [operator.op_type for operator in graph] == ["RandomNormal", "Add"]
    assert graph.roots == (graph.operators[0].name,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = Relu(x) a = Neg(x) y = Add(a, a)", "made twice"),
        ("y = Add(x, nothing)", "'nothing', which nothing makes"),
        ("a = Add(x, b) b = Neg(a) y = Relu(b)", "cycle"),
    ],
)
def test_graphs_that_are_no_dags_are_refused_by_name(text: str, message: str) -> None:
    model = parse(f"g (float[2] x) => (float[2] y) {{ {text} }}")
    with pytest.raises(ModelError, match=message):
        read_graph(load_model(model), {})


def test_symbolic_dims_keep_their_names_where_inference_can_tell_and_where_runs_can() -> None:
    model = parse("""
    g (float[batch,3] x) => (float[batch,6] y) {
        a = Concat<axis = 1>(x, x)
        size = Shape(a)
        flat = Expand(a, size)
        y = Relu(flat)
    }
    """)
    loaded = load_model(model)
    tensors = resolve_tensors(loaded, {"x": X}, ENGINE)
    assert tensors["flat"].shape == (2, 6)
    specs = find_symbolic_specs(loaded, tensors, ["a", "flat"], ENGINE)
    assert specs["a"].shape == ("batch", 6)
    assert specs["flat"].shape[0] == "batch"  # type: ignore[index]  # the rank is known


def test_a_dim_that_depends_on_data_is_never_fixed() -> None:
    model = parse("""
    g (float[2,3] x) => (int64[2,n] y) {
        found = NonZero(x)
        y = Abs(found)
    }
    """)
    loaded = load_model(model)
    feeds = {"x": np.array([[1, 0, 0], [0, 2, 0]], dtype=np.float32)}
    tensors = resolve_tensors(loaded, feeds, ENGINE)
    assert tensors["found"].shape == (2, 2)
    specs = find_symbolic_specs(loaded, tensors, ["found"], ENGINE)
    assert specs["found"].shape == (2, None)


def test_inference_reads_no_weights_and_forgets_shapes_of_other_sizes() -> None:
    model = parse("""
    g (float[batch,4] x) => (float[batch,5] y)
    <float[4,5] w>
    { y = MatMul(x, w) }
    """)
    weight = model.graph.initializer.add(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4, 5])
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="absent.bin")
    del model.graph.value_info[:]
    loaded = load_model(model)
    assert infer_specs(loaded)["y"].shape == ("batch", 5)
