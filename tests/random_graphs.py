"""Random operator graphs with hand-made profiles, and a brute-force planner for them.

The brute force shares no code with the planner: it tries every order ideal and prices it in
fractions, from the sentence that defines latency.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from onnxsplit.graph import ModelIdentity, Operator, OperatorGraph, TensorSpec
from onnxsplit.planning.costs.question import Question, pose_question
from onnxsplit.profiles import OperatorGroup, Profile
from onnxsplit.tiers import Link, Topology

RATES = (2e3, 3e3, 7e3, 1.1e4, 2e4)


@dataclass(frozen=True)
class Case:
    graph: OperatorGraph
    profiles: Mapping[str, Profile]
    topology: Topology

    @property
    def question(self) -> Question:
        """The case as the planner takes it."""
        return pose_question(self.graph, self.profiles, self.topology)


@dataclass(frozen=True, order=True)
class Price:
    """Total, whether it splits, crossings, crossing bytes: in the order in which ties break."""

    seconds: Fraction
    splits: bool
    crossings: int
    crossing_bytes: int


def draw_graph(rng: random.Random, *, most: int = 8) -> OperatorGraph:
    """Draw a DAG with several inputs, multi-output operators, repeats and inner outputs."""
    inputs = tuple(f"in{i}" for i in range(rng.randint(1, 3)))
    sizes = {name: rng.randint(0, 60) for name in inputs}
    operators: list[Operator] = []
    for index in range(rng.randint(1, most)):
        known = list(sizes)
        reads = tuple(dict.fromkeys(rng.choice(known[-6:]) for _ in range(rng.randint(0, 3))))
        makes = tuple(f"t{index}.{place}" for place in range(rng.choice([1, 1, 1, 2, 3])))
        operators.append(
            Operator(
                name=f"op{index}",
                op_type=rng.choice(["Conv", "Relu", "Add"]),
                domain="",
                index=index,
                inputs=reads,
                outputs=makes,
            )
        )
        sizes.update({name: rng.randint(0, 60) for name in makes})
    made = [name for operator in operators for name in operator.outputs]
    used = {name for operator in operators for name in operator.inputs}
    outputs = {name for name in made if name not in used and rng.random() < 0.7}
    outputs |= {name for name in made if rng.random() < 0.1}
    outputs |= {name for name in inputs if rng.random() < 0.1}
    outputs.add(made[-1])
    return OperatorGraph(
        identity=ModelIdentity(),
        operators=tuple(operators),
        tensors={
            name: TensorSpec(name=name, dtype="uint8", shape=(size,))
            for name, size in sizes.items()
        },
        inputs=inputs,
        outputs=tuple(sorted(outputs)),
    )


def draw_case(
    rng: random.Random, *, groups: bool = False, most: int = 8, stuck: bool = False
) -> Case:
    """Draw a graph with profiles and a link, in figures that tie often."""
    graph = draw_graph(rng, most=most)
    if stuck:
        graph = _stick_values(rng, graph)
    scale = rng.choice([1, 2, 3])
    return Case(
        graph=graph,
        profiles={
            "device": _draw_profile(rng, graph, "device", 20 * scale, groups=groups),
            "server": _draw_profile(rng, graph, "server", rng.choice([4, 10]), groups=groups),
        },
        topology=Topology.pair(
            Link(
                up_bytes_per_second=rng.choice(RATES),
                down_bytes_per_second=rng.choice(RATES),
                round_trip_seconds=rng.choice([0.0, 0.001, 0.02]),
            )
        ),
    )


def tilt(case: Case) -> Case:
    """Make early operators cheap on the device, late ones on the server, and inputs large.

    Costs and sizes stay decimals. The best cut then mostly lies inside, with several crossings.
    """
    count = len(case.graph)

    def scale(tier: str, name: str) -> float:
        place = case.graph.position(name) + 1
        return 2 * (place if tier == "device" else count + 1 - place) / (count + 1)

    profiles = {
        tier: replace(
            profile,
            groups=tuple(
                replace(group, seconds=round(group.seconds * scale(tier, group.operators[0]), 3))
                for group in profile.groups
            ),
        )
        for tier, profile in case.profiles.items()
    }
    large = {
        name: replace(case.graph.tensors[name], shape=(40 * (place + 3),))
        for place, name in enumerate(case.graph.inputs)
    }
    graph = replace(case.graph, tensors={**case.graph.tensors, **large})
    return replace(case, graph=graph, profiles=profiles)


def roughen(rng: random.Random, case: Case) -> Case:
    """Replace a case's decimals by floats of many digits and magnitudes, which ticks must round."""
    profiles = {
        tier: replace(
            profile,
            groups=tuple(
                replace(
                    group, seconds=group.seconds * rng.uniform(0.5, 1.5) * 10 ** rng.choice([-3, 0])
                )
                for group in profile.groups
            ),
        )
        for tier, profile in case.profiles.items()
    }
    (link,) = case.topology.links
    rough = replace(
        link,
        up_bytes_per_second=link.up_bytes_per_second * rng.uniform(0.5, 1.5),
        down_bytes_per_second=link.down_bytes_per_second * rng.uniform(0.5, 1.5),
        round_trip_seconds=link.round_trip_seconds * rng.uniform(0.5, 1.5),
    )
    return replace(case, profiles=profiles, topology=Topology.pair(rough))


