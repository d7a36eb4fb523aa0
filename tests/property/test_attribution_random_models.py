"""Random networks, run by each runtime at full optimisation: no operator and no time is lost."""

import math
import random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions, Runtime
from onnxsplit.profiling.attribution import attribute, split_runs
from onnxsplit.profiling.executed import read_executed
from onnxsplit.progress import SilentProgress
from onnxsplit.workflows.preparation import InputOptions, prepare_by_running
from tests.executed_graphs import check_groups

CHANNELS, SIDE = 16, 6
OPTIONS = EngineOptions(threads=1)
MODELS = 40


class NetworkDrawer:
    """Draws what onnxruntime likes to fuse: convolutions, products, norms and what joins them."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._arrays = np.random.default_rng(seed)
        self._weights: list[onnx.TensorProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._images, self._rows = ["image"], ["rows"]

    def draw(self) -> onnx.ModelProto:
        makers = (
            *(self._convolve, self._convolve, self._add, self._concatenate, self._pool),
            *(self._dense, self._dense, self._normalise, self._gelu, self._attend, self._idle),
        )
        for _ in range(self._rng.randint(4, 16)):
            self._rng.choice(makers)()
        feeds = {"image": [1, CHANNELS, SIDE, SIDE], "rows": [1, SIDE, CHANNELS]}
        used = {name for node in self._nodes for name in node.input}
        # Whatever nothing reads is an output, as dead operators are no part of the graph.
        outputs = {node.output[0] for node in self._nodes} - used
        outputs |= {self._rng.choice(self._nodes).output[0]}
        graph = helper.make_graph(
            self._nodes,
            "drawn",
            [_describe(name, shape) for name, shape in feeds.items() if name in used],
            [_describe(name, None) for name in sorted(outputs)],
            self._weights,
        )
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])

    def _node(self, op_type: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401 - as make_node takes them
        output = f"v{len(self._nodes)}"
        name = self._rng.choice(("", f"n{len(self._nodes)}"))
        node = helper.make_node(op_type, list(inputs), [output], name=name, **attributes)
        self._nodes.append(node)
        return output

    def _weight(self, *shape: int) -> str:
        name = f"w{len(self._weights)}"
        array = np.asarray(self._arrays.random(shape) / 8, dtype=np.float32)
        self._weights.append(numpy_helper.from_array(array, name))
        return name

    def _image(self) -> str:
        return self._rng.choice(self._images[-3:])

    def _row(self) -> str:
        return self._rng.choice(self._rows[-3:])

    def _convolve(self) -> None:
        made = self._node(
            "Conv", self._image(), self._weight(CHANNELS, CHANNELS, 3, 3), pads=[1, 1, 1, 1]
        )
        if self._rng.random() < 0.5:
            vectors = [self._weight(CHANNELS) for _ in range(4)]
            made = self._node("BatchNormalization", made, *vectors)
        if self._rng.random() < 0.4:
            made = self._node("Add", made, self._image())
        activation = self._rng.choice(("", "Relu", "Sigmoid", "HardSwish"))
        if activation:
            made = self._node(activation, made)
        self._images.append(made)

    def _add(self) -> None:
        made = self._node(self._rng.choice(("Add", "Mul")), self._image(), self._image())
        self._images.append(made)

    def _concatenate(self) -> None:
        both = self._node("Concat", self._image(), self._image(), axis=1)
        self._images.append(self._node("Conv", both, self._weight(CHANNELS, 2 * CHANNELS, 1, 1)))

    def _pool(self) -> None:
        self._images.append(
            self._node("MaxPool", self._image(), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        )

    def _dense(self) -> None:
        made = self._node("MatMul", self._row(), self._weight(CHANNELS, CHANNELS))
        if self._rng.random() < 0.7:
            made = self._node("Add", made, self._weight(CHANNELS))
        if self._rng.random() < 0.4:
            made = self._node("Add", made, self._row())
        self._rows.append(made)

    def _normalise(self) -> None:
        source = self._row()
        two, tiny = self._constant(2.0), self._constant(1e-5)
        centred = self._node("Sub", source, self._node("ReduceMean", source, axes=[-1]))
        variance = self._node("ReduceMean", self._node("Pow", centred, two), axes=[-1])
        root = self._node("Sqrt", self._node("Add", variance, tiny))
        scaled = self._node("Mul", self._node("Div", centred, root), self._weight(CHANNELS))
        self._rows.append(self._node("Add", scaled, self._weight(CHANNELS)))

    def _gelu(self) -> None:
        source = self._row()
        erf = self._node("Erf", self._node("Div", source, self._constant(math.sqrt(2))))
        gate = self._node("Mul", source, self._node("Add", erf, self._constant(1.0)))
        self._rows.append(self._node("Mul", gate, self._constant(0.5)))

    def _attend(self) -> None:
        turned = self._node("Transpose", self._row(), perm=[0, 2, 1])
        scores = self._node("Softmax", self._node("MatMul", self._row(), turned))
        self._rows.append(self._node("MatMul", scores, self._row()))

    def _idle(self) -> None:
        self._rows.append(self._node("Identity", self._row()))

    def _constant(self, value: float) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
        return name


def _describe(name: str, shape: list[int] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


@pytest.mark.parametrize(
    ("runtime", "optimization"),
    [("onnxruntime", "all"), ("onnxruntime", "disabled"), ("openvino", "all")],
)
def test_groups_partition_the_operators_are_acyclic_and_lose_no_time(
    runtime: Runtime,
    optimization: Any,  # noqa: ANN401 - a literal
) -> None:
    fused_models = 0
    for seed in range(MODELS):
        prepared = prepare_by_running(
            NetworkDrawer(seed).draw(), InputOptions(), OPTIONS, SilentProgress()
        )
        options = EngineOptions(threads=1, optimization=optimization, runtime=runtime)
        content = prepared.model.proto.SerializeToString()
        with open_session(content, options, trace=True) as session:
            run = session.bind(prepared.batches[0])
            run()
            run()
            executed = session.executed
            runs = split_runs(session.end_profiling())
        assert executed is not None
        nodes = read_executed(executed)
        attribution, traced_back = attribute(prepared.graph, list(runs.values()), nodes)
        message = f"seed {seed}"
        assert traced_back, message
        assert len(attribution.runs) == 2, message
        check_groups(prepared.graph, attribution.fused, len(runs[0]))
        assert attribution.fused.strays == (), message
        groups = attribution.fused.groups
        shared = [attribution.sum_seconds((*g.nodes, *g.layout))[0] for g in groups]
        whole = attribution.sum_seconds(range(len(runs[0])))[0]
        assert math.fsum(shared) == pytest.approx(whole, rel=1e-9), message
        fused_models += any(len(g.operators) > 1 for g in groups)
    assert fused_models >= (MODELS // 2 if optimization == "all" else 0)
