"""Placements priced by hand, in fractions, for every objective: an oracle that shares no code."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from onnxsplit.graph import OperatorGraph, TensorSpec
from onnxsplit.objectives import Energy, InferenceLatency, Objective, Power, TrainingDelay
from onnxsplit.planning.costs.question import DataPlaces, Question, State, WireFormat, pose_question
from onnxsplit.profiles import BoundaryCost, Profile
from onnxsplit.tiers import Link, Topology
from tests.random_graphs import Case, draw_case, tilt

Tiers = Mapping[str, int]
"""Operator to the place of its tier."""


def exact(number: float) -> Fraction:
    return Fraction(str(number))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A case with everything that a plan may be asked for."""

    case: Case
    names: tuple[str, ...]
    profiles: Mapping[str, Profile]
    links: tuple[Link, ...]
    objective: Objective = field(default_factory=InferenceLatency)
    places: DataPlaces = field(default_factory=DataPlaces)
    wires: Mapping[str, WireFormat] = field(default_factory=dict)

    @property
    def graph(self) -> OperatorGraph:
        """The graph."""
        return self.case.graph

    @property
    def question(self) -> Question:
        """What the planner takes."""
        return pose_question(
            self.graph,
            self.profiles,
            Topology(tiers=self.names, links=self.links),
            objective=self.objective,
            places=self.places,
            wires=self.wires,
        )


def list_placements(graph: OperatorGraph, tiers: int) -> Iterator[dict[str, int]]:
    """Yield every placement in which nothing comes back."""
    names = [operator.name for operator in graph]
    before = {name: graph.predecessors(name) for name in names}
    for choice in itertools.product(range(tiers), repeat=len(names)):
        tier = dict(zip(names, choice, strict=True))
        if all(tier[maker] <= tier[name] for name in names for maker in before[name]):
            yield tier


def price_by_hand(asked: Asked, tier: Tiers) -> Fraction | None:
    """Price a placement; None if it is not allowed."""
    if any(
        len({tier[name] for name in group.operators}) > 1
        for profile in asked.profiles.values()
        for group in profile.groups
    ):
        return None
    if isinstance(asked.objective, TrainingDelay):
        return _price_training(asked, asked.objective, tier)
    return _price_inference(asked, tier)


def _second(asked: Asked, kind: str, place: int) -> Fraction:
    """What a second of an activity counts."""
    if isinstance(asked.objective, InferenceLatency):
        return Fraction(1)
    assert isinstance(asked.objective, Energy)
    powers = [asked.objective.powers.get(name, Power()) for name in asked.names]
    waiting = exact(asked.objective.joules_per_second)
    own = {
        "compute": powers[place].compute_watts,
        "up": powers[place].transmit_watts,
        "down": powers[place].receive_watts,
        "trip": powers[place].idle_watts,
    }[kind]
    return waiting + exact(own) + sum(exact(power.idle_watts) for power in powers[:place])


def _price_inference(asked: Asked, tier: Tiers) -> Fraction | None:
    graph, places = asked.graph, asked.places
    maker = {tensor: operator.name for operator in graph for tensor in operator.outputs}
    for state in places.states:
        users = {name for name in tier if state.past in graph.operator(name).inputs}
        users |= {maker[state.present]} if state.present in maker else set()
        if len({tier[name] for name in users}) > 1:
            return None
    costs: list[Fraction | None] = [_price_work(asked, tier), _price_trips(asked, tier)]
    pasts = {state.past for state in places.states}
    for tensor in (*graph.inputs, *maker):
        if tensor not in pasts:
            start = tier[maker[tensor]] if tensor in maker else 0
            costs += [
                _price_hop(asked, tensor, *hop) for hop in list_hops(asked, tier, tensor, start)
            ]
            if tensor in graph.outputs and tensor in maker:
                costs.append(_price_return(asked, tensor, start))
    return None if None in costs else sum((cost for cost in costs if cost), Fraction(0))


def _price_work(asked: Asked, tier: Tiers) -> Fraction:
    total = Fraction(0)
    for place, name in enumerate(asked.names):
        profile = asked.profiles[name]
        for group in profile.groups:
            if tier[group.operators[0]] == place:
                total += exact(group.seconds) * _second(asked, "compute", place)
        if place in tier.values() if place == 0 else any(t >= place for t in tier.values()):
            total += exact(profile.run_seconds) * _second(asked, "compute", place)
    return total


