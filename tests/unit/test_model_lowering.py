from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.shape_inference
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import UnsupportedModelError, UsageError
from onnxsplit.model.lowering import Lowered, lower_opset
from tests.engine_models import build_model, control_flow_model, floats, function_model

PLAIN = EngineOptions(threads=1, optimization="disabled")
SHAPE = (2, 3, 4)


def build(
    *nodes: onnx.NodeProto, opset: int, constants: dict[str, npt.NDArray[Any]] | None = None
) -> onnx.ModelProto:
    """A model from ``x`` to ``y``, and to ``z`` where a node makes it."""
    made = {name for node in nodes for name in node.output}
    model = build_model(
        nodes,
        [floats("x", SHAPE)],
        [floats(name, None) for name in ("y", "z") if name in made],
        initializers=[
            numpy_helper.from_array(value, name) for name, value in (constants or {}).items()
        ],
        opsets={"": opset, "com.microsoft": 1},
    )
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def run(model: onnx.ModelProto) -> list[npt.NDArray[Any]]:
    rng = np.random.default_rng(5)
    with open_session(model.SerializeToString(), PLAIN) as session:
        feeds = {
            spec.name: rng.normal(
                size=[d if isinstance(d, int) else 2 for d in spec.shape or ()]
            ).astype(np.float32)
            for spec in session.inputs
        }
        return [np.asarray(value) for value in session.run(feeds).values()]


def lower(model: onnx.ModelProto, opset: int) -> Lowered:
    lowered = lower_opset(model, opset, who="device stage")
    if all(output.type.tensor_type.HasField("shape") for output in model.graph.output):
        onnx.checker.check_model(lowered.proto, full_check=True)
    assert {entry.domain: entry.version for entry in lowered.proto.opset_import}[""] == opset
    return lowered


def check(model: onnx.ModelProto, opset: int, *, exactly: bool = False) -> Lowered:
    before = model.SerializeToString(deterministic=True)
    lowered = lower(model, opset)
    assert model.SerializeToString(deterministic=True) == before, "the model was changed"
    for found, wanted in zip(run(lowered.proto), run(model), strict=True):
        if exactly:
            np.testing.assert_array_equal(found, wanted)
        else:
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    return lowered


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 14, 17])
def test_operators_whose_form_did_not_change_are_kept_bit_by_bit(opset: int) -> None:
    model = build(
        helper.make_node("Relu", ["x"], ["a"], name="relu"),
        helper.make_node("Add", ["a", "x"], ["b"], name="add"),
        helper.make_node("MatMul", ["b", "w"], ["c"], name="product"),
        helper.make_node("Sigmoid", ["c"], ["y"], name="sigmoid"),
        opset=21,
        constants={"w": np.ones((4, 5), dtype=np.float32)},
    )
    lowered = check(model, opset, exactly=True)
    assert [node.name for node in lowered.proto.graph.node] == [
        node.name for node in model.graph.node
    ]
    assert not lowered.converted
    assert not lowered.expanded


@pytest.mark.parametrize(
    ("op_type", "opset", "newer"),
    [("Squeeze", 12, 13), ("Unsqueeze", 11, 13), ("ReduceSum", 12, 21), ("ReduceMean", 17, 20)],
)
def test_axes_that_became_inputs_become_attributes_again(
    op_type: str, opset: int, newer: int
) -> None:
    node = helper.make_node(op_type, ["u", "axes"], ["y"], name="node")
    unsqueeze = helper.make_node("Unsqueeze", ["x", "one"], ["u"], name="unsqueeze")
    constants = {"axes": np.array([1]), "one": np.array([1])}
    lowered = check(build(unsqueeze, node, opset=newer, constants=constants), opset)
    assert "node" in lowered.converted
    last = lowered.proto.graph.node[-1]
    assert [list(a.ints) for a in last.attribute if a.name == "axes"] == [[1]]


def test_axes_that_are_computed_can_t_become_attributes() -> None:
    model = build(
        helper.make_node("Shape", ["x"], ["s"], name="shape", start=0, end=1),
        helper.make_node("Sub", ["s", "one"], ["axes"], name="sub"),
        helper.make_node("ReduceSum", ["x", "axes"], ["y"], name="sum"),
        opset=21,
        constants={"one": np.array([1])},
    )
    with pytest.raises(UnsupportedModelError, match=r"'sum' \(ReduceSum, as of opset 13\)"):
        lower(model, 11)


@pytest.mark.parametrize("opset", [11, 12, 13, 15, 16])
@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Gelu", ["x"], ["y"], name="made"),
        helper.make_node("Gelu", ["x"], ["y"], name="made", approximate="tanh"),
        helper.make_node("LayerNormalization", ["x", "s", "s"], ["y"], name="made"),
        helper.make_node("Mish", ["x"], ["y"], name="made"),
    ],
    ids=["gelu", "gelu of tanh", "layer normalization", "mish"],
)
def test_composed_operators_are_replaced_by_their_body(node: onnx.NodeProto, opset: int) -> None:
    model = build(node, opset=20, constants={"s": np.linspace(1, 2, 4, dtype=np.float32)})
    lowered = check(model, opset)
    assert lowered.expanded == ("made",)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_softmax_along_any_axis_keeps_its_meaning_below_opset_13(op_type: str, axis: int) -> None:
    model = build(helper.make_node(op_type, ["x"], ["y"], name="soft", axis=axis), opset=17)
    lowered = check(model, 11)
    assert lowered.expanded == (() if axis == -1 else ("soft",))


