"""What a plan is asked for: model, machines, links, objective, and where data lives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxsplit.errors import UsageError, suggest
from onnxsplit.graph import OperatorGraph
from onnxsplit.objectives import (
    Energy,
    InferenceLatency,
    Objective,
    Power,
    Throughput,
    TrainingDelay,
)
from onnxsplit.placement import Placement
from onnxsplit.planning.costs.backward import fill_backward, lacks_backward
from onnxsplit.planning.costs.gradients import follow_gradients
from onnxsplit.planning.costs.matching import match_profile
from onnxsplit.profiles import Profile
from onnxsplit.tiers import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFormat:
    """How a tensor travels, where that is not as it stands in memory.

    Parameters
    ----------
    name : str
        Such as ``float16``, ``int8`` or ``as sent``.
    size_bytes : int
        Bytes on the link.
    send_seconds, receive_seconds : float
        Encoding and decoding on the two tiers.
    """

    name: str
    size_bytes: int
    send_seconds: float = 0.0
    receive_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A model input that is the last run's output, such as a decoder's cache.

    Parameters
    ----------
    past : str
        The model input.
    present : str
        The model output that becomes it.
    """

    past: str
    present: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlaces:
    """Where data lives that does not live on the first tier.

    Parameters
    ----------
    inputs_at_last, outputs_at_last : frozenset of str
        Model inputs that live, and model outputs that are wanted, on the last tier.
    states : tuple of State
        Never travel: they stay on the tier where their operators run.
    assumptions : tuple of str
        Sentences: what was guessed of them.
    """

    inputs_at_last: frozenset[str] = frozenset()
    outputs_at_last: frozenset[str] = frozenset()
    states: tuple[State, ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def pasts(self) -> frozenset[str]:
        """Model inputs that are the last run's outputs."""
        return frozenset(state.past for state in self.states)

    @property
    def presents(self) -> frozenset[str]:
        """Model outputs that become the next run's inputs."""
        return frozenset(state.present for state in self.states)

    @property
    def elsewhere(self) -> frozenset[str]:
        """Model inputs that do not start, and outputs that do not end, on the first tier."""
        return self.inputs_at_last | self.outputs_at_last | self.pasts | self.presents


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One shape of a model that is planned for at several, and how much it counts.

    Parameters
    ----------
    dims : mapping of str to int
        Symbolic dims that tell it from the others.
    weight : float
        Such as how many runs of this shape there are.
    graph : OperatorGraph
        At its sizes.
    profiles : mapping of str to Profile
        Measured at its sizes, in the graph's names.

    Raises
    ------
    UsageError
        The weight is not positive and finite.
    """

    dims: Mapping[str, int]
    weight: float
    graph: OperatorGraph
    profiles: Mapping[str, Profile]

    def __post_init__(self) -> None:
        """Refuse weights that count for nothing."""
        if not 0 < self.weight < math.inf:
            raise UsageError(
                f"The mix counts {self.label} {self.weight:g} times; a weight must be positive."
            )

    @property
    def label(self) -> str:
        """The dims as they are typed."""
        return ",".join(f"{name}={size}" for name, size in self.dims.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """An earlier placement that a plan moves away from.

    Parameters
    ----------
    placement : Placement
        Of all the graph's operators.
    runs : int
        Over how many runs moving is spread.

    Raises
    ------
    UsageError
        There is no run.
    """

    placement: Placement
    runs: int = 1

    def __post_init__(self) -> None:
        """Refuse to spread a cost over nothing."""
        if self.runs < 1:
            raise UsageError(f"--amortise {self.runs}: give at least one run.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """All that a placement's cost depends on.

    Parameters
    ----------
    graph : OperatorGraph
    profiles : mapping of str to Profile
        Tier to profile, in the graph's names; for training with ``backward_seconds``.
    topology : Topology
    objective : Objective
    places : DataPlaces
    wires : mapping of str to WireFormat
        Tensors that travel otherwise than they stand in memory.
    variants : tuple of Variant
        The shapes of a mix; ``graph`` is then the first one's, and ``profiles`` hold weighted sums.
    assumptions : tuple of str
        Sentences: what of this nobody measured, beyond profiles and links.
    powers : mapping of str to Power
        Tier to what it draws, where joules are told beside another objective.
    tabled_tiers : frozenset of str
        Tiers where backward passes were not measured but come from a table of ratios.
    origin : Origin, optional
        The earlier placement that moving away from costs.

    Raises
    ------
    UsageError
        A place, state or wire names a tensor that does not exist, or is no input or output; or a
        mix comes with what it can't be combined with.
    """

    graph: OperatorGraph
    profiles: Mapping[str, Profile]
    topology: Topology
    objective: Objective = field(default_factory=InferenceLatency)
    places: DataPlaces = field(default_factory=DataPlaces)
    wires: Mapping[str, WireFormat] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    assumptions: tuple[str, ...] = ()
    powers: Mapping[str, Power] = field(default_factory=dict)
    tabled_tiers: frozenset[str] = frozenset()
    origin: Origin | None = None

    def __post_init__(self) -> None:
        """Refuse names that the model does not have."""
        if self.variants and (self.wires or isinstance(self.objective, TrainingDelay)):
            other = "other sizes on the wire" if self.wires else "training"
            raise UsageError(
                f"A mix of shapes can't be combined with {other}; plan for one shape by --dim."
            )
        if self.variants and isinstance(self.objective, Throughput):
            raise UsageError(
                "A mix of shapes has no one period; plan for one shape by --dim, or for latency."
            )
        graph, places = self.graph, self.places
        pasts = {state.past for state in places.states}
        presents = {state.present for state in places.states}
        for kind, names, known in (
            ("input", places.inputs_at_last | pasts, graph.inputs),
            ("output", places.outputs_at_last | presents, graph.outputs),
            ("tensor", frozenset(self.wires), tuple(graph.tensors)),
        ):
            for name in sorted(names - set(known)):
                raise UsageError(f"The model has no {kind} {name!r}. {suggest(name, known)}")

    @property
    def known_powers(self) -> Mapping[str, Power]:
        """What the tiers draw, be it minimised or only told; empty if nobody said."""
        return self.objective.powers if isinstance(self.objective, Energy) else self.powers

    @property
    def together(self) -> tuple[tuple[str, ...], ...]:
        """Operators that share a tier: those of a state, and those that train one parameter."""
        graph = self.graph
        groups = []
        for state in self.places.states:
            writer = graph.producer(state.present)
            groups.append((*graph.consumers(state.past), *((writer,) if writer else ())))
        if isinstance(self.objective, TrainingDelay):
            users: dict[str, list[str]] = {}
            for name, weights in follow_gradients(graph, self.objective.frozen).trained.items():
                for weight in weights:
                    users.setdefault(weight, []).append(name)
            groups += [tuple(names) for names in users.values()]
        return tuple(names for names in groups if len(names) > 1)

    def measure_wire(self, tensor: str) -> int | None:
        """Return the bytes of a tensor on a link; None if it can't travel."""
        if tensor in self.wires:
            return self.wires[tensor].size_bytes
        return self.graph.tensors[tensor].size_bytes

    def find_boundary_seconds(self, tensor: str, source: str, target: str) -> tuple[float, float]:
        """Return what sending and receiving a tensor adds on two neighbouring tiers."""
        sent = self.profiles[source].boundaries.get(tensor)
        taken = self.profiles[target].boundaries.get(tensor)
        wire = self.wires.get(tensor)
        return (
            (sent.send_seconds if sent else 0.0) + (wire.send_seconds if wire else 0.0),
            (taken.receive_seconds if taken else 0.0) + (wire.receive_seconds if wire else 0.0),
        )


def pose_question(
    graph: OperatorGraph,
    profiles: Mapping[str, Profile],
    topology: Topology,
    *,
    objective: Objective | None = None,
    places: DataPlaces | None = None,
    wires: Mapping[str, WireFormat] | None = None,
    powers: Mapping[str, Power] | None = None,
) -> Question:
    """Fit the profiles to the model, and put everything together.

    Parameters
    ----------
    graph : OperatorGraph
    profiles : mapping of str to Profile
        Tier to profile; each must fit the graph.
    topology : Topology
    objective : Objective, optional
        Inference latency if not given.
    places : DataPlaces, optional
        Everything on the first tier if not given.
    wires : mapping of str to WireFormat, optional
    powers : mapping of str to Power, optional
        Tier to what it draws, where joules are told beside another objective.

    Returns
    -------
    Question
        For training its profiles have backward seconds, by a named table where nobody measured.

    Raises
    ------
    ProfileMismatchError
        A profile does not fit the model.
    UsageError
        A tier has no profile, or a name does not exist.
    """
    for tier in topology.tiers:
        if tier not in profiles:
            raise UsageError(f"The {tier} has no profile; give one for each tier.")
    fitted = {tier: match_profile(profiles[tier], graph) for tier in topology.tiers}
    tabled: set[str] = set()
    if isinstance(objective, TrainingDelay):
        tabled = {tier for tier, profile in fitted.items() if lacks_backward(profile)}
        fitted = {tier: fill_backward(profile, graph) for tier, profile in fitted.items()}
    return Question(
        graph=graph,
        profiles=fitted,
        topology=topology,
        objective=objective or InferenceLatency(),
        places=places or DataPlaces(),
        wires=wires or {},
        powers=powers or {},
        tabled_tiers=frozenset(tabled),
    )
