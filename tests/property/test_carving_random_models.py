"""Random models, cut anywhere: the stages equal the whole, and merge into it."""

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.conformance.harness import (
    check_cut,
    count_crossings,
    draw_ideal,
    prepare_subject,
    split_at,
)

SHAPE = (2, 3)
UNARY = ("Abs", "Neg", "Relu", "Sigmoid", "Tanh")
BINARY = ("Add", "Max", "Min", "Mul", "Sub")

if TYPE_CHECKING:
    from onnxsplit.engines.port import Value


class ModelDrawer:
    """Draws a model over values of one shape, with everything in it that a cut can tear apart."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._values = ["x0", "x1"]
        self._weights: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._arrays = np.random.default_rng(seed)

    def draw(self) -> onnx.ModelProto:
        """Draw a model; inner values are outputs now and then."""
        for _ in range(self._rng.randint(3, 14)):
            kinds = (self._unary, self._binary, self._weighted, self._cone, self._split, self._if)
            self._rng.choice(kinds)()
        made = [name for node in self._nodes for name in node.output if name[0] == "v"]
        outputs = sorted({made[-1], *self._rng.sample(made, min(len(made), 2))})
        feeds = ["x0", "x1", "flag"]
        graph = helper.make_graph(
            self._nodes,
            "drawn",
            [_describe(name) for name in feeds],
            [_describe(name) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self._weights.items()],
        )
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])

    def _pick(self) -> str:
        """Pick a value, recent ones more often, so that chains and skips both arise."""
        recent = self._rng.random() < 0.6
        return self._rng.choice(self._values[-3:] if recent else self._values)

    def _add(
        self,
        op_type: str,
        inputs: list[str],
        outputs: int = 1,
        **attributes: Any,  # noqa: ANN401 - numbers and graphs, as make_node takes them
    ) -> None:
        """Add a node over picked values."""
        names = [f"v{len(self._values) + place}" for place in range(outputs)]
        # Not every node has a name of its own.
        name = self._rng.choice(("", "", f"node {len(self._nodes)}", "repeated"))
        self._nodes.append(helper.make_node(op_type, inputs, names, name=name, **attributes))
        self._values += names

    def _unary(self) -> None:
        self._add(self._rng.choice(UNARY), [self._pick()])

    def _binary(self) -> None:
        one = self._pick()
        self._add(
            self._rng.choice(BINARY), [one, one if self._rng.random() < 0.2 else self._pick()]
        )

    def _weighted(self) -> None:
        self._add(self._rng.choice(BINARY), [self._pick(), self._weight()])

    def _cone(self) -> None:
        """Add an operator that reads a constant which is itself computed."""
        name = f"k{len(self._nodes)}"
        self._nodes.append(helper.make_node(self._rng.choice(UNARY), [self._weight()], [name]))
        self._add("Mul", [self._pick(), name])
        if self._rng.random() < 0.5:
            self._add("Add", [self._pick(), name])

    def _split(self) -> None:
        """Add an operator with two outputs."""
        both = f"c{len(self._nodes)}"
        node = helper.make_node("Concat", [self._pick(), self._pick()], [both], axis=0)
        self._nodes.append(node)
        self._add("Split", [both], outputs=2, axis=0)

    def _if(self) -> None:
        """Add a branch whose bodies capture values and weights."""
        number = len(self._nodes)
        bodies = [
            helper.make_graph(
                [
                    helper.make_node(
                        self._rng.choice(BINARY), [self._pick(), captured], [f"b{number}{side}"]
                    )
                ],
                side,
                [],
                [_describe(f"b{number}{side}")],
            )
            for side, captured in (("yes", self._pick()), ("no", self._weight()))
        ]
        self._add("If", ["flag"], then_branch=bodies[0], else_branch=bodies[1])

    def _weight(self) -> str:
        """Name a new weight, or one that is there already."""
        if self._weights and self._rng.random() < 0.5:
            return self._rng.choice(sorted(self._weights))
        name = f"w{len(self._weights)}"
        self._weights[name] = self._arrays.standard_normal(SHAPE).astype(np.float32)
        return name


def _describe(name: str) -> onnx.ValueInfoProto:
    if name == "flag":
        return helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, [])
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, SHAPE)


def check_seeds(seeds: range) -> Counter[str]:
    """Draw a model for each seed, cut it in several places, and count what was covered."""
    covered: Counter[str] = Counter()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        feeds: dict[str, Value] = {
            "x0": rng.standard_normal(SHAPE).astype(np.float32),
            "x1": rng.standard_normal(SHAPE).astype(np.float32),
            "flag": np.array(rng.random() < 0.5),
        }
        subject = prepare_subject(f"seed {seed}", ModelDrawer(seed).draw(), feeds)
        drawer = random.Random(seed)
        for _ in range(4):
            one, two = (draw_ideal(subject.graph, drawer) for _ in range(2))
            assert check_cut(subject, split_at(subject.graph, one)) is not None
            assert check_cut(subject, split_at(subject.graph, one, one | two)) is not None
            covered["cuts"] += 1
            covered["proper"] += 0 < len(one) < len(subject.graph)
            covered["several crossings"] += count_crossings(subject.graph, one) > 1
        types = {operator.op_type for operator in subject.graph}
        covered.update(types)
        covered["constant cones"] += bool(subject.graph.constant_operators)
        covered["dead operators"] += bool(subject.graph.dead_operators)
    return covered


def check_coverage(covered: Counter[str], models: int) -> None:
    """Each feature is in a fair share of the models, or the test shows nothing."""
    assert covered["proper"] >= covered["cuts"] // 2, covered
    assert covered["several crossings"] >= covered["cuts"] // 5, covered
    for feature in ("If", "Split", "constant cones", "dead operators"):
        assert covered[feature] >= models // 5, covered


def test_stages_of_random_models_equal_the_whole() -> None:
    check_coverage(check_seeds(range(120)), 120)


@pytest.mark.slow
def test_stages_of_many_random_models_equal_the_whole() -> None:
    check_coverage(check_seeds(range(1000, 3000)), 2000)