def _stick_values(rng: random.Random, graph: OperatorGraph) -> OperatorGraph:
    """Make some values unable to travel, and add a model output that is a constant."""
    tensors = {
        name: replace(spec, dtype=None) if rng.random() < 0.15 else spec
        for name, spec in graph.tensors.items()
    }
    constant = TensorSpec(name="constant", dtype="uint8", shape=(40,))
    return replace(
        graph,
        tensors={**tensors, "constant": constant},
        outputs=(*graph.outputs, "constant"),
        constant_outputs=("constant",),
    )


def _draw_profile(
    rng: random.Random, graph: OperatorGraph, tier: str, most_ms: int, *, groups: bool
) -> Profile:
    names = [operator.name for operator in graph]
    bundles: list[list[str]] = []
    for name in names:
        if groups and bundles and rng.random() < 0.1:
            bundles[-1].append(name)
        else:
            bundles.append([name])
    return Profile(
        tier=tier,
        groups=tuple(
            OperatorGroup(operators=tuple(bundle), seconds=rng.randint(0, most_ms) / 1000)
            for bundle in bundles
        ),
    )


def list_ideals(graph: OperatorGraph) -> Iterator[frozenset[str]]:
    """Yield every set of operators that is closed under predecessors."""
    names = [operator.name for operator in graph]
    before = {name: graph.predecessors(name) for name in names}

    def extend(place: int, chosen: frozenset[str]) -> Iterator[frozenset[str]]:
        if place == len(names):
            yield chosen
            return
        yield from extend(place + 1, chosen)
        if all(name in chosen for name in before[names[place]]):
            yield from extend(place + 1, chosen | {names[place]})

    return extend(0, frozenset())


def price_by_hand(case: Case, device: frozenset[str]) -> Price | None:
    """Price an ideal in fractions; None if it divides a group or sends what can't travel."""
    graph, link = case.graph, case.topology.links[0]
    server = {operator.name for operator in graph} - device
    total = Fraction(0)
    for tier, here in (("device", device), ("server", server)):
        for group in case.profiles[tier].groups:
            inside = sum(name in here for name in group.operators)
            if 0 < inside < len(group.operators):
                return None
            total += Fraction(str(group.seconds)) if inside else 0
    maker = {tensor: operator.name for operator in graph for tensor in operator.outputs}
    crossing = {
        tensor
        for operator in graph
        if operator.name in server
        for tensor in operator.inputs
        if maker.get(tensor, "") not in server
    }
    sizes = {name: spec.size_bytes for name, spec in graph.tensors.items()}
    uploaded = downloaded = 0
    for tensor in crossing:
        size = sizes[tensor]
        if size is None:
            return None
        uploaded += size
    for tensor in graph.outputs:
        if maker.get(tensor) in server:
            size = sizes[tensor]
            if size is None:
                return None
            downloaded += size
    total += Fraction(uploaded) / Fraction(str(link.up_bytes_per_second))
    total += Fraction(downloaded) / Fraction(str(link.down_bytes_per_second))
    if server:
        total += Fraction(str(link.round_trip_seconds))
    return Price(total, bool(server) and bool(device), len(crossing), uploaded)
