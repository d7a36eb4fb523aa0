"""The check after carving finds every kind of slip; each is made here by hand."""

from collections.abc import Callable
from dataclasses import replace

import onnx
import pytest

from onnxsplit.errors import InternalError
from onnxsplit.model.audit import check_carving
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.dtypes import read_type
from onnxsplit.model.stages import Carving, Stage
from onnxsplit.placement import Placement
from tests.conformance.harness import Subject, prepare_subject
from tests.tiny_models import CASES, parse

MODEL = """
    g (float[2,3] x, float[2,3] unread) => (float[2,3] y, float[2] u)
    <float[2,3] w = {1, 2, 3, 4, 5, 6}> {
        k = Neg(w)
        a = Relu(x)
        b = Shape(x)
        c = Mul(a, k)
        d = Cast<to = 1>(b)
        y = Add(c, k)
        u = Neg(d)
    }
"""
PLACEMENT = Placement.of_groups(
    {"device": ["Relu_1", "Shape_2", "Mul_3"], "server": ["Cast_4", "Add_5", "Neg_6"]}
)
Tamper = Callable[[onnx.GraphProto, onnx.GraphProto], object]


def carve() -> tuple[Subject, Carving]:
    """Cut the model: ``b`` (integers) and ``c`` (floats) cross."""
    feeds = {**CASES["chain"]()[1]}
    subject = prepare_subject("audit", parse(MODEL), {**feeds, "unread": feeds["x"]})
    return subject, carve_stages(subject.model, subject.graph, PLACEMENT, subject.boundary)


def describe_again(carving: Carving) -> Carving:
    """Let each stage's description follow its tampered protobuf, as a slip of the carver would."""
    return replace(carving, stages=tuple(map(_describe_stage, carving.stages)))


def _describe_stage(stage: Stage) -> Stage:
    graph = stage.proto.graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = tuple(read_type(v.name, v.type) for v in graph.input if v.name not in stored)
    outputs = {value.name: read_type(value.name, value.type) for value in graph.output}
    return replace(stage, inputs=inputs, outputs=tuple(outputs.values()))


def find(graph: onnx.GraphProto, op_type: str) -> onnx.NodeProto:
    return next(node for node in graph.node if node.op_type == op_type)


def swap_names(values: list[onnx.ValueInfoProto]) -> None:
    values[0].name, values[1].name = values[1].name, values[0].name


def move(node: onnx.NodeProto, near: onnx.GraphProto, far: onnx.GraphProto) -> None:
    far.node.append(node)
    near.node.remove(node)


TAMPERINGS: dict[str, Tamper] = {
    "a boundary's types are swapped": lambda _, far: swap_names(list(far.input[-2:])),
    "a boundary's types are swapped on the near side": lambda near, _: swap_names(
        list(near.output)
    ),
    "an operator reads the other crossing": lambda _, far: find(far, "Add").input.__setitem__(
        0, "b"
    ),
    "an operator is dropped": lambda _, far: far.node.remove(find(far, "Neg")),
    "an operator is doubled": lambda near, far: far.node.append(find(near, "Relu")),
    "an operator is moved": lambda near, far: move(find(near, "Mul"), near, far),
    "an attribute is changed": lambda _, far: setattr(find(far, "Cast").attribute[0], "i", 11),
    "a node is renamed": lambda _, far: setattr(find(far, "Cast"), "name", "other"),
    "a metadata entry is added to a node": lambda _, far: find(far, "Cast").metadata_props.add(
        key="a", value="b"
    ),
    "a constant is dropped": lambda near, _: near.node.remove(find(near, "Neg")),
    "a constant is doubled": lambda near, _: near.node.append(find(near, "Neg")),
    "a constant is changed": lambda near, _: setattr(find(near, "Neg"), "doc_string", "changed"),
    "a weight is changed": lambda near, _: near.initializer[0].float_data.__setitem__(0, 9.0),
    "a weight is dropped": lambda _, far: far.initializer.pop(),
    "a foreign weight is added": lambda _, far: far.initializer.add(name="foreign"),
    "an input is dropped": lambda near, _: near.input.pop(0),
    "an input's type is changed": lambda near, _: near.input[0].type.tensor_type.shape.dim.pop(),
    "a crossing is not given": lambda near, _: near.output.pop(),
    "a crossing's rank is changed": lambda near, far: (
        near.output[1].type.tensor_type.shape.dim.pop(),
        far.input[1].type.tensor_type.shape.dim.pop(),
    ),
    "crossings are out of order": lambda _, far: far.input.append(far.input.pop(0)),
    "an output that nobody reads is added": lambda near, _: near.output.append(
        onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [2, 3])
    ),
    "a model output is dropped": lambda _, far: far.output.pop(),
    "a model output's type is changed": lambda _, far: far.output[0].type.Clear(),
    "model outputs are out of order": lambda _, far: far.output.append(far.output.pop(0)),
}


def test_an_untampered_carving_passes() -> None:
    subject, carving = carve()
    check_carving(subject.model, subject.graph, PLACEMENT, describe_again(carving))


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampered_stage_is_found(tampering: str) -> None:
    subject, carving = carve()
    near, far = (stage.proto.graph for stage in carving.stages)
    TAMPERINGS[tampering](near, far)
    with pytest.raises(InternalError, match="carved stages are not the model"):
        check_carving(subject.model, subject.graph, PLACEMENT, describe_again(carving))


def test_a_description_that_does_not_fit_its_stage_is_found() -> None:
    subject, carving = carve()
    near, far = carving.stages
    for broken in (
        replace(near, inputs=near.inputs[1:]),
        replace(near, outputs=near.outputs[::-1]),
        replace(near, operators=near.operators[::-1]),
    ):
        with pytest.raises(InternalError):
            check_carving(
                subject.model, subject.graph, PLACEMENT, replace(carving, stages=(broken, far))
            )


def test_a_wrong_list_of_yields_is_found() -> None:
    subject, carving = carve()
    for yields in ({"y": "server"}, {"y": "device", "u": "server"}, {"y": "server", "u": "cloud"}):
        with pytest.raises(InternalError):
            check_carving(subject.model, subject.graph, PLACEMENT, replace(carving, yields=yields))


def test_missing_and_exchanged_stages_are_found() -> None:
    subject, carving = carve()
    near, far = carving.stages
    for stages in ((near,), (far,), (far, near), (near, near, far)):
        with pytest.raises(InternalError):
            check_carving(subject.model, subject.graph, PLACEMENT, replace(carving, stages=stages))


@pytest.mark.parametrize("field", ["functions", "opset_import"])
def test_missing_functions_and_opsets_are_found(field: str) -> None:
    subject = prepare_subject("functions", *CASES["functions"]())
    names = [op.name for op in subject.graph]
    placement = Placement.of_groups({"device": names[:2], "server": names[2:]})
    carving = carve_stages(subject.model, subject.graph, placement, subject.boundary)
    getattr(carving.stages[0].proto, field).pop()
    with pytest.raises(InternalError, match="'device'"):
        check_carving(subject.model, subject.graph, placement, carving)
