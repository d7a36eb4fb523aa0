"""Weights that are trained apart: priced as if the model held a copy for each reader."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import InfeasiblePlacementError
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import resolve_tensors
from onnxsplit.objectives import TrainingDelay
from onnxsplit.planning.costs.pricing import price_placement
from onnxsplit.planning.costs.question import Question, pose_question
from onnxsplit.planning.costs.untying import untie_weights
from onnxsplit.planning.cuts.separators import place_prefix
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.planning.plans import make_plan
from onnxsplit.tiers import Link, Topology
from tests.sample_graphs import draw_costs
from tests.training_models import make_tied

LINK = Link(up_bytes_per_second=2e7, down_bytes_per_second=5e7, round_trip_seconds=1e-4)


def read(proto: onnx.ModelProto) -> OperatorGraph:
    model = load_model(proto)
    feeds = {"x": np.zeros((4, 6), np.float32)}
    return read_graph(model, resolve_tensors(model, feeds, EngineOptions()))


def make_copied() -> onnx.ModelProto:
    """The tied model with a copy of its weight for the second reader."""
    proto = make_tied()
    weight = numpy_helper.to_array(next(t for t in proto.graph.initializer if t.name == "w"))
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w@again"))
    next(node for node in proto.graph.node if node.name == "again").input[1] = "w@again"
    return proto


def ask(graph: OperatorGraph, frozen: tuple[str, ...] = ()) -> Question:
    objective = TrainingDelay(frozen=frozen)
    return pose_question(graph, draw_costs(graph), Topology.pair(LINK), objective=objective)


def test_untied_weights_cost_what_copies_in_the_model_cost() -> None:
    untied, copied = untie_weights(read(make_tied())), read(make_copied())
    assert [op.weights for op in untied] == [op.weights for op in copied]
    assert dict(untied.weight_bytes) == dict(copied.weight_bytes)
    for count in range(len(untied) + 1):
        placement = place_prefix(untied, count)
        assert price_placement(ask(untied), placement).value == pytest.approx(
            price_placement(ask(copied), placement).value, rel=1e-12
        )


def test_readers_of_one_weight_part_only_where_it_is_untied() -> None:
    tied = read(make_tied())
    parted = Constraints(pin_device=("encode",), pin_server=("again",))
    with pytest.raises(InfeasiblePlacementError, match=r"'again' .* share a tier with 'encode'"):
        make_plan(ask(tied), constraints=parted)
    plan = make_plan(ask(untie_weights(tied)), constraints=parted)
    assert plan.placement.tier_of["again"] == "server"


def test_a_weight_that_a_frozen_operator_reads_keeps_its_name_there() -> None:
    graph = untie_weights(read(make_tied()), ("encode",))
    assert graph.operator("encode").weights == ("w",)
    assert graph.operator("again").weights == ("w@again",)
    assert ask(graph, ("encode",)).together == ()