def list_hops(asked: Asked, tier: Tiers, tensor: str, start: int) -> list[tuple[int, int]]:
    """List the neighbouring tiers between which a value travels to its readers."""
    last, places = len(asked.names) - 1, asked.places
    readers = [tier[op.name] for op in asked.graph if tensor in op.inputs]
    if tensor in places.inputs_at_last:
        return [(place, place - 1) for place in range(last, min(readers, default=last), -1)]
    wanted = [last] if tensor in places.outputs_at_last else []
    return [(place, place + 1) for place in range(start, max([*readers, *wanted], default=0))]


def _price_return(asked: Asked, tensor: str, start: int) -> Fraction | None:
    """Price a model output's way back."""
    presents = {state.present for state in asked.places.states}
    if tensor in asked.places.outputs_at_last | presents:
        return Fraction(0)
    size = asked.graph.tensors[tensor].size_bytes
    if start and size is None:
        return None
    return sum(
        (
            Fraction(size or 0)
            / exact(asked.links[link].down_bytes_per_second)
            * _second(asked, "down", link)
            for link in range(start)
        ),
        Fraction(0),
    )


def _price_hop(asked: Asked, tensor: str, here: int, there: int) -> Fraction | None:
    wire = asked.wires.get(tensor)
    size = wire.size_bytes if wire else asked.graph.tensors[tensor].size_bytes
    if size is None:
        return None
    link = min(here, there)
    rate = asked.links[link].up_bytes_per_second
    kind = "up"
    if there < here:
        rate, kind = asked.links[link].down_bytes_per_second, "down"
    cost = Fraction(size) / exact(rate) * _second(asked, kind, link)
    sent = asked.profiles[asked.names[here]].boundaries.get(tensor, BoundaryCost()).send_seconds
    taken = asked.profiles[asked.names[there]].boundaries.get(tensor, BoundaryCost())
    send, take = exact(sent), exact(taken.receive_seconds)
    if wire:
        send, take = send + exact(wire.send_seconds), take + exact(wire.receive_seconds)
    return cost + send * _second(asked, "compute", here) + take * _second(asked, "compute", there)


