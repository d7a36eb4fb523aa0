"""What a runtime says that it can't run keeps off the device."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsplit as osp
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions, Runtime
from onnxsplit.errors import InfeasiblePlacementError, UnsupportedModelError, UsageError
from onnxsplit.progress import SilentProgress
from onnxsplit.workflows.preparation import InputOptions, prepare_by_running
from onnxsplit.workflows.support import find_lacking
from samples.networks import build
from tests.engine_models import build_model, control_flow_model, floats, function_model

OPENVINO = EngineOptions(runtime="openvino", threads=1)


def model_with(*middle: onnx.NodeProto) -> onnx.ModelProto:
    """A product, some operators between ``a`` and ``b``, and another product."""
    weights = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    return build_model(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
            *middle,
            helper.make_node("MatMul", ["b", "w"], ["c"], name="last"),
            helper.make_node("Relu", ["c"], ["y"], name="relu"),
        ],
        [floats("x", [4, 8])],
        [floats("y", None)],
        initializers=[numpy_helper.from_array(weights, "w")],
        opsets={"": 17, "com.microsoft": 1},
    )


def lacking(model: onnx.ModelProto, engine: EngineOptions = OPENVINO) -> tuple[str, ...]:
    prepared = prepare_by_running(model, InputOptions(), EngineOptions(threads=1), SilentProgress())
    return find_lacking(prepared, engine, SilentProgress())


def foreign_model() -> onnx.ModelProto:
    model = model_with(
        helper.make_node("QuickGelu", ["a"], ["q"], name="quick", domain="com.microsoft"),
        helper.make_node("Det", ["q3"], ["d"], name="det"),
        helper.make_node("Add", ["q", "d"], ["b"], name="add"),
    )
    square = helper.make_node("Slice", ["q", "zero", "four", "axis"], ["q4"], name="slice")
    slim = helper.make_node("Slice", ["q4", "zero", "four", "last"], ["q3"], name="slim")
    model.graph.node.insert(2, slim)
    model.graph.node.insert(2, square)
    for name, value in (("zero", 0), ("four", 4), ("axis", 0), ("last", 1)):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [1], [value]))
    return model


def test_openvino_names_the_operator_that_it_lacks_and_no_other() -> None:
    model = foreign_model()
    with pytest.raises(UnsupportedModelError, match="Det"):
        open_session(model.SerializeToString(), OPENVINO)
    assert lacking(model) == ("det",)
    assert lacking(model, EngineOptions(threads=1)) == ()


@pytest.mark.parametrize("network", ["lenet", "bert"])
def test_a_network_that_openvino_runs_lacks_nothing(network: str) -> None:
    wide: dict[str, Any] = {"depth": 0.1, "width": 0.25} if network == "bert" else {}
    assert lacking(build(network, **wide)) == ()


@pytest.mark.parametrize("build", [control_flow_model, function_model])
def test_bodies_and_functions_are_asked_about_with_all_they_read(build: Any) -> None:  # noqa: ANN401 - a maker
    assert lacking(build()) == ()


def test_what_the_device_lacks_runs_on_the_server(tmp_path: Path) -> None:
    runtime: Runtime = "openvino"
    bundle = osp.cut(
        foreign_model(),
        tmp_path / "split",
        device_ops="openvino",
        device="local",
        pin_device=["first"],
        threads=1,
        measure=0,
    )
    tiers = bundle.plan.placement.tier_of
    assert tiers["det"] == "server"
    assert any("'det' (Det)" in note for note in bundle.plan.notes)
    with open_session(
        bundle.folder / "device.onnx", EngineOptions(threads=1, runtime=runtime)
    ) as device:
        assert [spec.name for spec in device.inputs] == ["x"]


def test_pinning_to_the_device_what_it_lacks_is_refused() -> None:
    with pytest.raises(InfeasiblePlacementError, match=r"'det'.*Det"):
        osp.plan(foreign_model(), device_ops="openvino", pin_device=["det"], threads=1)


def test_a_file_may_name_types_with_their_domain(tmp_path: Path) -> None:
    file = tmp_path / "types.txt"
    file.write_text("MatMul\nai.onnx::Slice\ncom.microsoft::QuickGelu # by onnxruntime\n")
    plan = osp.plan(foreign_model(), device_ops=file, threads=1, require_split=True)
    assert any("'det' (Det)" in note and "quick" not in note for note in plan.notes)


def test_a_runtime_that_is_no_file_and_no_runtime_is_told() -> None:
    with pytest.raises(UsageError, match="--device-ops tflite"):
        osp.plan(foreign_model(), device_ops="tflite", threads=1)


@pytest.mark.parametrize(("device", "server"), [("openvino", None), (None, "openvino")])
def test_a_runtime_that_can_t_run_the_whole_model_gets_what_it_can(
    tmp_path: Path, device: Runtime | None, server: Runtime | None
) -> None:
    bundle = osp.cut(
        foreign_model(),
        tmp_path / "split",
        device="local",
        device_runtime=device,
        server_runtime=server,
        threads=1,
        measure=0,
        cache=False,
    )
    tiers = bundle.plan.placement.tier_of
    assert tiers["det"] == ("server" if device else "device")
    assert any("can't run the whole model" in text for text in bundle.plan.assumptions)
    assert bundle.parity is not None
    assert bundle.parity.passed
    assert any("openvino" in note for note in bundle.parity.notes)


def test_profiling_on_a_runtime_that_can_t_run_the_model_names_what_it_lacks() -> None:
    with pytest.raises(UnsupportedModelError, match="Det"):
        osp.profile(foreign_model(), runtime="openvino", cache=False)
