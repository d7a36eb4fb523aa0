"""Gradients that are added up at repeated places do not depend on the number of threads."""

import numpy as np
import onnx.parser
import onnxruntime
import pytest

from tests.gradients.checking import build_gradient_model

_COUNT, _ROWS, _WIDTH = 20_000, 400, 16


@pytest.mark.parametrize("rows", [_ROWS, 50], ids=["scattered", "multiplied"])
def test_a_table_read_often_gets_every_summand_on_many_threads(rows: int) -> None:
    model = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 18]>
        graph (float[{rows}, {_WIDTH}] table, int64[{_COUNT}] ids) =>
              (float[{_COUNT}, {_WIDTH}] y) {{ y = Gather(table, ids) }}"""
    )
    joined = build_gradient_model(model, ["y"], ["table"])
    rng = np.random.default_rng(0)
    ids = rng.integers(0, rows, _COUNT)
    seed = rng.standard_normal((_COUNT, _WIDTH)).astype(np.float32)
    feeds = {"table": np.zeros((rows, _WIDTH), np.float32), "ids": ids, "seed|y": seed}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    session = onnxruntime.InferenceSession(joined.SerializeToString(), options)
    expected = np.zeros((rows, _WIDTH))
    np.add.at(expected, ids, seed)
    first = session.run(["grad|table"], feeds)[0]
    np.testing.assert_allclose(first, expected, atol=1e-3)
    assert all(np.array_equal(first, session.run(["grad|table"], feeds)[0]) for _ in range(5))