def _price_trips(asked: Asked, tier: Tiers) -> Fraction:
    places, graph = asked.places, asked.graph
    total = Fraction(0)
    for place, link in enumerate(asked.links):
        pays = any(t > place for t in tier.values())
        if places.inputs_at_last or places.outputs_at_last:
            everything = places.inputs_at_last >= set(graph.inputs)
            everything = everything and places.outputs_at_last >= set(graph.outputs)
            pays = not everything or any(t <= place for t in tier.values())
        if pays:
            total += exact(link.round_trip_seconds) * _second(asked, "trip", place)
    return total


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Which operators learn, by looking up and down from each of them."""

    graph: OperatorGraph
    frozen: Sequence[str]

    @property
    def trained(self) -> set[str]:
        """Initializers that are trained."""
        graph = self.graph
        return {
            weight
            for weight, dtype in graph.weight_dtypes.items()
            if dtype == "float32" and graph.weight_bytes[weight] > 4 and weight not in self.frozen
        }

    def is_soft(self, tensor: str) -> bool:
        """Whether a value is floating-point."""
        return self.graph.tensors[tensor].dtype == "float32"

    def learns(self, name: str) -> bool:
        """Whether the operator, or something upstream, is trained."""
        operator = self.graph.operator(name)
        return bool(self.trained & set(operator.weights)) or any(
            self.has_source(tensor) for tensor in operator.inputs
        )

    def has_source(self, tensor: str) -> bool:
        """Whether a value changes with something that is trained."""
        maker = self.graph.producer(tensor)
        if maker is None or not self.is_soft(tensor):
            return False
        return self.graph.operator(maker).op_type != "Shape" and self.learns(maker)

    def leads(self, name: str) -> bool:
        """Whether the loss changes with what the operator reads."""
        operator = self.graph.operator(name)
        return operator.op_type != "Shape" and any(self.counts(t) for t in operator.outputs)

    def counts(self, tensor: str) -> bool:
        """Whether the loss changes with a value."""
        if not self.is_soft(tensor):
            return False
        return tensor in self.graph.outputs or any(
            self.leads(op.name) for op in self.graph if tensor in op.inputs
        )


def _price_training(asked: Asked, objective: TrainingDelay, tier: Tiers) -> Fraction | None:
    graph, link = asked.graph, asked.links[0]
    learning = Learning(graph=graph, frozen=objective.frozen)
    up, down = exact(link.up_bytes_per_second), exact(link.down_bytes_per_second)
    on_device = {weight for op in graph if tier[op.name] == 0 for weight in op.weights}
    at_server = {weight for op in graph if tier[op.name] == 1 for weight in op.weights}
    if on_device & at_server & learning.trained:
        return None
    model = sum((Fraction(graph.weight_bytes[w]) / down for w in on_device), Fraction(0))
    model += sum(Fraction(graph.weight_bytes[w]) / up for w in on_device & learning.trained)
    choices = [
        _price_iteration(asked, objective, tier, learning, loss)
        for loss in (0, 1)
        if all(
            tier.get(graph.producer(tensor) or "", 0) <= loss
            for tensor in graph.outputs
            if learning.is_soft(tensor)
        )
    ]
    if None in choices:
        return None
    iteration = min(choice for choice in choices if choice is not None)
    passes = _price_passes(asked, tier, learning)
    return model + objective.iterations * (passes + iteration)


def _price_passes(asked: Asked, tier: Tiers, learning: Learning) -> Fraction:
    backward = {
        op.name for op in asked.graph if learning.learns(op.name) and learning.leads(op.name)
    }
    total = Fraction(0)
    for place, name in enumerate(asked.names):
        for group in asked.profiles[name].groups:
            if tier[group.operators[0]] == place:
                total += exact(group.seconds)
                if backward & set(group.operators):
                    total += exact(group.backward_seconds or 0.0)
    return total


def _price_iteration(
    asked: Asked, objective: TrainingDelay, tier: Tiers, learning: Learning, loss: int
) -> Fraction | None:
    """Price what one iteration transfers with the loss on one side."""
    graph, link = asked.graph, asked.links[0]
    up, down = exact(link.up_bytes_per_second), exact(link.down_bytes_per_second)
    cost = Fraction(0)
    for tensor, spec in graph.tensors.items():
        if tier.get(graph.producer(tensor) or "", 0) == 1:
            continue
        far = [op.name for op in graph if tensor in op.inputs and tier[op.name] == 1]
        to_loss = loss == 1 and tensor in graph.outputs and learning.is_soft(tensor)
        if not far and not to_loss:
            continue
        if spec.size_bytes is None:
            return None
        cost += Fraction(spec.size_bytes) / up
        if learning.has_source(tensor) and (to_loss or any(map(learning.leads, far))):
            cost += Fraction(spec.size_bytes) / down
    if (objective.labels_at == "server") == (loss == 0):
        rows = next((graph.tensors[name].shape or (1,) for name in graph.inputs), (1,))[0]
        size = 8 * int(rows or 0) if objective.label_bytes is None else objective.label_bytes
        cost += Fraction(size) / (down if loss == 0 else up)
    uses_link = loss == 1 or 1 in tier.values()
    return cost + (exact(link.round_trip_seconds) if uses_link else 0)


def draw_asked(rng: random.Random, kind: str) -> Asked:
    """Draw a case of a kind: tiers, places, states, wires, boundaries, energy or training."""
    tiers = 3 if kind == "tiers" else 2
    most = 6 if kind == "tiers" else 8
    case = draw_case(rng, groups=rng.random() < 0.5, most=most)
    if rng.random() < 0.6:
        case = tilt(case)
    names = ("device", "edge", "server") if kind == "tiers" else ("device", "server")
    profiles = {**case.profiles}
    if kind == "tiers":
        profiles["edge"] = replace(
            case.profiles["server"].scale(rng.choice([0.5, 0.25])), tier="edge"
        )
        profiles["edge"] = replace(profiles["edge"], evidence="measured", assumptions=())
    (link,) = case.topology.links
    further = replace(
        link, up_bytes_per_second=rng.choice([1e4, 2e4, 5e4]), round_trip_seconds=0.003
    )
    asked = Asked(case=case, names=names, profiles=profiles, links=(link, further)[: tiers - 1])
    return dress(rng, asked, kind)


def dress(rng: random.Random, asked: Asked, kind: str) -> Asked:
    """Add to a plain case what a kind asks for."""
    return _DRAW[kind](rng, asked)


def _draw_runs(rng: random.Random, asked: Asked) -> Asked:
    """Add what runs and boundaries cost."""
    profiles = {
        name: replace(
            profile,
            run_seconds=rng.choice([0.0, 0.004, 0.01]),
            boundaries={
                tensor: BoundaryCost(
                    send_seconds=rng.choice([0.0, 0.002]), receive_seconds=rng.choice([0.0, 0.003])
                )
                for tensor in asked.graph.tensors
                if rng.random() < 0.5
            },
        )
        for name, profile in asked.profiles.items()
    }
    return replace(asked, profiles=profiles)


def _draw_tiers(rng: random.Random, asked: Asked) -> Asked:
    return _draw_runs(rng, asked) if rng.random() < 0.5 else asked


def _draw_places(rng: random.Random, asked: Asked) -> Asked:
    places = DataPlaces(
        inputs_at_last=frozenset(name for name in asked.graph.inputs if rng.random() < 0.5),
        outputs_at_last=frozenset(name for name in asked.graph.outputs if rng.random() < 0.5),
    )
    return replace(asked, places=places)


def _draw_states(rng: random.Random, asked: Asked) -> Asked:
    pasts = [name for name in asked.graph.inputs if rng.random() < 0.6]
    presents = rng.sample(asked.graph.outputs, min(len(pasts), len(asked.graph.outputs)))
    states = tuple(State(past=a, present=b) for a, b in zip(pasts, presents, strict=False))
    return replace(asked, places=DataPlaces(states=states))


def _draw_wires(rng: random.Random, asked: Asked) -> Asked:
    wires = {
        name: WireFormat(
            name="int8",
            size_bytes=(spec.size_bytes or 0) // 4,
            send_seconds=rng.choice([0.0, 0.001]),
            receive_seconds=rng.choice([0.0, 0.001]),
        )
        for name, spec in asked.graph.tensors.items()
        if spec.size_bytes is not None and rng.random() < 0.4
    }
    return replace(_draw_runs(rng, asked), wires=wires)


def _draw_energy(rng: random.Random, asked: Asked) -> Asked:
    powers = {
        name: Power(
            compute_watts=rng.choice([0.5, 2.0, 5.0]),
            transmit_watts=rng.choice([0.0, 0.8, 2.5]),
            receive_watts=rng.choice([0.0, 0.6]),
            idle_watts=rng.choice([0.0, 0.1]),
        )
        for name in asked.names
        if rng.random() < 0.8
    }
    weight = rng.choice([0.0, 0.5, 4.0])
    return replace(
        _draw_runs(rng, asked), objective=Energy(powers=powers, joules_per_second=weight)
    )


def _draw_training(rng: random.Random, asked: Asked) -> Asked:
    graph = asked.graph
    operators = []
    weights: dict[str, int] = {}
    dtypes: dict[str, str] = {}
    for place, operator in enumerate(graph):
        mine = []
        if rng.random() < 0.5:
            mine.append(
                f"w{place}" if rng.random() < 0.8 or not weights else rng.choice(list(weights))
            )
            weights.setdefault(mine[0], rng.choice([4, 16, 16, 40, 40, 400, 400]))
            dtypes.setdefault(mine[0], rng.choice(["float32"] * 7 + ["int64"]))
        kind = "Shape" if rng.random() < 0.1 else "MatMul"
        operators.append(replace(operator, weights=tuple(mine), op_type=kind))
    tensors = {
        name: replace(spec, dtype="float32") if rng.random() < 0.92 else spec
        for name, spec in graph.tensors.items()
    }
    tensors |= {
        name: TensorSpec(name=name, dtype="float32", shape=tensors[name].shape)
        for name in graph.outputs[:1]
    }
    trained = replace(
        graph,
        operators=tuple(operators),
        tensors=tensors,
        weight_bytes=weights,
        weight_dtypes=dtypes,
    )
    frozen: Sequence[str] = [name for name in weights if rng.random() < 0.2]
    profiles = {
        name: replace(
            profile,
            groups=tuple(
                replace(group, backward_seconds=rng.randint(0, 30) / 1000)
                for group in profile.groups
            ),
        )
        for name, profile in asked.profiles.items()
    }
    objective = TrainingDelay(
        iterations=rng.choice([1, 2, 5]),
        labels_at=rng.choice(["device", "server"]),
        label_bytes=rng.choice([0, 8, 100, None]),
        frozen=tuple(frozen),
    )
    return replace(
        asked, case=replace(asked.case, graph=trained), profiles=profiles, objective=objective
    )


_DRAW = {
    "tiers": _draw_tiers,
    "runs": _draw_runs,
    "places": _draw_places,
    "states": _draw_states,
    "wires": _draw_wires,
    "energy": _draw_energy,
    "training": _draw_training,
}
KINDS = tuple(_DRAW)
