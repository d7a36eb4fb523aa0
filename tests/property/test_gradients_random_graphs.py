"""Gradients of random graphs: against differences, and split as any cut would split them."""

import numpy as np
import onnx
import pytest
from numpy.random import Generator

from onnxsplit.autodiff.differentiation import differentiate
from onnxsplit.autodiff.gradients import Gradients
from onnxsplit.autodiff.preparation import prepare_model
from onnxsplit.model.loading import load_model
from tests.gradients.checking import (
    build_gradient_model,
    differentiate_by_differences,
    make_product,
    run_reference,
)

_SIZE = 3
_BINARY = ("Add", "Sub", "Mul", "MatMul", "Max", "Gemm")
_UNARY = ("Sin", "Tanh", "Sigmoid", "Exp", "Softmax", "Transpose", "Neg", "Identity")


def _draw_graph(rng: Generator, count: int) -> onnx.ModelProto:
    """Draw operators on square matrices, each of which reads what was made before it."""
    values, nodes = ["x", "w"], []
    for place in range(count):
        # Old values are read again as often as new ones, so that many have several consumers.
        if rng.random() < 0.6:
            op_type = str(rng.choice(_BINARY))
            read = [str(name) for name in rng.choice(values, 2)]
        else:
            op_type, read = str(rng.choice(_UNARY)), [str(rng.choice(values))]
        # Bounded again and again, so that no value grows beyond what differences can tell.
        nodes.append(onnx.helper.make_node(op_type, read, [f"r{place}"], name=f"op{place}"))
        bounded = onnx.helper.make_node("Tanh", [f"r{place}"], [f"v{place}"], name=f"t{place}")
        nodes.append(bounded)
        values.append(f"v{place}")
    used = {name for node in nodes for name in node.input}
    ends = [name for name in values if name not in used]
    nodes.append(onnx.helper.make_node("Sum", ends, ["y"], name="sum"))
    describe = onnx.helper.make_tensor_value_info
    double, shape = onnx.TensorProto.DOUBLE, [_SIZE, _SIZE]
    graph = onnx.helper.make_graph(
        nodes,
        "random",
        [describe(name, double, shape) for name in ("x", "w")],
        [describe("y", double, shape)],
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _draw_server(rng: Generator, model: onnx.ModelProto) -> set[str]:
    """Draw operators that are closed under consumers: a server's half."""
    server = {str(node.name) for node in model.graph.node if rng.random() < 0.15}
    reached: set[str] = set()
    for node in model.graph.node:
        if node.name in server or reached & set(node.input):
            server.add(node.name)
            reached.update(node.output)
    return server


def _list_wanted(model: onnx.ModelProto) -> list[str]:
    used = {name for node in model.graph.node for name in node.input}
    return [name for name in ("x", "w") if name in used]


@pytest.mark.parametrize("seed", range(25))
def test_gradients_of_a_random_graph_agree_with_finite_differences(seed: int) -> None:
    rng = np.random.default_rng([1, seed])
    model = _draw_graph(rng, 8)
    feeds = {name: rng.uniform(-1, 1, (_SIZE, _SIZE)) for name in ("x", "w")}
    seeds = {"y": rng.standard_normal((_SIZE, _SIZE))}
    wanted = _list_wanted(model)
    found = run_reference(
        build_gradient_model(model, ["y"], wanted), {**feeds, "seed|y": seeds["y"]}
    )
    compute = make_product(model, seeds)
    for name in wanted:
        expected = differentiate_by_differences(compute, feeds, name)
        np.testing.assert_allclose(found[f"grad|{name}"], expected, rtol=1e-6, atol=1e-8)


def _count_backward_flows(found: Gradients, server: set[str]) -> tuple[int, int]:
    """Return how many gradients go up to the server, which must be none, and how many go down."""
    tiers = {
        name: set(node.operators) <= server for node in found.backward for name in node.proto.output
    }
    up = down = 0
    for node in found.backward:
        on_server = set(node.operators) <= server
        flows = {name for name in node.proto.input if tiers.get(name, on_server) != on_server}
        up, down = (up + len(flows), down) if on_server else (up, down + len(flows))
    return up, down


def test_at_every_cut_gradients_flow_from_the_server_to_the_device_only() -> None:
    rng = np.random.default_rng(3)
    crossed = shared = 0
    for _ in range(60):
        model = _draw_graph(rng, 10)
        prepared = prepare_model(load_model(model))
        found = differentiate(prepared, of={"y": "seed"}, with_respect_to=_list_wanted(model))
        for _ in range(5):
            server = _draw_server(rng, model)
            up, down = _count_backward_flows(found, server)
            assert up == 0
            crossed += down > 0
            sums = [set(node.operators) for node in found.backward if len(node.operators) > 1]
            shared += any(operators & server and operators - server for operators in sums)
    # Most cuts send something, and many part the consumers of one value.
    assert crossed > 150
    assert shared > 100
