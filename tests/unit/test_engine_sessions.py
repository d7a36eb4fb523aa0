import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from onnxsplit.engines import ort
from onnxsplit.engines.environment import resolve_threads
from onnxsplit.engines.native import available_providers
from onnxsplit.engines.ort import OrtSession, describe_environment, open_session
from onnxsplit.engines.port import EngineOptions, Session
from onnxsplit.errors import ModelError, UnsupportedModelError, UsageError
from onnxsplit.graph import TensorSpec
from tests.engine_models import (
    build_model,
    chain_model,
    control_flow_model,
    external_model,
    floats,
    relu_model,
)

X = np.array([[-1, 2, -3, 4]], dtype=np.float32)


def open_model(
    model: onnx.ModelProto, *, trace: bool = False, folder: Path | None = None
) -> OrtSession:
    options = EngineOptions(threads=1, optimization="disabled")
    return open_session(model.SerializeToString(), options, base_folder=folder, trace=trace)


def cast_model(source: int, target: int, shape: Sequence[int]) -> onnx.ModelProto:
    node = helper.make_node("Cast", ["x"], ["y"], to=target)
    return build_model([node], [floats("x", shape, source)], [floats("y", shape, target)])


def test_a_session_tells_its_inputs_and_outputs_with_symbolic_dims() -> None:
    session: Session = open_model(relu_model())
    assert session.inputs == (TensorSpec(name="x", dtype="float32", shape=("N", 4)),)
    assert session.outputs == (TensorSpec(name="y", dtype="float32", shape=("N", 4)),)


def test_a_shape_that_the_engine_does_not_tell_is_no_scalar() -> None:
    reshape = helper.make_node("Reshape", ["x", "s"], ["y"], name="reshape")
    inputs = [floats("x", [None, 4]), floats("s", ["rank"], TensorProto.INT64)]
    session = open_model(build_model([reshape], inputs, [floats("y", None)]))
    assert session.inputs[0].shape == (None, 4)
    assert session.outputs[0].shape is None


def test_a_model_runs_from_bytes_and_from_a_file_alike(tmp_path: Path) -> None:
    path = tmp_path / "relu.onnx"
    onnx.save(relu_model(), path)
    with open_model(relu_model()) as from_bytes, open_session(path, EngineOptions()) as from_file:
        expected = np.maximum(X, 0)
        np.testing.assert_array_equal(from_bytes.run({"x": X})["y"], expected)
        np.testing.assert_array_equal(from_file.run({"x": X})["y"], expected)


def test_only_the_named_outputs_are_fetched_in_their_order() -> None:
    nodes = [helper.make_node(op, ["x"], [op], name=op) for op in ("Relu", "Neg", "Abs")]
    outputs = [floats(op, [1, 4]) for op in ("Relu", "Neg", "Abs")]
    with open_model(build_model(nodes, [floats("x", [1, 4])], outputs)) as session:
        fetched = session.run({"x": X}, ["Abs", "Relu"])
        assert list(fetched) == ["Abs", "Relu"]
        np.testing.assert_array_equal(fetched["Abs"], np.abs(X))
        assert list(session.run({"x": X})) == ["Relu", "Neg", "Abs"]


def test_a_bound_call_runs_the_model_each_time() -> None:
    with open_model(relu_model(), trace=True) as session:
        call = session.bind({"x": X})
        for _ in range(3):
            call()
        assert [event.run for event in session.end_profiling()] == [0, 1, 2]


def test_external_data_is_found_in_the_base_folder_only(tmp_path: Path) -> None:
    np.arange(4, dtype=np.float32).tofile(tmp_path / "w.bin")
    model = external_model("w.bin")
    with open_model(model, folder=tmp_path) as session:
        result = session.run({"x": np.ones(4, dtype=np.float32)})
        np.testing.assert_array_equal(result["y"], np.arange(4) + 1)
    with pytest.raises(ModelError, match=r"w\.bin"):
        open_model(model, folder=tmp_path / "elsewhere")


def test_sequences_and_optionals_go_in_and_out() -> None:
    one = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    model = build_model(
        [
            helper.make_node("OptionalHasElement", ["o"], ["has"]),
            helper.make_node("Identity", ["q"], ["q_out"]),
            helper.make_node("Optional", [], ["none"], type=one),
        ],
        [
            helper.make_value_info("o", helper.make_optional_type_proto(one)),
            helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, None),
        ],
        [
            floats("has", [], TensorProto.BOOL),
            helper.make_tensor_sequence_value_info("q_out", TensorProto.FLOAT, None),
            helper.make_value_info("none", helper.make_optional_type_proto(one)),
        ],
    )
    with open_model(model) as session:
        assert [spec.kind for spec in session.inputs] == ["optional", "sequence"]
        assert [spec.dtype for spec in session.inputs] == ["float32", "float32"]
        empty = session.run({"o": None, "q": [X, X]})
        assert not empty["has"]
        assert empty["none"] is None
        np.testing.assert_array_equal(empty["q_out"], [X, X])
        assert session.run({"q": (X,)})["has"] == np.array(False)  # noqa: FBT003 - an array
        assert session.run({"o": X, "q": [X]})["has"]


