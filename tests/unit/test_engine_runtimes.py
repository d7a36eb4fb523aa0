"""What every runtime owes its callers: the same tests over all of them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper

from onnxsplit.engines.opening import describe_environment, open_session
from onnxsplit.engines.port import RUNTIMES, EngineOptions, Runtime, Session
from onnxsplit.errors import ModelError, UnsupportedModelError, UsageError
from onnxsplit.graph import TensorSpec
from tests.engine_models import (
    build_model,
    chain_model,
    control_flow_model,
    external_model,
    floats,
    function_model,
    relu_model,
)

X = np.array([[-1, 2, -3, 4]], dtype=np.float32)
OPENVINO = EngineOptions(runtime="openvino", threads=1)

every_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


def open_model(
    model: onnx.ModelProto, runtime: Runtime, *, trace: bool = False, folder: Path | None = None
) -> Session:
    options = EngineOptions(threads=1, runtime=runtime)
    return open_session(model.SerializeToString(), options, base_folder=folder, trace=trace)


def run(session: Session, **feeds: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    results = session.run(feeds)
    return {name: np.asarray(value) for name, value in results.items()}


def draw(spec: TensorSpec) -> npt.NDArray[Any]:
    shape = [dim if isinstance(dim, int) else 2 for dim in spec.shape or ()]
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@every_runtime
def test_a_session_tells_its_inputs_and_outputs_with_symbolic_dims(runtime: Runtime) -> None:
    with open_model(relu_model(), runtime) as session:
        assert session.inputs == (TensorSpec(name="x", dtype="float32", shape=("N", 4)),)
        (output,) = session.outputs
        assert (output.name, output.dtype) == ("y", "float32")


@every_runtime
def test_a_symbolic_dim_takes_any_size_in_one_session(runtime: Runtime) -> None:
    with open_model(relu_model(), runtime) as session:
        for rows in (1, 3, 2, 0):
            result = run(session, x=np.full((rows, 4), -1, dtype=np.float32))["y"]
            assert result.shape == (rows, 4)
            assert not result.any()


@every_runtime
def test_a_model_runs_from_bytes_and_from_a_file_alike(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "relu.onnx"
    onnx.save(relu_model(), path)
    for source in (path, path.read_bytes()):
        with open_session(source, EngineOptions(runtime=runtime)) as session:
            np.testing.assert_array_equal(run(session, x=X)["y"], np.maximum(X, 0))


@every_runtime
def test_only_the_named_outputs_are_fetched_in_their_order(runtime: Runtime) -> None:
    nodes = [helper.make_node(op, ["x"], [op], name=op) for op in ("Relu", "Neg", "Abs")]
    outputs = [floats(op, [1, 4]) for op in ("Relu", "Neg", "Abs")]
    with open_model(build_model(nodes, [floats("x", [1, 4])], outputs), runtime) as session:
        fetched = session.run({"x": X}, ["Abs", "Relu"])
        assert list(fetched) == ["Abs", "Relu"]
        np.testing.assert_array_equal(np.asarray(fetched["Abs"]), np.abs(X))
        assert list(session.run({"x": X})) == ["Relu", "Neg", "Abs"]


@every_runtime
def test_what_a_run_returned_is_not_changed_by_the_next(runtime: Runtime) -> None:
    with open_model(relu_model(), runtime) as session:
        first = run(session, x=X)["y"]
        run(session, x=X + 10)
        np.testing.assert_array_equal(first, np.maximum(X, 0))


@every_runtime
def test_two_names_of_one_value_are_both_there(runtime: Runtime) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="r"),
        helper.make_node("Identity", ["a"], ["b"], name="i"),
        helper.make_node("Identity", ["x"], ["c"], name="j"),
    ]
    model = build_model(
        nodes, [floats("unused", [1]), floats("x", [1, 4])], [floats(n, [1, 4]) for n in "abc"]
    )
    with open_model(model, runtime) as session:
        results = run(session, x=X, unused=np.ones(1, dtype=np.float32))
    for name, expected in (("a", np.maximum(X, 0)), ("b", np.maximum(X, 0)), ("c", X)):
        np.testing.assert_array_equal(results[name], expected)


@every_runtime
@pytest.mark.parametrize(
    ("kind", "array"),
    [
        (TensorProto.BOOL, np.array([True, False])),
        (TensorProto.INT64, np.array([-5, 2**31 - 1])),
        (TensorProto.INT32, np.array([-5, 7], dtype=np.int32)),
        (TensorProto.UINT8, np.array([0, 255], dtype=np.uint8)),
        (TensorProto.INT8, np.array([-128, 127], dtype=np.int8)),
        (TensorProto.FLOAT16, np.array([1.5, -3], dtype=np.float16)),
        (TensorProto.DOUBLE, np.array([1.5, -3], dtype=np.float64)),
        (TensorProto.BFLOAT16, np.array([1.5, -3], dtype=ml_dtypes.bfloat16)),
    ],
    ids=lambda value: value if isinstance(value, int) else "",
)
def test_element_types_go_in_and_out(runtime: Runtime, kind: int, array: npt.NDArray[Any]) -> None:
    node = helper.make_node("Reshape", ["x", "s"], ["y"], name="reshape")
    model = build_model(
        [node],
        [floats("x", [2], kind)],
        [floats("y", [2, 1], kind)],
        initializers=[helper.make_tensor("s", TensorProto.INT64, [2], [2, 1])],
    )
    array.setflags(write=False)
    with open_model(model, runtime) as session:
        result = run(session, x=array)["y"]
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result.reshape(2), array)


@every_runtime
def test_scalars_keep_their_rank(runtime: Runtime) -> None:
    node = helper.make_node("Neg", ["x"], ["y"], name="neg")
    with open_model(build_model([node], [floats("x", [])], [floats("y", [])]), runtime) as session:
        result = run(session, x=np.array(2, dtype=np.float32))["y"]
    assert (result.shape, float(result)) == ((), -2.0)


@every_runtime
def test_external_data_is_found_in_the_base_folder_only(runtime: Runtime, tmp_path: Path) -> None:
    np.arange(4, dtype=np.float32).tofile(tmp_path / "w.bin")
    with open_model(external_model("w.bin"), runtime, folder=tmp_path) as session:
        result = run(session, x=np.ones(4, dtype=np.float32))["y"]
    np.testing.assert_array_equal(result, np.arange(4) + 1)
    with pytest.raises(ModelError, match=r"w\.bin"):
        open_model(external_model("w.bin"), runtime, folder=tmp_path / "elsewhere")


@every_runtime
@pytest.mark.parametrize("build", [chain_model, control_flow_model, function_model])
def test_runtimes_agree_on_fused_nested_and_composed_operators(
    runtime: Runtime,
    build: Any,  # noqa: ANN401 - a maker of models
) -> None:
    model = build()
    with open_model(model, "onnxruntime") as session:
        feeds = {spec.name: draw(spec) for spec in session.inputs}
        wanted = run(session, **feeds)
    with open_model(model, runtime) as session:
        found = run(session, **feeds)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)


@every_runtime
def test_a_traced_session_records_the_same_kernels_in_every_run(runtime: Runtime) -> None:
    with open_model(chain_model(), runtime, trace=True) as session:
        call = session.bind({"x": draw(session.inputs[0])})
        for _ in range(3):
            call()
        assert session.executed is not None
        names = [node.op_type for node in session.executed.node]
        events = session.end_profiling()
        with pytest.raises(ModelError, match="trace"):
            session.end_profiling()
    for place in range(3):
        assert [event.op_type for event in events if event.run == place] == names
    assert sum(event.seconds for event in events) > 0


def test_openvino_s_graph_names_the_model_s_values_whatever_its_nodes_are_called() -> None:
    model = chain_model()
    for node, name in zip(model.graph.node, ["", "a,b", "a,b", "conv", "c,"], strict=True):
        node.name = name
    with open_model(model, "openvino", trace=True) as session:
        session.run({"x": draw(session.inputs[0])})
        executed = session.executed
    assert executed is not None
    makers = {name: node for node in executed.node for name in node.output}
    assert makers["y"].name in {"conv", "c,"}
    assert any(node.input[:1] == ["x"] for node in executed.node)
    values = {"x", "c", "r", "m", "y", "w"}
    made = {name for name in makers if not name.startswith("openvino/")}
    assert made <= values


@every_runtime
def test_a_file_s_external_data_lies_beside_it(runtime: Runtime, tmp_path: Path) -> None:
    np.arange(4, dtype=np.float32).tofile(tmp_path / "w.bin")
    path = tmp_path / "model.onnx"
    path.write_bytes(external_model("w.bin").SerializeToString())
    for trace in (False, True):
        options = EngineOptions(threads=1, runtime=runtime)
        with open_session(path, options, trace=trace) as session:
            result = run(session, x=np.ones(4, dtype=np.float32))["y"]
        np.testing.assert_array_equal(result, np.arange(4) + 1)


@every_runtime
def test_threads_may_share_a_session(runtime: Runtime) -> None:
    with open_model(relu_model(), runtime) as session, ThreadPoolExecutor(4) as pool:
        feeds = [np.full((2, 4), number, dtype=np.float32) for number in range(40)]
        results = list(pool.map(lambda array: run(session, x=array)["y"], feeds))
    for array, result in zip(feeds, results, strict=True):
        np.testing.assert_array_equal(result, array)


@every_runtime
@pytest.mark.parametrize(
    ("feeds", "outputs", "message"),
    [
        ({}, None, "'x' is missing"),
        ({"x": X, "z": X}, None, "no input 'z'; it has x"),
        ({"x": X}, ["q"], "no output 'q'; it has y"),
    ],
)
def test_wrong_names_are_refused_with_the_right_ones(
    runtime: Runtime, feeds: dict[str, Any], outputs: list[str] | None, message: str
) -> None:
    with open_model(relu_model(), runtime) as session, pytest.raises(UsageError, match=message):
        session.run(feeds, outputs)


@every_runtime
@pytest.mark.parametrize(
    "value", [np.ones((2, 3), dtype=np.float32), X.astype(np.float64), np.float32(1), "text", None]
)
def test_inputs_that_do_not_fit_give_a_clean_error(
    runtime: Runtime,
    value: Any,  # noqa: ANN401 - anything
) -> None:
    with (
        open_model(relu_model(), runtime) as session,
        pytest.raises(ModelError, match=r"x|inputs") as caught,
    ):
        session.run({"x": value})
    assert "src/" not in str(caught.value)


@every_runtime
def test_a_closed_session_says_so_and_closes_twice(runtime: Runtime) -> None:
    session = open_model(relu_model(), runtime)
    session.close()
    session.close()
    with pytest.raises(UsageError, match="closed"):
        session.run({"x": X})


@every_runtime
def test_an_unknown_provider_names_those_available(runtime: Runtime) -> None:
    options = EngineOptions(runtime=runtime, provider="NoSuchProvider")
    with pytest.raises(UsageError, match=r"'NoSuchProvider'.*CPU"):
        open_session(relu_model().SerializeToString(), options)


@every_runtime
def test_what_is_no_model_is_refused(runtime: Runtime) -> None:
    with pytest.raises(ModelError, match="can't"):
        open_session(b"no model", EngineOptions(runtime=runtime))
    with pytest.raises(ModelError, match="can't"):
        open_session(Path("no-such-file.onnx"), EngineOptions(runtime=runtime))


@every_runtime
def test_an_operator_that_a_runtime_lacks_is_named(runtime: Runtime) -> None:
    model = build_model(
        [helper.make_node("Warp", ["x"], ["y"], name="w", domain="made.up")],
        [floats("x", [1])],
        [floats("y", [1])],
        opsets={"": 21, "made.up": 1},
    )
    with pytest.raises(UnsupportedModelError, match="Warp") as caught:
        open_model(model, runtime)
    assert "src/" not in str(caught.value)


@every_runtime
def test_the_environment_names_the_runtime_and_no_host(runtime: Runtime) -> None:
    environment = describe_environment(EngineOptions(runtime=runtime, threads=2))
    assert environment["threads"] == 2
    assert environment[runtime][0].isdigit()
    assert environment["provider"].startswith("CPU")
    assert environment.get("runtime", "onnxruntime") == runtime


def test_an_unknown_runtime_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="'openvino'"):
        EngineOptions(runtime="openvin")  # type: ignore[arg-type]  # as a configuration may say


def test_the_processor_is_named_as_the_runtime_names_it() -> None:
    assert OPENVINO.provider == "CPU"
    assert OPENVINO.reference.provider == "CPUExecutionProvider"
    assert OPENVINO.reference.threads == 1


def test_openvino_computes_in_float32_unless_asked_otherwise() -> None:
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    model = build_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        [floats("x", [64, 64])],
        [floats("y", [64, 64])],
        initializers=[onnx.numpy_helper.from_array(weights, "w")],
    )
    wanted = weights.astype(np.float64) @ weights
    halved = EngineOptions(
        runtime="openvino", provider_options={"INFERENCE_PRECISION_HINT": "bf16"}
    )
    errors = []
    for options in (OPENVINO, halved):
        with open_session(model.SerializeToString(), options) as session:
            found = run(session, x=weights)["y"]
        errors.append(np.abs(found - wanted).max() / np.abs(wanted).max())
    assert errors[0] < 1e-6 <= errors[1] or errors[0] == errors[1] < 1e-6


def test_integers_that_openvino_would_cut_off_are_refused() -> None:
    node = helper.make_node("Neg", ["x"], ["y"], name="neg")
    kind = TensorProto.INT64
    model = build_model([node], [floats("x", [1], kind)], [floats("y", [1], kind)])
    with (
        open_model(model, "openvino") as session,
        pytest.raises(ModelError, match=r"'x'.*beyond 32 bits"),
    ):
        session.run({"x": np.array([2**40])})


def test_sequences_are_left_to_onnxruntime() -> None:
    model = build_model(
        [helper.make_node("SequenceConstruct", ["x"], ["list"], name="s")],
        [floats("x", [1, 4])],
        [helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None)],
    )
    with pytest.raises(UnsupportedModelError, match=r"'list'.*onnxruntime"):
        open_model(model, "openvino")


def test_an_unknown_property_of_openvino_is_named() -> None:
    options = EngineOptions(runtime="openvino", provider_options={"NO_SUCH_PROPERTY": "1"})
    with pytest.raises(ModelError, match="NO_SUCH_PROPERTY"):
        open_session(relu_model().SerializeToString(), options)


def test_without_openvino_its_use_says_what_to_install() -> None:
    program = f"""
import sys
sys.modules["openvino"] = None
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import UsageError
try:
    open_session({relu_model().SerializeToString()!r}, EngineOptions(runtime="openvino"))
except UsageError as error:
    assert 'pip install "onnxsplit[openvino]"' in str(error), error
    sys.exit(0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - our own interpreter


def test_running_on_onnxruntime_does_not_load_openvino() -> None:
    program = f"""
import sys
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions
open_session({relu_model().SerializeToString()!r}, EngineOptions())
assert not any(name.split(".")[0] == "openvino" for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - our own interpreter