def test_a_softmax_without_an_axis_is_along_the_last_one() -> None:
    model = build(helper.make_node("Softmax", ["x"], ["y"], name="soft"), opset=13)
    (node,) = check(model, 11, exactly=True).proto.graph.node
    assert [a.i for a in node.attribute if a.name == "axis"] == [-1]


def test_attributes_that_an_older_opset_lacks_are_left_out_where_they_say_nothing() -> None:
    kept = helper.make_node("Reshape", ["x", "s"], ["y"], name="reshape", allowzero=0)
    lowered = check(build(kept, opset=19, constants={"s": np.array([-1, 4])}), 13, exactly=True)
    assert not lowered.proto.graph.node[0].attribute
    told = helper.make_node("Reshape", ["x", "s"], ["y"], name="reshape", allowzero=1)
    with pytest.raises(UnsupportedModelError, match="'reshape'"):
        lower(build(told, opset=19, constants={"s": np.array([-1, 4])}), 13)


def test_bodies_are_lowered_as_well() -> None:
    lowered = check(control_flow_model(), 13)
    assert any(node.op_type == "Loop" for node in lowered.proto.graph.node)


def test_a_model_s_own_functions_are_written_out() -> None:
    model = function_model()
    rng = np.random.default_rng(0)
    feeds = {"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)}
    lowered = lower(model, 17)
    assert not lowered.proto.functions
    found, wanted = (
        np.asarray(open_session(m.SerializeToString(), PLAIN).run(feeds)["y"])
        for m in (lowered.proto, model)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_an_error_names_every_operator_that_can_t_be_lowered() -> None:
    model = build(
        helper.make_node("Trilu", ["m"], ["t"], name="triangle"),
        helper.make_node("MatMul", ["x", "t"], ["a"], name="product"),
        helper.make_node("IsInf", ["a"], ["i"], name="bounded"),
        helper.make_node("Where", ["i", "x", "a"], ["b"], name="choose"),
        helper.make_node("CumSum", ["b", "axis"], ["y"], name="running"),
        opset=18,
        constants={"m": np.ones((4, 4), dtype=np.float32), "axis": np.array(1)},
    )
    with pytest.raises(UnsupportedModelError) as caught:
        lower(model, 9)
    text = str(caught.value)
    for name in ("'triangle' (Trilu", "'bounded' (IsInf", "'running' (CumSum"):
        assert name in text
    assert "'product'" not in text
    assert "device stage" in text


def test_types_that_an_older_version_lacks_are_told() -> None:
    model = build(
        helper.make_node("Cast", ["x"], ["i"], name="cast", to=TensorProto.INT32),
        helper.make_node("Relu", ["i"], ["j"], name="relu"),
        helper.make_node("Cast", ["j"], ["y"], name="back", to=TensorProto.FLOAT),
        opset=14,
    )
    check(model, 14, exactly=True)
    try:
        check(model, 13)  # its body does it with integers too
    except UnsupportedModelError as error:
        assert "'relu'" in str(error)  # noqa: PT017 - either is right


def test_operators_of_other_domains_are_left_alone() -> None:
    model = build(
        helper.make_node("QuickGelu", ["x"], ["y"], name="quick", domain="com.microsoft"), opset=21
    )
    assert check(model, 13, exactly=True).proto.graph.node[0].domain == "com.microsoft"


def test_a_model_that_is_old_enough_stays_as_it_is() -> None:
    model = build(helper.make_node("Relu", ["x"], ["y"], name="relu"), opset=11)
    for opset in (11, 17):
        assert lower_opset(model, opset, who="device stage").proto is model


@pytest.mark.parametrize("opset", [6, 999])
def test_opsets_that_nobody_can_lower_to_are_refused(opset: int) -> None:
    model = build(helper.make_node("Relu", ["x"], ["y"], name="relu"), opset=11)
    with pytest.raises(UsageError, match=f"Opset {opset}"):
        lower_opset(model, opset, who="device stage")


def test_names_of_new_values_are_nobody_else_s() -> None:
    nodes = [
        helper.make_node("Gelu", ["x"], ["g"], name="one"),
        helper.make_node("Relu", ["g"], ["g/Half__1"], name="taken"),
        helper.make_node("Gelu", ["g/Half__1"], ["y"], name="two"),
    ]
    lowered = check(build(*nodes, opset=20), 13)
    made = [name for node in lowered.proto.graph.node for name in node.output]
    assert len(made) == len(set(made))