@pytest.mark.parametrize(
    ("onnx_type", "numpy_type"),
    [
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
        (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn),
        (TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2),
        (TensorProto.INT4, ml_dtypes.int4),
        (TensorProto.UINT4, ml_dtypes.uint4),
    ],
)
def test_element_types_that_numpy_lacks_survive_the_way_in_and_out(
    onnx_type: int, numpy_type: type
) -> None:
    # Five elements, so that 4-bit types end within a byte.
    numbers = np.array([[1, 2, 3, 5, 7]], dtype=np.float32)
    narrow: np.ndarray[Any, Any] = numbers.astype(numpy_type)
    with open_model(cast_model(onnx_type, TensorProto.FLOAT, [1, 5])) as session:
        np.testing.assert_array_equal(session.run({"x": narrow})["y"], numbers)
    with open_model(cast_model(TensorProto.FLOAT, onnx_type, [1, 5])) as session:
        result = session.run({"x": numbers})["y"]
        assert isinstance(result, np.ndarray)
        assert result.dtype == narrow.dtype
        np.testing.assert_array_equal(result.astype(np.float32), numbers)
        session.bind({"x": numbers})()


def test_scalars_keep_their_rank_beside_narrow_outputs() -> None:
    with open_model(cast_model(TensorProto.FLOAT, TensorProto.BFLOAT16, [])) as session:
        result = session.run({"x": np.array(2, dtype=np.float32)})["y"]
    assert isinstance(result, np.ndarray)
    assert (result.shape, float(result)) == ((), 2.0)
    with open_model(cast_model(TensorProto.BFLOAT16, TensorProto.FLOAT, [])) as session:
        assert session.run({"x": result})["y"] == np.array(2, dtype=np.float32)


def test_negative_4_bit_integers_keep_their_sign() -> None:
    numbers = np.array([-8, -1, 7], dtype=np.float32)
    with open_model(cast_model(TensorProto.FLOAT, TensorProto.INT4, [3])) as session:
        result = session.run({"x": numbers})["y"]
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result.astype(np.float32), numbers)


def test_a_narrow_output_beside_a_sequence_is_refused_by_name() -> None:
    model = build_model(
        [
            helper.make_node("Cast", ["x"], ["narrow"], to=TensorProto.BFLOAT16),
            helper.make_node("SequenceConstruct", ["x"], ["list"]),
        ],
        [floats("x", [1, 4])],
        [
            floats("narrow", [1, 4], TensorProto.BFLOAT16),
            helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None),
        ],
    )
    with open_model(model) as session:
        with pytest.raises(UnsupportedModelError, match=r"'narrow' .* 'list'"):
            session.run({"x": X})
        assert set(session.run({"x": X}, ["narrow"])) == {"narrow"}
        assert set(session.run({"x": X}, ["list"])) == {"list"}


@pytest.mark.parametrize(
    ("feeds", "outputs", "message"),
    [
        ({}, None, "'x' is missing"),
        ({"x": X, "z": X}, None, "no input 'z'; it has x"),
        ({"x": X}, ["q"], "no output 'q'; it has y"),
    ],
)
def test_wrong_names_are_refused_with_the_right_ones(
    feeds: dict[str, Any], outputs: list[str] | None, message: str
) -> None:
    with open_model(relu_model()) as session, pytest.raises(UsageError, match=message):
        session.run(feeds, outputs)


@pytest.mark.parametrize(
    "value", [np.ones((2, 3), dtype=np.float32), X.astype(np.float64), np.float32(1), "text", None]
)
def test_inputs_that_do_not_fit_give_a_clean_error(value: Any) -> None:  # noqa: ANN401 - anything
    with open_model(relu_model()) as session, pytest.raises(ModelError, match=r"x|inputs"):
        session.run({"x": value})


def test_an_initializer_that_is_also_an_input_may_be_fed_or_left_out() -> None:
    model = build_model(
        [helper.make_node("Add", ["x", "b"], ["y"], name="add")],
        [floats("x", [1]), floats("b", [1])],
        [floats("y", [1])],
        initializers=[helper.make_tensor("b", TensorProto.FLOAT, [1], [1.0])],
    )
    one = np.ones(1, dtype=np.float32)
    with open_model(model) as session:
        assert session.run({"x": one})["y"] == 2
        assert session.run({"x": one, "b": one * 5})["y"] == 6


