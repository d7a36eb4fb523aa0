import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as native

from onnxsplit.engines.failures import FAILURES, extract_gist, translate_failures
from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import ModelError, UnsupportedModelError
from tests.engine_models import build_model, floats, relu_model

SOURCE_LINE = re.compile(r"onnxruntime_src|\.(?:cc|h|cpp):\d+|\[ONNXRuntimeError\]|Status Message")


def test_every_exception_of_onnxruntime_is_mapped() -> None:
    classes = {
        name
        for name, value in vars(native).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert len(classes) > 10
    assert classes <= set(FAILURES)


@pytest.mark.parametrize("name", sorted(name for name in FAILURES if hasattr(native, name)))
def test_each_exception_becomes_a_sentence_of_ours(name: str) -> None:
    message = "[ONNXRuntimeError] : 1 : FAIL : something broke\n"
    sentence = r"^onnxruntime can't run it: something broke\.$"
    with pytest.raises(ModelError, match=sentence) as caught, translate_failures("run it"):
        raise getattr(native, name)(message)
    assert type(caught.value) is FAILURES[name]
    assert isinstance(caught.value.__cause__, getattr(native, name))


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, TypeError, MemoryError, OSError])
def test_what_its_bindings_raise_besides_is_mapped_too(kind: type[Exception]) -> None:
    with pytest.raises(ModelError, match="run it"), translate_failures("run it"):
        raise kind


def test_a_keyboard_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), translate_failures("run it"):
        raise KeyboardInterrupt


UNKNOWN = helper.make_node("Frobnicate", ["x"], ["y"], name="odd")
FOREIGN = helper.make_node("Frobnicate", ["x"], ["y"], name="odd", domain="acme")
TEXT = [floats("x", [1], TensorProto.STRING)], [floats("y", [1], TensorProto.STRING)]
ONE = [floats("x", [1])], [floats("y", [1])]
RELU = helper.make_node("Relu", ["x"], ["y"], name="relu")
FUTURE = build_model([RELU], *ONE)
FUTURE.ir_version = 99


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (build_model([UNKNOWN], *ONE), UnsupportedModelError, "operator 'odd' .* Frobnicate"),
        (
            build_model([FOREIGN], *ONE, opsets={"": 21, "acme": 1}),
            UnsupportedModelError,
            "Frobnicate of domain 'acme'",
        ),
        (build_model([FOREIGN], *ONE), ModelError, "'acme'"),
        (relu_model(TensorProto.BFLOAT16), UnsupportedModelError, "no kernel for operator 'relu'"),
        (build_model([RELU], *TEXT), ModelError, "Relu"),
        (
            build_model([RELU], *ONE, opsets={"": 99}),
            UnsupportedModelError,
            "opset 99 .* newer than",
        ),
        (FUTURE, UnsupportedModelError, "IR version is 99"),
        (build_model([RELU, RELU], *ONE), ModelError, "relu"),
    ],
)
def test_a_model_that_can_not_be_loaded_gives_one_clean_sentence(
    model: onnx.ModelProto, kind: type[ModelError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        open_session(model.SerializeToString(), EngineOptions())
    assert type(caught.value) is kind
    assert not SOURCE_LINE.search(str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 64])
def test_bytes_that_are_no_model_give_a_clean_sentence(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"^onnxruntime can't load the model: ") as caught:
        open_session(content, EngineOptions())
    assert not SOURCE_LINE.search(str(caught.value))


def test_a_failing_operator_is_named_without_source_lines() -> None:
    model = build_model(
        [helper.make_node("Reshape", ["x", "s"], ["y"], name="fold")],
        [floats("x", ["N"])],
        [floats("y", None)],
        initializers=[helper.make_tensor("s", TensorProto.INT64, [1], [3])],
    )
    session = open_session(model.SerializeToString(), EngineOptions())
    with pytest.raises(ModelError) as caught:
        session.run({"x": np.ones(8, dtype=np.float32)})
    assert str(caught.value) == (
        "onnxruntime can't run the model on these inputs: operator 'fold' (Reshape): The input"
        " tensor cannot be reshaped to the requested shape. Input shape:{8}, requested shape:{3}."
    )


@pytest.mark.parametrize(
    ("text", "gist"),
    [
        ("", ""),
        ("plain", "plain"),
        ("[ONNXRuntimeError] : 3 : NO_SUCHFILE : Load model from a failed:Gone. ", "Gone"),
        (
            "/a/b.cc:12 std::pair<F (*)(int), G> ns::f(int (*)(int), x) const It broke (here).",
            "It broke (here)",
        ),
        ("/a/b.h:1 T ns::g(T) [with T = float; S = int] x > 0 was false. Too small.", "Too small"),
        ("/a/b.h:1 T ns::g(T) x > 0 was false. ", "x > 0 was false"),
        ("Error: tensorprotoutils.cc:619 Validate No file (w.bin)", "Error: No file (w.bin)"),
        ("/a/b.cc:12 ( never closed", "never closed"),
    ],
)
def test_the_gist_of_a_message_is_kept(text: str, gist: str) -> None:
    assert extract_gist(text).endswith(gist)
    assert not SOURCE_LINE.search(extract_gist(text))


def test_long_messages_are_cut() -> None:
    assert len(extract_gist("word " * 1000)) < 420
