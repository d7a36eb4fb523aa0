"""Why no placement meets the constraints, or none that splits, in names.

A cell is *held* on the device if no placement could have it behind: an operator in it is pinned
there, reads a model input or makes a model output that can't travel, feeds an operator that is
held, or reads a stuck value that a held operator makes. In a longer chain a cell is held up to a
tier in the same way, by pins to that tier or one before it. What is pinned behind the tier up to
which it is held contradicts. With two tiers a proper split exists exactly if some root cell can be
held on the device without holding every cell or one that is pinned to the server.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from onnxsplit.graph import OperatorGraph
from onnxsplit.planning.costs.coarsening import CoarseGraph
from onnxsplit.tiers import DEVICE, SERVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why a cell is held on the device.

    Parameters
    ----------
    operator : str
        The operator of the cell that is held.
    reason : str
        The end of a sentence that begins with the operator.
    because_of : int or None
        The held cell that it follows from, if any.
    stuck : str or None
        The value that can't travel and holds it, if one does.
    """

    operator: str
    reason: str
    because_of: int | None = None
    stuck: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a placement of a coarse graph has to respect.

    Parameters
    ----------
    graph : OperatorGraph
    coarse : CoarseGraph
    pins : mapping of str to str
        Operator to tier.
    stuck : frozenset of str
        Values that may not cross, or can't.
    tiers : tuple of str
        The chain, from the device on.
    elsewhere : frozenset of str
        Model inputs that live behind the device, and model outputs that are wanted there.
    """

    graph: OperatorGraph
    coarse: CoarseGraph
    pins: Mapping[str, str]
    stuck: frozenset[str]
    tiers: tuple[str, ...] = (DEVICE, SERVER)
    elsewhere: frozenset[str] = frozenset()

    def hold(self, *seeds: int, up_to: int = 0) -> dict[int, Hold]:
        """Return the cells that are held up to a tier, and why, if some are put on the device."""
        held: dict[int, Hold] = {}
        pending: list[int] = []

        def add(cell: int, hold: Hold) -> None:
            if cell not in held:
                held[cell] = hold
                pending.append(cell)

        for cell in seeds:
            name = self.coarse.cells[cell].operators[0]
            add(cell, Hold(operator=name, reason=f"is put on the {self.tiers[0]}"))
        for hold in self._begin(up_to):
            add(self.coarse.cell_of[hold.operator], hold)
        while pending:
            cell = pending.pop()
            for hold in self._follow(cell):
                add(self.coarse.cell_of[hold.operator], hold)
        return held

    def _begin(self, up_to: int) -> Iterator[Hold]:
        """Yield what is held for a reason of its own."""
        graph, near = self.graph, self.tiers[: up_to + 1]
        for operator in graph:
            tier = self.pins.get(operator.name)
            if tier in near:
                yield Hold(operator=operator.name, reason=f"is pinned to the {tier}")
        for tensor in graph.inputs:
            if tensor in self.stuck and tensor not in self.elsewhere:
                for name in graph.consumers(tensor):
                    reason = f"reads {self.describe(tensor)}"
                    yield Hold(operator=name, reason=reason, stuck=tensor)
        for tensor in graph.outputs:
            maker = graph.producer(tensor)
            if tensor in self.elsewhere:
                continue
            if maker is not None and tensor in self.stuck:
                reason = f"makes {self.describe(tensor)}"
                yield Hold(operator=maker, reason=reason, stuck=tensor)

    def _follow(self, cell: int) -> Iterator[Hold]:
        """Yield what is held because a cell is."""
        graph = self.graph
        for name in self.coarse.cells[cell].operators:
            for before in graph.predecessors(name):
                yield Hold(operator=before, reason=f"feeds {name!r}", because_of=cell)
            for tensor in graph.operator(name).outputs:
                if tensor in self.stuck:
                    reason = f"reads {self.describe(tensor)}"
                    for after in graph.consumers(tensor):
                        yield Hold(operator=after, reason=reason, because_of=cell, stuck=tensor)

    def describe(self, tensor: str) -> str:
        """Name a stuck value and say why it is."""
        obstacle = self.graph.tensors[tensor].travel_obstacle
        reason = "may not travel" if obstacle is None else f"can't travel because {obstacle}"
        return f"{tensor!r}, which {reason}"

    @property
    def admit_split(self) -> bool:
        """Whether some placement on two tiers that meets them leaves neither empty.

        One search per root.
        """
        coarse, last = self.coarse, self.tiers[-1]
        pinned = {coarse.cell_of[name] for name, tier in self.pins.items() if tier == last}
        for root in coarse.roots:
            held = self.hold(root)
            if len(held) < len(coarse.cells) and not pinned & held.keys():
                return True
        return False


def explain_conflict(demands: Demands) -> str:
    """Say which pins contradict each other or the model, for demands that nothing meets.

    Parameters
    ----------
    demands : Demands
    """
    tiers = demands.tiers
    for up_to in range(len(tiers) - 1):
        held = demands.hold(up_to=up_to)
        for name, tier in demands.pins.items():
            if tier in tiers[up_to + 1 :] and demands.coarse.cell_of[name] in held:
                end = f"{tiers[up_to]} or before it" if up_to else tiers[0]
                return (
                    f"{name!r} is pinned to the {tier} but has to run on the {end}:"
                    f" {', and '.join(_trace(demands, held, name))}; change the pins."
                )
    return "The constraints contradict each other: no placement meets them."


def explain_no_split(demands: Demands) -> str:
    """Say why no proper split meets the demands.

    Parameters
    ----------
    demands : Demands
    """
    graph, coarse = demands.graph, demands.coarse
    if len(graph) <= 1:
        has = "a single operator" if len(graph) else "no operators to run"
        return f"The model has {has}, so there is no proper split."
    if len(coarse.cells) == 1:
        return (
            "All operators run as one kernel, or share states or trained weights, so there is no"
            " proper split."
        )
    if len(demands.tiers) > 2 or demands.elsewhere:  # noqa: PLR2004 - the searches below know two tiers
        return _explain_empty_tier(demands)
    free = replace(demands, pins={})
    if not free.admit_split:
        holds = free.hold(*coarse.roots[:1]).values()
        tensor = next(hold.stuck for hold in holds if hold.stuck is not None)
        return (
            "There is no proper split: every boundary holds a value such as"
            f" {free.describe(tensor)}."
        )
    pinned = replace(demands, stuck=frozenset())
    cause = "with the values that can't travel they" if pinned.admit_split else "they"
    return f"There is no proper split under these pins: {cause} leave one tier empty."


def _explain_empty_tier(demands: Demands) -> str:
    """Say why a longer chain can't be filled, as far as counting tells."""
    tiers, cells = demands.tiers, len(demands.coarse.cells)
    if cells < len(tiers):
        return (
            f"The model has {cells} parts that can run apart, and {len(tiers)} tiers need one each,"
            " so there is no proper split."
        )
    pins = " under these pins" if demands.pins else ""
    return (
        f"There is no proper split{pins}: whatever runs where, one of the {len(tiers)} tiers"
        f" ({', '.join(tiers)}) stays empty or a value would cross that can't."
    )


def _trace(demands: Demands, held: Mapping[int, Hold], name: str) -> list[str]:
    """Tell the way from an operator to why it is held: its own step and the first one."""
    cell = demands.coarse.cell_of[name]
    hold = held[cell]
    steps = [f"{hold.operator!r} {hold.reason}"]
    if hold.operator != name:
        # One kernel, a state, a weight that is trained as one, or the user's own wish.
        steps.insert(0, f"it has to share a tier with {hold.operator!r}")
    first = hold
    while first.because_of is not None:
        first = held[first.because_of]
    if first is not hold:
        steps.append(f"{first.operator!r} {first.reason}")
    return steps
