"""A tiny model that measures a link through the inference protocol itself."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PROBE_NAME = "onnxsplit_probe"
"""The name under which it is served."""

PAYLOAD, REPLY_SIZE = "payload", "n"
RECEIVED, REPLY = "received", "reply"

LARGEST_REPLY_BYTES = 64 * 2**20
"""What a stranger may have a server make up; longer replies are cut."""

_IR_VERSION = 8
_OPSET = 13


def make_probe() -> onnx.ModelProto:
    """Make the model: it takes any number of bytes, and gives as many as it is asked for.

    Returns
    -------
    onnx.ModelProto
        Inputs ``payload`` (uint8, any length) and ``n`` (int64, one element); outputs ``received``
        (int64, one element: the payload's length) and ``reply`` (uint8, ``n`` of them, zeros). It
        needs opset 13 and runs on every server of ONNX models. The time of a request as the
        payload grows tells the rate up, and as the reply grows that down.
    """
    limit = numpy_helper.from_array(np.array([LARGEST_REPLY_BYTES], np.int64), "limit")
    zero = numpy_helper.from_array(np.zeros(1, np.uint8), "zero")
    graph = helper.make_graph(
        [
            helper.make_node("Shape", [PAYLOAD], [RECEIVED], "count"),
            helper.make_node("Min", [REPLY_SIZE, "limit"], ["bounded"], "bound"),
            helper.make_node("ConstantOfShape", ["bounded"], [REPLY], "fill", value=zero),
        ],
        PROBE_NAME,
        [
            helper.make_tensor_value_info(PAYLOAD, TensorProto.UINT8, ["up"]),
            helper.make_tensor_value_info(REPLY_SIZE, TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info(RECEIVED, TensorProto.INT64, [1]),
            helper.make_tensor_value_info(REPLY, TensorProto.UINT8, ["down"]),
        ],
        [limit],
    )
    return helper.make_model(
        graph,
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        producer_name="onnxsplit",
    )
