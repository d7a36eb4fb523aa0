"""What each stage takes along, and what it leaves behind."""

import numpy as np
import onnx
import pytest

from onnxsplit.errors import InternalError, PlanError, UnsupportedModelError
from onnxsplit.graph import TensorSpec
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.layout import PREFIX
from onnxsplit.model.stages import Carving, Stage
from onnxsplit.placement import Placement
from tests.conformance.harness import Subject, prepare_subject
from tests.tiny_models import CASES


def cut(case: str, *device: str) -> tuple[Subject, Carving]:
    """Place the operators that make the named values on the device, the others on the server."""
    subject = prepare_subject(case, *CASES[case]())
    graph = subject.graph
    near = {graph.producer(value) for value in device}
    placement = Placement(
        tiers=("device", "server"),
        tier_of={op.name: "device" if op.name in near else "server" for op in graph},
    )
    return subject, carve_stages(subject.model, graph, placement, subject.boundary)


def list_inputs(stage: Stage) -> list[str]:
    return [spec.name for spec in stage.inputs]


def list_outputs(stage: Stage) -> list[str]:
    return [spec.name for spec in stage.outputs]


def list_initializers(stage: Stage) -> list[str]:
    return [tensor.name for tensor in stage.proto.graph.initializer]


@pytest.mark.parametrize(
    ("case", "device", "crossings"),
    [
        ("if", ("a", "b", "k"), ["a", "b", "k"]),
        ("loop", ("a",), ["a"]),
        ("scan", ("r", "s"), ["r", "s"]),
        ("nested_bodies", ("a", "b", "k"), ["a", "b", "k"]),
    ],
)
def test_a_value_that_only_a_body_reads_crosses(
    case: str, device: tuple[str, ...], crossings: list[str]
) -> None:
    _, carving = cut(case, *device)
    near, far = carving.stages
    assert list_outputs(near) == crossings
    assert [name for name in list_inputs(far) if name in crossings] == crossings


def test_a_name_that_a_body_makes_itself_does_not_cross() -> None:
    _, carving = cut("body_with_own_names", "a")
    assert list_inputs(carving.stages[1]) == ["x", "c", "a"]


def test_functions_come_with_the_functions_that_they_call() -> None:
    subject, carving = cut("functions", "a", "b")
    functions = [[f.name for f in stage.proto.functions] for stage in carving.stages]
    assert functions == [["Double", "Quadruple"], ["Cut"]]
    assert carving.stages[1].proto.functions[0] == subject.model.proto.functions[2]
    for stage in carving.stages:
        assert stage.proto.opset_import == subject.model.proto.opset_import


def test_overloads_of_a_function_are_told_apart() -> None:
    _, carving = cut("overloaded_functions", "a", "b")
    overloads = [[f.overload for f in stage.proto.functions] for stage in carving.stages]
    assert overloads == [["sum"], ["square"]]


def test_quantization_annotations_bring_their_parameters() -> None:
    subject, carving = cut("annotations", "a")
    annotations = subject.model.proto.graph.quantization_annotation
    near, far = (stage.proto.graph for stage in carving.stages)
    assert list(near.quantization_annotation) == [annotations[0]]
    assert list(far.quantization_annotation) == [annotations[0], annotations[1]]
    assert list_initializers(carving.stages[0]) == ["scale", "zero"]
    assert list_initializers(carving.stages[1]) == ["scale", "zero", "other"]


def test_header_and_metadata_of_model_graph_nodes_and_values_are_kept() -> None:
    subject, carving = cut("metadata", "a")
    model = subject.model.proto
    for stage in carving.stages:
        proto = stage.proto
        for field in ("ir_version", "producer_name", "producer_version", "domain", "doc_string"):
            assert getattr(proto, field) == getattr(model, field)
        assert proto.model_version == 42
        own = [entry for entry in proto.metadata_props if not entry.key.startswith(PREFIX)]
        assert own == list(model.metadata_props)
        assert proto.graph.metadata_props == model.graph.metadata_props
        assert (proto.graph.name, proto.graph.doc_string) == ("g", "about the graph")
    near, far = (stage.proto.graph for stage in carving.stages)
    assert list(near.node) == list(model.graph.node[:1])
    assert far.input[0] == model.graph.value_info[0]
    assert far.value_info[0] == model.graph.value_info[1]


