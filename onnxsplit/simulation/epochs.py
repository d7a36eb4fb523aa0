"""The course of a simulation: every policy decides for every device that is served."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from onnxsplit.placement import Placement
from onnxsplit.planning.costs.linear_pricing import LinearPrice
from onnxsplit.planning.costs.question import Question
from onnxsplit.planning.costs.travel import find_travel
from onnxsplit.planning.demands.constraints import Constraints
from onnxsplit.progress import Progress
from onnxsplit.simulation.contenders import Arena, admit, build_policy, follow_frontier
from onnxsplit.simulation.encounters import Encounters
from onnxsplit.simulation.policies import Policy
from onnxsplit.simulation.results import Outcome, UsedCut

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceKind:
    """Devices that are alike, and what is asked for them.

    Parameters
    ----------
    name : str
    question : Question
        Between the device and the server; of its link the round trip counts.
    chain : Question or None
        With an edge tier between them; of its first link the round trip counts.
    constraints : Constraints
        What every policy has to respect.
    relay : ndarray of float64, shape (3,)
        What is added to 1, 1 / uplink and 1 / downlink of the device's link where what goes to the
        server passes through an edge tier.
    """

    name: str
    question: Question
    chain: Question | None = None
    constraints: Constraints = field(default_factory=Constraints)
    relay: Floats = field(default_factory=lambda: np.zeros(3))


def run_policies(
    names: Sequence[str],
    kinds: Sequence[DeviceKind],
    kind_of: Integers,
    encounters: Encounters,
    progress: Progress,
) -> tuple[tuple[Outcome, ...], tuple[str, ...]]:
    """Let every policy decide for every device that is served.

    Parameters
    ----------
    names : sequence of str
    kinds : sequence of DeviceKind
    kind_of : ndarray of int64, shape (devices,)
        The kind of each device, by its place.
    encounters : Encounters
    progress : Progress

    Returns
    -------
    tuple of Outcome
    tuple of str
        Notes: which policies have no answer.

    Notes
    -----
    A decision is a matrix product and the place of the least; what was chosen is priced anew from
    the definition of the objective, each placement once for all links.
    """
    parameters = encounters.list_parameters()
    places = kind_of[encounters.devices]
    outcomes, notes = [], []
    arenas = [
        Arena(
            question=kind.question,
            links=(parameters + kind.relay)[places == number],
            constraints=kind.constraints,
        )
        for number, kind in enumerate(kinds)
    ]
    for done, name in enumerate(names):
        progress.report("simulating", done=done, total=len(names))
        run = _Run(name=name, parameters=parameters)
        for number, kind in enumerate(kinds):
            here = places == number
            if here.any() and not run.take(kind, arenas[number], here):
                notes.append(
                    f"The policy {name} has no placement for {kind.name}, so it is left out."
                )
                break
        else:
            outcomes.append(run.finish())
    progress.report("simulating", done=len(names), total=len(names))
    return tuple(outcomes), tuple(notes)


@dataclass(slots=True, kw_only=True)
class _Run:
    """One policy at work."""

    name: str
    parameters: Floats
    cuts: list[UsedCut] = field(default_factory=list)
    parts: dict[tuple[str, str], float] = field(default_factory=dict)
    prepare_seconds: float = 0.0
    decide_seconds: float = 0.0
    _seconds: Floats = field(init=False)
    _chosen: Integers = field(init=False)

    def __post_init__(self) -> None:
        """Make room for the decisions."""
        self._seconds = np.zeros(self.parameters.shape[:-1])
        self._chosen = np.zeros(self.parameters.shape[:-1], dtype=np.int64)

    def take(self, kind: DeviceKind, arena: Arena, here: npt.NDArray[np.bool_]) -> bool:
        """Decide for all devices of a kind; False if there is no placement."""
        on_chain = self.name in _CHAIN_POLICIES and kind.chain is not None
        if on_chain and kind.chain is not None:
            arena = replace(arena, question=kind.chain)
        started = time.perf_counter()
        policy = admit(_find_builder(self.name, arena))
        self.prepare_seconds += time.perf_counter() - started
        if policy is None:
            return False
        links = self.parameters[here] + (0.0 if on_chain else kind.relay)
        started = time.perf_counter()
        numbers = policy.choose(links)
        self.decide_seconds += time.perf_counter() - started
        seconds, chosen = np.zeros(len(links)), np.zeros(len(links), dtype=np.int64)
        for number in np.unique(numbers):
            uses = numbers == number
            placement = policy.place(int(number))
            seconds[uses] = self._price(arena.price(placement), links[uses])
            chosen[uses] = len(self.cuts)
            self.cuts.append(_describe(kind.name, arena.question, placement, int(uses.sum())))
        self._seconds[here], self._chosen[here] = seconds, chosen
        return True

    def _price(self, prices: Sequence[LinearPrice], links: Floats) -> Floats:
        """Price a placement for its links, and add its parts up."""
        values = np.stack([links @ price.total for price in prices])
        least = np.argmin(values, axis=0)
        for side, price in enumerate(prices):
            spent = price.rows @ links[least == side].sum(axis=0)
            for name, seconds in zip(price.names, spent, strict=True):
                if seconds:
                    self.parts[name] = self.parts.get(name, 0.0) + float(seconds)
        return np.asarray(values.min(axis=0), dtype=np.float64)

    def finish(self) -> Outcome:
        """Return what the policy did."""
        return Outcome(
            name=self.name,
            seconds=self._seconds,
            cuts=tuple(self.cuts),
            chosen=self._chosen,
            parts=self.parts,
            prepare_seconds=self.prepare_seconds,
            decide_seconds=self.decide_seconds,
        )


def _describe(kind: str, question: Question, placement: Placement, uses: int) -> UsedCut:
    """Describe a placement that was chosen."""
    crossings = find_travel(question, placement).crossings
    return UsedCut(
        kind=kind,
        placement=placement,
        crossings=tuple(dict.fromkeys(crossing.tensor for crossing in crossings)),
        uses=uses,
    )


def _follow_chain(arena: Arena) -> Policy:
    """Ours over all tiers."""
    return follow_frontier("ours-edge", arena.question, arena.constraints)


def _stay_on_edge(arena: Arena) -> Policy | None:
    """Everything on the edge tier."""
    return arena.offer_whole("edge-only", arena.question.topology.tiers[1])


_CHAIN_POLICIES: Mapping[str, Callable[[Arena], Policy | None]] = {
    "ours-edge": _follow_chain,
    "edge-only": _stay_on_edge,
}


def _find_builder(name: str, arena: Arena) -> Callable[[], Policy | None]:
    """Return what makes a policy ready."""
    if name in _CHAIN_POLICIES:
        return lambda: _CHAIN_POLICIES[name](arena)
    return lambda: build_policy(name, arena)
