"""The core of differentiation: accumulation, pruning, paths, names, preparation."""

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxsplit.autodiff.differentiation import describe_values, differentiate
from onnxsplit.autodiff.paths import GradientPaths, find_gradient_paths
from onnxsplit.autodiff.preparation import find_opset, prepare_model
from onnxsplit.errors import ModelError, UnknownGradientError, UnsupportedModelError
from onnxsplit.model.index import index_model
from onnxsplit.model.loading import LoadedModel, load_model
from tests.gradients.checking import (
    build_gradient_model,
    differentiate_by_differences,
    make_product,
    run_reference,
)


def _parse(nodes: str, *, inputs: str = "double[2] x", output: str = "y", opset: int = 18) -> str:
    return (
        f'<ir_version: 9, opset_import: ["" : {opset}]>'
        f" graph ({inputs}) => (double[] {output}) {{ {nodes} }}"
    )


def _load(text: str) -> LoadedModel:
    return prepare_model(load_model(onnx.parser.parse_model(text)))


def _find(model: LoadedModel, of: str, *wanted: str) -> GradientPaths:
    index = index_model(model.proto)
    specs = describe_values(model, index)
    return find_gradient_paths(index, specs, of=[of], with_respect_to=wanted)


_SHARED = _parse("""
    [a] a = Exp(x)
    [b] b = Mul(a, x)
    [c] c = Sin(a)
    [d] d = Mul(a, a)
    [e] e = Add(b, c)
    [f] f = Add(e, d)
    [s] y = Identity(f)
""")


def test_contributions_of_consumers_are_added_last_consumer_first() -> None:
    found = differentiate(_load(_SHARED), of={"y": "seed"}, with_respect_to=["x"])
    sums = [node for node in found.backward if node.proto.op_type == "Add"]
    assert [node.operators for node in sums] == [("d",), ("d", "c"), ("d", "c", "b"), ("b", "a")]
    assert all(node.proto.name.startswith(f"bwd|{node.operators[-1]}|") for node in sums)


def test_several_paths_add_up_to_the_derivative() -> None:
    model = onnx.parser.parse_model(_SHARED)
    feeds = {"x": np.asarray([0.3, -0.7])}
    seeds = {"y": np.asarray([1.5, -0.5])}
    joined = build_gradient_model(model, ["y"], ["x", "a"])
    found = run_reference(joined, {**feeds, "seed|y": seeds["y"]})
    expected = differentiate_by_differences(make_product(model, seeds), feeds, "x")
    np.testing.assert_allclose(found["grad|x"], expected, rtol=1e-9)
    a = np.exp(feeds["x"])
    inner = seeds["y"] * (feeds["x"] + np.cos(a) + 2 * a)
    np.testing.assert_allclose(found["grad|a"], inner, rtol=1e-12)


def test_forward_and_backward_nodes_tell_their_operators() -> None:
    model = _load(_SHARED)
    found = differentiate(model, of={"y": "seed"}, with_respect_to=["x"])
    assert [node.name for node in found.forward] == [f"fwd|{n}" for n in "abcdefs"]
    names = [node.proto.name for node in found.backward]
    assert len(set(names)) == len(names)
    made = {name for node in found.forward for name in node.output}
    assert set(found.saved) <= made | {"x"}
    reads = {name for node in found.backward for name in node.proto.input}
    assert set(found.saved) == reads & (made | {"x"})


def test_what_no_wanted_gradient_needs_is_not_computed() -> None:
    model = _load(_parse("[m] m = Mul(x, w) [s] y = Sin(m)", inputs="double[2] x, double[2] w"))
    found = differentiate(model, of={"y": "seed"}, with_respect_to=["w"])
    assert [node.proto.op_type for node in found.backward] == ["Cos", "Mul", "Mul"]
    assert found.saved == ("m", "x")
    assert "x" not in found.gradients
    assert {"m", "w"} <= set(found.gradients)


def test_the_gradient_of_a_loss_starts_at_one() -> None:
    model = _load(_parse("[m] y = Mul(x, x)", inputs="double x", output="y"))
    found = differentiate(model, of={"y": None}, with_respect_to=["x"])
    assert found.seeds == ()
    assert [onnx.numpy_helper.to_array(tensor) for tensor in found.constants] == [1.0]


def test_every_operator_without_a_rule_is_named_at_once() -> None:
    text = _parse("[one] a = Det(x) [two] b = Sin(a) [three] y = NoSuch(b)", inputs="double[2,2] x")
    model = _load(text)
    with pytest.raises(UnknownGradientError, match=r"2 operators.*'one' \(Det\).*'three' \(NoSuch"):
        differentiate(model, of={"y": "seed"}, with_respect_to=["x"])
    paths = _find(model, "y", "b")
    assert [missing.operator for missing in paths.missing] == ["three"]
    assert _find(model, "b", "a").missing == ()