def test_whatever_is_added_to_the_metadata_says_whose_it_is() -> None:
    subject, carving = cut("chain", "a")
    added = {entry.key: entry.value for entry in carving.stages[0].proto.metadata_props}
    assert set(added) == {"onnxsplit/tier", "onnxsplit/model", "onnxsplit/layout"}
    assert added["onnxsplit/model"] == subject.model.identity.sha256


def test_a_symbolic_dim_keeps_its_name_in_both_stages() -> None:
    _, carving = cut("symbolic_dims", "a", "b")
    for stage in carving.stages:
        for spec in (*stage.inputs, *stage.outputs):
            assert spec.shape == ("batch", 3)


def test_each_stage_gets_the_weights_that_it_needs_and_no_others() -> None:
    _, carving = cut("shared_weights", "a", "b")
    near, far = carving.stages
    assert list_initializers(near) == ["w"]
    assert list_initializers(far) == ["w", "own"]
    assert (near.weight_bytes, far.weight_bytes) == (24, 28)
    assert [node.op_type for node in near.proto.graph.node] == ["Neg", "Exp", "Add", "Mul"]
    assert [node.op_type for node in far.proto.graph.node] == ["Neg", "Exp", "Mul", "Sub", "Mul"]
    copied = {tier: set(names) for tier, names in carving.report.copied_constants.items()}
    assert copied == {"device": {"Neg_0", "Exp_1", "w"}, "server": {"Neg_0", "Exp_1", "w"}}


def test_overridable_weights_stay_inputs_that_need_not_be_fed() -> None:
    _, carving = cut("overridable_weights", "a", "b")
    near, far = carving.stages
    assert [value.name for value in near.proto.graph.input] == ["w", "x"]
    assert [value.name for value in far.proto.graph.input] == ["own", "w", "b"]
    assert (list_inputs(near), list_inputs(far)) == (["x"], ["b"])


def test_before_ir_version_4_initializers_are_listed_as_inputs() -> None:
    _, carving = cut("old", "a", "b")
    for stage in carving.stages:
        listed = {value.name for value in stage.proto.graph.input}
        assert listed >= set(list_initializers(stage))
        onnx.checker.check_model(stage.proto)


def test_outputs_that_are_inputs_or_weights_belong_to_the_first_tier() -> None:
    _, carving = cut("shared_ends", "a", "b")
    near, far = carving.stages
    assert carving.yields == {"a": "device", "y": "server", "x": "device", "w": "device"}
    assert (list_inputs(near), list_outputs(near)) == (["x", "z"], ["a", "x", "w", "b"])
    assert (list_inputs(far), list_outputs(far)) == (["x", "z", "b"], ["y"])


def test_a_tier_without_operators_has_a_stage_only_if_outputs_require_it() -> None:
    _, whole = cut("chain")
    assert [stage.tier for stage in whole.stages] == ["server"]
    _, split = cut("constant_output")
    assert [(stage.tier, list_outputs(stage)) for stage in split.stages] == [
        ("device", ["k"]),
        ("server", ["y"]),
    ]


def test_the_whole_model_as_one_stage_is_the_model() -> None:
    subject, carving = cut("functions")
    (stage,) = carving.stages
    del stage.proto.metadata_props[:]
    assert stage.proto == subject.model.proto


def test_inputs_that_nothing_reads_stay_with_the_first_stage() -> None:
    _, carving = cut("unread_input", "a")
    assert [list_inputs(stage) for stage in carving.stages] == [["x", "unread"], ["a"]]


def test_a_repeated_model_output_stays_repeated_and_is_described_once() -> None:
    _, carving = cut("repeated_output", "a")
    far = carving.stages[1]
    assert [value.name for value in far.proto.graph.output] == ["y", "y"]
    assert list_outputs(far) == ["y"]


def test_a_quantized_model_is_cut_on_the_narrow_side() -> None:
    _, carving = cut("quantized", "a", "b", "c", "d")
    assert [(spec.name, spec.dtype) for spec in carving.stages[1].inputs] == [("d", "uint8")]
    nodes = [node.op_type for node in carving.stages[1].proto.graph.node]
    assert nodes == ["DequantizeLinear", "MatMul", "DequantizeLinear", "Slice"]


