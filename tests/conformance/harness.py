"""Cut a model, run the stages in a chain, and compare with the unsplit model bit by bit."""

import contextlib
import copy
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from google.protobuf.message import Message

from onnxsplit.engines.ort import open_session
from onnxsplit.engines.port import EngineOptions, Value
from onnxsplit.errors import InfeasiblePlacementError, UnsupportedModelError
from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.model.carving import carve_stages
from onnxsplit.model.loading import LoadedModel, ModelSource, load_model
from onnxsplit.model.merging import join_stages
from onnxsplit.model.reading import read_graph
from onnxsplit.model.shapes import find_symbolic_specs, resolve_tensors
from onnxsplit.model.stages import Carving
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.question import pose_question
from onnxsplit.planning.plans import make_plan
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import LINK_PRESETS, Topology

PLAIN = EngineOptions(threads=1, optimization="disabled")
TIERS = ("device", "server")
COMPARISONS = ("bits", "rounding", "shapes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model that runs, with what it gives for some inputs.

    Parameters
    ----------
    name : str
    model : LoadedModel
    graph : OperatorGraph
    tensors, boundary : mapping of str to TensorSpec
        Sizes that were met, and types with symbolic dims.
    feeds, expected : mapping of str to value
        Inputs, and the unsplit model's outputs.
    """

    name: str
    model: LoadedModel
    graph: OperatorGraph
    tensors: Mapping[str, TensorSpec]
    boundary: Mapping[str, TensorSpec]
    feeds: Mapping[str, Value]
    expected: Mapping[str, Value]

    @property
    def comparison(self) -> str:
        """How outputs can be compared: ``bits``, ``rounding`` or ``shapes``.

        Random operators give other values at every run. On the CPU onnxruntime computes operators
        of float16 in float32 and leaves out the rounding between neighbours, but not at a cut.
        """
        if any(operator.is_random for operator in self.graph):
            return "shapes"
        dtypes = {spec.dtype for spec in self.tensors.values()}
        return "rounding" if "float16" in dtypes else "bits"


@dataclass(slots=True)
class Tally:
    """What was tried, counted as it happens."""

    models: int = 0
    cuts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COMPARISONS, 0))
    refused: int = 0
    unloadable: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.models} models; cuts run and compared: {self.cuts['bits']} bit by bit,"
            f" {self.cuts['rounding']} up to float16 rounding, {self.cuts['shapes']} by shape;"
            f" {self.refused} cuts refused with a reason;"
            f" {len(self.unloadable)} models that onnxruntime does not run"
        )


def prepare_subject(name: str, source: ModelSource, feeds: Mapping[str, Value]) -> Subject:
    """Load a model and run it unsplit; ModelError if onnxruntime does not run it."""
    model = load_model(source)
    with open_session(
        model.proto.SerializeToString(), PLAIN, base_folder=model.base_folder
    ) as session:
        expected = session.run(copy_values(feeds))
    tensors = resolve_tensors(model, copy_values(feeds), PLAIN)
    graph = read_graph(model, tensors)
    values = [value for operator in graph for value in operator.outputs]
    return Subject(
        name=name,
        model=model,
        graph=graph,
        tensors=tensors,
        boundary=find_symbolic_specs(model, tensors, values, PLAIN),
        feeds=feeds,
        expected=expected,
    )


def check_cut(subject: Subject, placement: Placement) -> Carving | None:
    """Carve along a placement, run the stages in a chain, and compare every output.

    Returns
    -------
    Carving or None
        None if the cut was refused because what would cross can't; that is checked too.
    """
    stuck = find_stuck_values(subject.graph, placement)
    if stuck:
        with pytest.raises(
            UnsupportedModelError, match="|".join(re.escape(repr(v)) for v in stuck)
        ):
            carve_stages(subject.model, subject.graph, placement, subject.boundary)
        return None
    carving = carve_stages(subject.model, subject.graph, placement, subject.boundary)
    check_operators(subject, carving)
    check_merged(subject, carving)
    results = run_stages(carving, subject.feeds)
    same = {"bits": is_equal, "rounding": is_close, "shapes": is_alike}[subject.comparison]
    for name, expected in subject.expected.items():
        place = f"{subject.name}, {describe(placement)}: {name!r}"
        assert same(results[name], expected), f"{place} differs"
    return carving


def run_stages(carving: Carving, feeds: Mapping[str, Value]) -> dict[str, Value]:
    """Run the stages in order; each sees the model inputs and what earlier stages gave."""
    values: dict[str, Value] = dict(feeds)
    for stage in carving.stages:
        content = stage.proto.SerializeToString()
        with open_session(content, PLAIN, base_folder=stage.base_folder) as session:
            wanted = {spec.name: values[spec.name] for spec in stage.inputs}
            assert {spec.name for spec in session.inputs} == set(wanted)
            values |= session.run(copy_values(wanted), [spec.name for spec in stage.outputs])
    return values


def copy_values(values: Mapping[str, Value]) -> dict[str, Value]:
    """Copy inputs: onnxruntime's training-mode BatchNormalization writes into what it is fed."""
    return copy.deepcopy(dict(values))


def check_operators(subject: Subject, carving: Carving) -> None:
    """Every node of the model is in one stage, byte for byte; constants may be in several."""
    model, graph = subject.model.proto, subject.graph
    dead, constant = set(graph.dead_operators), set(graph.constant_operators)
    wanted = Counter(encode(n) for n in model.graph.node if n.name not in dead | constant)
    found: Counter[bytes] = Counter()
    for stage in carving.stages:
        nodes = [node for node in stage.proto.graph.node if node.name not in constant]
        found.update(encode(node) for node in nodes)
        copies = Counter(n.name for n in stage.proto.graph.node if n.name in constant)
        assert all(count == 1 for count in copies.values()), copies
    assert found == wanted, f"{subject.name}: operators were lost, doubled or changed"


def check_merged(subject: Subject, carving: Carving) -> None:
    """Joining the stages gives the model again, but for what no live operator needs."""
    model, dead = subject.model.proto, set(subject.graph.dead_operators)
    merged = join_stages([stage.proto for stage in carving.stages], subject.model.base_folder)
    assert list(merged.graph.node) == [n for n in model.graph.node if n.name not in dead]
    assert merged.graph.output == model.graph.output
    stored = {tensor.name for tensor in model.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in stored]
    assert [value for value in merged.graph.input if value.name not in stored] == fed
    if not carving.report.dropped and not carving.report.notes:
        assert encode(merged) == encode(model)


def find_stuck_values(graph: OperatorGraph, placement: Placement) -> list[str]:
    """Find the values that would have to cross and are no dense tensors of a known type."""
    tier_of = placement.tier_of
    return [
        value
        for operator in graph
        for value in operator.outputs
        if (graph.tensors[value].kind != "tensor" or graph.tensors[value].dtype is None)
        and any(tier_of[user] != tier_of[operator.name] for user in graph.consumers(value))
    ]


def is_equal(one: Value, other: Value) -> bool:
    """Compare values bit by bit; NaNs and the sign of zero count."""
    if not is_alike(one, other):
        return False
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.dtype.kind in "OUS":
            return bool(one.tolist() == other.tolist())
        return one.tobytes() == other.tobytes()
    if one is None or other is None:
        return one is other
    return all(is_equal(a, b) for a, b in zip(one, other, strict=True))


def is_close(one: Value, other: Value) -> bool:
    """Compare float16 values, and what was computed from them, up to a few roundings."""
    if not is_alike(one, other):
        return False
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.dtype.kind not in "fc":
            return is_equal(one, other)
        finite = other[np.isfinite(other)].astype(np.float64)
        largest = np.max(np.abs(finite), initial=0.0)
        return np.allclose(one, other, rtol=0, atol=4e-3 * largest, equal_nan=True)
    return one is other if one is None or other is None else all(map(is_close, one, other))


def is_alike(one: Value, other: Value) -> bool:
    """Compare kind, element type and shape."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return False
    return (one is None) == (other is None) and len(one or ()) == len(other or ())


def split_at(graph: OperatorGraph, *ideals: frozenset[str]) -> Placement:
    """Place nested sets of operators, each closed under predecessors, on the tiers in turn."""
    tiers = TIERS if len(ideals) == 1 else tuple(f"tier{i}" for i in range(len(ideals) + 1))
    ranks = {op.name: sum(op.name not in ideal for ideal in ideals) for op in graph}
    return Placement(tiers=tiers, tier_of={name: tiers[rank] for name, rank in ranks.items()})


def list_ideals(graph: OperatorGraph, limit: int) -> list[frozenset[str]] | None:
    """List every set of operators that is closed under predecessors; None above a limit."""
    found = {frozenset[str]()}
    pending = [frozenset[str]()]
    while pending:
        ideal = pending.pop()
        for operator in graph:
            ready = all(name in ideal for name in graph.predecessors(operator.name))
            larger = ideal | {operator.name}
            if ready and larger not in found:
                found.add(larger)
                pending.append(larger)
        if len(found) > limit:
            return None
    return sorted(found, key=lambda ideal: (len(ideal), sorted(ideal)))


def draw_ideal(graph: OperatorGraph, rng: random.Random) -> frozenset[str]:
    """Draw a prefix of a random topological order."""
    size = rng.randint(0, len(graph))
    ideal: set[str] = set()
    waiting = {op.name: len(graph.predecessors(op.name)) for op in graph}
    ready = sorted(name for name, count in waiting.items() if not count)
    while len(ideal) < size:
        name = ready.pop(rng.randrange(len(ready)))
        ideal.add(name)
        for user in graph.successors(name):
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    return frozenset(ideal)


def find_narrow_cuts(graph: OperatorGraph) -> list[frozenset[str]]:
    """Find the cuts below an operator over which a single value travels."""
    below: dict[str, frozenset[str]] = {}
    cuts = []
    for operator in graph:
        before = [below[name] for name in graph.predecessors(operator.name)]
        ideal = frozenset({operator.name}).union(*before)
        below[operator.name] = ideal
        if count_crossings(graph, ideal) == 1:
            cuts.append(ideal)
    return cuts


def count_crossings(graph: OperatorGraph, ideal: frozenset[str]) -> int:
    """Count the operators' values that travel out of a set."""
    values = (value for name in ideal for value in graph.operator(name).outputs)
    return sum(any(user not in ideal for user in graph.consumers(value)) for value in values)


def choose_cuts(graph: OperatorGraph, *, seed: int, most: int) -> Iterator[Placement]:
    """Choose cuts: all of them when few, else narrow, optimal and random ones; one of three tiers.

    The optimal ones are what the planner chooses for links from slow to fast.
    """
    rng = random.Random(seed)
    ideals = list_ideals(graph, most) if len(graph) <= most else None
    if ideals is None:
        yield from plan_cuts(graph, rng)
        narrow = find_narrow_cuts(graph)
        narrow = rng.sample(narrow, min(len(narrow), most // 2))
        ideals = [*narrow, *(draw_ideal(graph, rng) for _ in range(most - len(narrow)))]
    for ideal in dict.fromkeys(ideals):
        yield split_at(graph, ideal)
    one, other = sorted((draw_ideal(graph, rng), draw_ideal(graph, rng)), key=len)
    yield split_at(graph, one, one | other)


def plan_cuts(graph: OperatorGraph, rng: random.Random) -> list[Placement]:
    """Plan the best proper split for several links, with seconds that were drawn."""
    groups = [OperatorGroup(operators=(op.name,), seconds=rng.random() / 1000) for op in graph]
    server = Profile(tier="server", groups=tuple(groups))
    profiles = {"device": server.scale(0.1), "server": server}
    plans = []
    for link in LINK_PRESETS.values():
        with contextlib.suppress(InfeasiblePlacementError):
            plans.append(
                make_plan(pose_question(graph, profiles, Topology.pair(link)), require_split=True)
            )
    distinct = {frozenset(plan.placement.operators("device")): plan.placement for plan in plans}
    return list(distinct.values())


def describe(placement: Placement) -> str:
    """Say which operators are where, for a failure's message."""
    return "; ".join(f"{t}: {', '.join(placement.operators(t))}" for t in placement.tiers)


def encode(message: Message) -> bytes:
    """Serialize a message so that equal ones give equal bytes."""
    return message.SerializeToString(deterministic=True)


def check_all(subject: Subject, tally: Tally, placements: Sequence[Placement]) -> None:
    """Check cuts one after the other, and count them."""
    tally.models += 1
    for placement in placements:
        if check_cut(subject, placement) is None:
            tally.refused += 1
        else:
            tally.cuts[subject.comparison] += 1