def test_the_weights_before_an_operator_without_a_rule_are_named_and_the_others_train() -> None:
    text = _parse(
        "[one] a = Mul(x, early) [two] b = Det(a) [three] c = Mul(x, side) [four] d = Mul(b, c)"
        " [five] y = Mul(d, late)",
        inputs="double[2,2] x, double[2,2] early, double[2,2] side, double[2,2] late",
    )
    model = _load(text)
    assert _find(model, "y", "early", "side", "late").blocked == ("early",)
    with pytest.raises(UnknownGradientError, match=r"'early' must be frozen.*behind 'two'"):
        differentiate(model, of={"y": "seed"}, with_respect_to=["early", "side", "late"])
    found = differentiate(model, of={"y": "seed"}, with_respect_to=["side", "late"])
    assert {"side", "late"} <= set(found.gradients)


def test_an_input_that_a_rule_does_not_cover_is_named() -> None:
    text = _parse("[clip] y = Clip(x, low)", inputs="double[2] x, double low")
    with pytest.raises(UnknownGradientError, match=r"'clip' \(Clip, input 1\)"):
        differentiate(_load(text), of={"y": "seed"}, with_respect_to=["x", "low"])
    assert _find(_load(text), "y", "x", "low").blocked == ("low",)


def test_a_weight_behind_a_step_has_no_gradient() -> None:
    text = _parse("[r] a = Round(w) [m] y = Mul(x, a)", inputs="double[2] x, double[2] w")
    with pytest.raises(ModelError, match="do not depend on 'w'"):
        differentiate(_load(text), of={"y": "seed"}, with_respect_to=["x", "w"])


def test_an_unprepared_model_is_refused() -> None:
    old = load_model(onnx.parser.parse_model(_parse("[m] y = Mul(x, x)", opset=13)))
    with pytest.raises(UnsupportedModelError, match="prepared"):
        differentiate(old, of={"y": "seed"}, with_respect_to=["x"])


def test_preparing_raises_old_opsets_and_keeps_new_ones() -> None:
    for opset, expected in ((13, 18), (18, 18), (20, 20)):
        model = _load(_parse("[m] y = Mul(x, x)", opset=opset))
        assert find_opset(model.proto) == expected
        assert [node.name for node in model.proto.graph.node] == ["m"]


def test_preparing_writes_functions_out() -> None:
    text = """<ir_version: 9, opset_import: ["" : 18, "own" : 1]>
        graph (double[2] x) => (double[2] y) { [call] y = own.twice(x) }
        <domain: "own", opset_import: ["" : 18]> twice (a) => (b) { b = Add(a, a) }"""
    model = _load(text)
    assert [node.op_type for node in model.proto.graph.node] == ["Add"]
    assert not model.proto.functions
    found = differentiate(model, of={"y": "seed"}, with_respect_to=["x"])
    assert [node.proto.op_type for node in found.backward] == ["Add"]


def test_an_operator_that_onnx_composes_of_others_is_written_out() -> None:
    model = _load(_parse("[m] y = Shrink <bias = 0.5, lambd = 0.5> (x)"))
    assert "Shrink" not in {node.op_type for node in model.proto.graph.node}
    found = differentiate(model, of={"y": "seed"}, with_respect_to=["x"])
    assert found.backward


def test_the_same_model_gives_the_same_nodes_again() -> None:
    one, two = (
        differentiate(_load(_SHARED), of={"y": "seed"}, with_respect_to=["x"]) for _ in range(2)
    )
    assert one == two


def test_a_value_is_not_kept_for_the_sake_of_its_shape() -> None:
    text = _parse("[m] y = ReduceMean <keepdims = 0> (x, axes)", inputs="double[batch, 3, 4] x")
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([1, 2]), "axes"))
    model.graph.output[0].ClearField("type")
    found = differentiate(load_model(model), of={"y": "seed"}, with_respect_to=["x"])
    assert "x" not in found.saved


def test_a_gradient_can_be_differentiated_again() -> None:
    model = onnx.parser.parse_model(_SHARED)
    once = build_gradient_model(model, ["y"], ["x"])
    del once.graph.output[0]
    once.graph.node[-1].output[0] = once.graph.output[0].name = "slope"
    twice = build_gradient_model(once, ["slope"], ["x"])
    onnx.checker.check_model(twice)
    feeds = {"x": np.asarray([0.3, -0.7]), "seed|y": np.asarray([1.5, -0.5])}
    seeds = {"slope": np.asarray([0.5, 2.0])}
    found = run_reference(twice, {**feeds, "seed|slope": seeds["slope"]})
    expected = differentiate_by_differences(make_product(once, seeds), feeds, "x")
    np.testing.assert_allclose(found["grad|x"], expected, rtol=1e-9)