def test_dead_operators_and_unread_weights_are_dropped_and_told() -> None:
    _, carving = cut("dead_nodes", "a")
    assert carving.report.dropped == ("Add_1", "Neg_2")
    assert any("Initializers" in note and note.endswith("2.") for note in carving.report.notes)


def test_new_names_are_told() -> None:
    _, carving = cut("awkward_names", "a")
    renamed = carving.report.renamed
    assert sorted(renamed.values()) == ["", "", "same", "same"]
    names = [node.name for stage in carving.stages for node in stage.proto.graph.node]
    assert len(set(names)) == 6
    assert set(renamed) <= set(names)


def test_training_information_is_dropped_and_told() -> None:
    _, carving = cut("training_info", "a")
    assert not any(stage.proto.training_info for stage in carving.stages)
    assert any("training" in note for note in carving.report.notes)


def test_device_configurations_are_kept() -> None:
    subject, carving = cut("device_configuration", "a")
    for stage in carving.stages:
        assert stage.proto.configuration == subject.model.proto.configuration


def test_random_operators_are_in_one_stage() -> None:
    _, carving = cut("random", "r")
    types = [[node.op_type for node in stage.proto.graph.node] for stage in carving.stages]
    assert types == [["RandomNormal"], ["Add", "Mul", "Abs", "Neg"]]


def test_omitted_inputs_and_outputs_stay_omitted() -> None:
    _, carving = cut("omitted_values", "a", "b")
    near, far = (stage.proto.graph for stage in carving.stages)
    assert list(near.node[1].input) == ["a", "", "top"]
    assert list(far.node[0].output) == ["c", "", "d"]


@pytest.mark.parametrize(("case", "value"), [("sequence", "s"), ("optional", "o")])
def test_lists_and_optionals_can_not_cross(case: str, value: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"'{value}' is of kind {case}"):
        cut(case, "a", "b", value) if case == "sequence" else cut(case, "a", value)


def test_a_value_of_unknown_type_can_not_cross() -> None:
    subject, _ = cut("chain")
    placement = Placement.of_groups({"device": ["Relu_0"], "server": ["Neg_1", "Exp_2"]})
    unknown = {"a": TensorSpec(name="a", dtype=None, shape=None)}
    with pytest.raises(UnsupportedModelError, match="element type of 'a' is not known"):
        carve_stages(subject.model, subject.graph, placement, unknown)


def test_a_crossing_without_any_type_is_a_bug_of_the_caller() -> None:
    subject, _ = cut("chain")
    placement = Placement.of_groups({"device": ["Relu_0"], "server": ["Neg_1", "Exp_2"]})
    with pytest.raises(InternalError, match="'a'"):
        carve_stages(subject.model, subject.graph, placement, {})


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        ({"device": ["Neg_1"], "server": ["Relu_0", "Exp_2"]}, "'Neg_1' on 'device' reads 'a'"),
        ({"device": ["Relu_0"], "server": ["Neg_1"]}, "'Exp_2' no tier"),
        ({"device": ["Relu_0", "Neg_1"], "server": ["Exp_2", "more"]}, "'more'"),
    ],
)
def test_impossible_placements_are_refused(groups: dict[str, list[str]], problem: str) -> None:
    subject, _ = cut("chain")
    with pytest.raises(PlanError, match=problem):
        carve_stages(subject.model, subject.graph, Placement.of_groups(groups), subject.boundary)


def test_carving_a_stage_again_replaces_what_the_first_carving_said() -> None:
    subject, carving = cut("skips", "a", "b", "c")
    feeds = {"x": np.ones((2, 3), dtype=np.float32)}
    again = prepare_subject("again", carving.stages[0].proto, feeds)
    placement = Placement.of_groups(
        {"tiny": [subject.graph.producer("a") or ""], "device": ["Neg_1", "Abs_2"]}
    )
    stages = carve_stages(again.model, again.graph, placement, again.boundary).stages
    for stage in stages:
        keys = [entry.key for entry in stage.proto.metadata_props]
        assert len(keys) == len(set(keys)) == 3


def test_carving_is_deterministic() -> None:
    one, two = (cut("functions", "a", "b")[1] for _ in range(2))
    for first, second in zip(one.stages, two.stages, strict=True):
        assert first.proto.SerializeToString() == second.proto.SerializeToString()