def test_a_closed_session_says_so_and_closes_twice() -> None:
    session = open_model(relu_model())
    session.close()
    session.close()
    with pytest.raises(UsageError, match="closed"):
        session.run({"x": X})


def test_an_unknown_provider_names_those_available() -> None:
    with pytest.raises(UsageError, match=r"'NoSuchProvider'.*CPUExecutionProvider"):
        open_session(
            relu_model().SerializeToString(), EngineOptions(provider="NoSuchProvider"), trace=True
        )


def test_negative_threads_are_refused() -> None:
    with pytest.raises(UsageError, match="-1"):
        EngineOptions(threads=-1)


def test_threads_are_resolved_to_a_count() -> None:
    assert resolve_threads(EngineOptions(threads=3)) == 3
    assert resolve_threads(EngineOptions()) >= 1


def test_the_environment_names_what_counts_and_no_host() -> None:
    environment = describe_environment(EngineOptions(threads=2))
    assert environment["provider"] in available_providers()
    assert environment["threads"] == 2
    assert set(environment) == {
        "onnxruntime",
        "provider",
        "provider_options",
        "threads",
        "cpu",
        "machine",
        "os",
    }
    json.dumps(environment)


def test_kernels_of_bodies_are_left_out_even_when_they_share_a_name() -> None:
    with open_model(control_flow_model(), trace=True) as session:
        for _ in range(2):
            session.run({"x": X.repeat(2, axis=0)})
        events = session.end_profiling()
    names = ["sum", "positive", "if", "loop", "last"]
    assert [(event.run, event.operator) for event in events] == [
        (run, name) for run in (0, 1) for name in names
    ]
    last = events[-1]
    assert (last.op_type, last.provider) == ("Add", "CPUExecutionProvider")
    assert last.output_types == (("float32", (2, 4)),)


def test_a_traced_session_shows_the_graph_it_runs_without_weights() -> None:
    options = EngineOptions(threads=1)
    with open_session(chain_model().SerializeToString(), options, trace=True) as session:
        assert session.executed is not None
        kinds = [node.op_type for node in session.executed.node]
    assert "Relu" not in kinds
    assert "Conv" in "".join(kinds)
    with open_model(relu_model()) as session:
        assert session.executed is None


def test_a_graph_that_can_not_be_written_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Providers that compile their part of a graph refuse to write it when the model is loaded.
    def request_the_impossible(settings: onnxruntime.SessionOptions, folder: Path) -> None:
        settings.optimized_model_filepath = str(folder / "missing" / "graph.onnx")

    monkeypatch.setattr(ort, "request_executed_graph", request_the_impossible)
    with open_model(relu_model(), trace=True) as session:
        assert session.executed is None
        session.run({"x": X})
        assert [event.operator for event in session.end_profiling()] == ["relu"]


def test_a_session_without_a_trace_has_none_to_end() -> None:
    with open_model(relu_model()) as session, pytest.raises(ModelError, match="trace=True"):
        session.end_profiling()


def test_traces_leave_no_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open_model(relu_model(), trace=True) as session:
        session.run({"x": X})
        assert list(tmp_path.iterdir()), "The trace is expected in the temporary folder."
        session.end_profiling()
    assert not list(tmp_path.iterdir())
    with pytest.raises(ModelError):
        open_session(b"no model", EngineOptions(), trace=True)
    assert not list(tmp_path.iterdir())
    dropped = open_model(relu_model(), trace=True)
    dropped.run({"x": X})
    del dropped
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_the_engine_says_nothing_of_its_own_on_the_terminal() -> None:
    reshape = build_model(
        [helper.make_node("Reshape", ["x", "s"], ["y"], name="reshape")],
        [floats("x", ["N"])],
        [floats("y", None)],
        initializers=[helper.make_tensor("s", TensorProto.INT64, [1], [3])],
    )
    script = f"""
import numpy as np
from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import ModelError
session = open_session({reshape.SerializeToString()!r}, EngineOptions(), trace=True)
try:
    session.run({{"x": np.ones(8, dtype=np.float32)}})
except ModelError:
    pass
else:
    raise SystemExit("the model was expected to fail")
try:
    open_session({chain_model().SerializeToString()[:-40]!r}, EngineOptions())
except ModelError:
    pass
else:
    raise SystemExit("the file was expected to be refused")
session.end_profiling()
"""
    done = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
