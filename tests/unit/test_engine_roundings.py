"""A session with a state rounds as the operators do, whatever stands beside them in the model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx.parser
import pytest
from numpy.typing import NDArray

from onnxsplit.engines.port import EngineOptions
from onnxsplit.engines.stateful import OrtState, open_stateful
from onnxsplit.errors import ModelError

_OPTIONS = EngineOptions(threads=1)
_SHAPES: dict[str, tuple[int, ...]] = {
    "a": (64, 512),
    "b": (512, 96),
    "bias": (96,),
    "other": (64, 96),
    "q": (2, 16, 512),
    "k": (2, 512, 24),
    "image": (2, 32, 7, 7),
}

_Arrays = Mapping[str, NDArray[Any]]


def _run(nodes: str, feeds: _Arrays, result: str) -> NDArray[Any]:
    inputs = ", ".join(f"float[{','.join(map(str, v.shape))}] {n}" for n, v in feeds.items())
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 18]>'
        f" graph ({inputs}) => (float[] {result}) <float scale = {{0.3}}> {{ {nodes} }}"
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    session = open_stateful(model.SerializeToString(), OrtState({}, _OPTIONS), {}, _OPTIONS)
    return np.asarray(session.run(feeds)[result])


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("t = MatMul(a, b)", "y = Add(t, bias)", ("a", "b", "bias")),
        ("t = Gemm(a, b)", "y = Sum(t, other)", ("a", "b", "other")),
        ("t = MatMul(q, k)", "y = Div(t, scale)", ("q", "k")),
        ("t = Mul(q, scale)", "y = MatMul(t, k)", ("q", "k")),
        ("t = HardSwish(image)", "y = GlobalAveragePool(t)", ("image",)),
    ],
)
def test_two_operators_in_one_model_give_the_bits_that_they_give_in_two(
    first: str, second: str, names: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    drawn = {name: rng.standard_normal(_SHAPES[name]).astype(np.float32) for name in names}
    ahead = {name: value for name, value in drawn.items() if name in first.partition("(")[2]}
    behind = {name: value for name, value in drawn.items() if name in second.partition("(")[2]}
    between = _run(first, ahead, "t")
    apart = _run(second, {**behind, "t": between}, "y")
    together = _run(f"{first} {second}", drawn, "y")
    np.testing.assert_array_equal(together, apart)


def test_what_is_no_model_is_refused_in_a_sentence() -> None:
    with pytest.raises(ModelError, match="load the model"):
        open_stateful(b"no model", OrtState({}, _OPTIONS), {}, _OPTIONS)
