"""Graphs of the sample networks with drawn costs, for tests of the planner."""

import random
from functools import cache

from onnxsplit.engines.port import EngineOptions
from onnxsplit.graph import OperatorGraph
from onnxsplit.model.inputs import draw_inputs
from onnxsplit.model.loading import load_model
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import resolve_tensors
from onnxsplit.model.sizes import SizeOptions, fix_input_specs
from onnxsplit.profiles import OperatorGroup, Profile
from samples.networks import build_reduced

SEED = 7


@cache
def read_sample(name: str) -> OperatorGraph:
    """Return the graph of a reduced sample network, with sizes."""
    model = load_model(build_reduced(name))
    feeds = draw_inputs(model, fix_input_specs(model, SizeOptions()), seed=SEED)
    return read_graph(model, resolve_tensors(model, feeds, EngineOptions(threads=1)))


def draw_costs(graph: OperatorGraph, *, ratio: float = 20.0) -> dict[str, Profile]:
    """Draw seconds for every operator: more for those that make more, and a slow device."""
    rng = random.Random(SEED)
    seconds = {
        operator.name: rng.uniform(0.5, 1.5)
        * (1e-6 + 1e-9 * sum(graph.tensors[name].size_bytes or 0 for name in operator.outputs))
        for operator in graph
    }
    return {
        tier: Profile(
            tier=tier,
            groups=tuple(
                OperatorGroup(operators=(name,), seconds=factor * value)
                for name, value in seconds.items()
            ),
        )
        for tier, factor in (("device", ratio), ("server", 1.0))
    }
