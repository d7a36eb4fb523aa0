"""A dynamic edge network as values: machines, links, mobility and the course of time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from onnxsplit.errors import UsageError
from onnxsplit.objectives import InferenceLatency, TrainingDelay
from onnxsplit.simulation.boards import Board
from onnxsplit.simulation.mobility import Mobility
from onnxsplit.simulation.radio import Radio
from onnxsplit.simulation.traces import Trace
from onnxsplit.tiers import Link

Selection = Literal["random", "in-turn"]
Schedule = Literal["one-after-the-other", "at-once"]

SELECTIONS: tuple[Selection, ...] = ("random", "in-turn")
SCHEDULES: tuple[Schedule, ...] = ("one-after-the-other", "at-once")

SimulatedObjective = InferenceLatency | TrainingDelay


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The model, its sizes, and the profile that machines are scaled from.

    Parameters
    ----------
    file : Path
    profile : str
        A profile file, or ``local`` to measure this machine.
    profiled_on : float or None
        Published peak of the machine of that profile, in operations per second.
    shapes, dims : mapping
        Sizes of inputs, and of symbolic dims.
    input_bytes : mapping of str to int
        Model inputs to the bytes at which every policy sends them.
    threads : int or None
        For measuring this machine.
    """

    file: Path
    profile: str = "local"
    profiled_on: float | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    input_bytes: Mapping[str, int] = field(default_factory=dict)
    threads: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of the network.

    Parameters
    ----------
    name : str
    profile : str or None
        A profile of its own; else the model's, scaled.
    board : Board or None
        Scale by published peaks.
    speed : float
        Times as fast as the machine of the profile, where there is no board.
    """

    name: str
    profile: str | None = None
    board: Board | None = None
    speed: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceGroup:
    """Devices of one kind.

    Parameters
    ----------
    machine : Machine
    count : int
    """

    machine: Machine
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A tier between devices and server.

    Parameters
    ----------
    machine : Machine
    backhaul : Link
        To the server; it stays as it is.
    """

    machine: Machine
    backhaul: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What happens when.

    Parameters
    ----------
    epochs : int
    interval_seconds : float
        From one epoch's beginning to the next, whatever an epoch takes: policies are compared under
        the same rates.
    per_epoch : int
        Devices that are served in each epoch.
    selection : str
        ``random`` without repetition within an epoch, or ``in-turn``.
    schedule : str
        Devices are served ``one-after-the-other`` (an epoch takes their sum) or ``at-once`` (their
        maximum; the server has room for all, an assumption).
    """

    epochs: int = 100
    interval_seconds: float = 60.0
    per_epoch: int = 1
    selection: Selection = "random"
    schedule: Schedule = "one-after-the-other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A dynamic edge network.

    Parameters
    ----------
    name : str
    model : ModelSpec
    objective : InferenceLatency or TrainingDelay
    server : Machine
    devices : tuple of DeviceGroup
    timeline : Timeline
    network : Radio or Trace
    mobility : Mobility or None
        With a radio model.
    round_trip_seconds : float
    floor_bytes_per_second : float
        Of recorded links.
    edge : Edge or None
    private_depth : int
        What leaves a device has at least so many operators behind it; from 1 on inputs stay there.
    policies : tuple of str
        Empty for all that fit.
    seeds : tuple of int

    Raises
    ------
    UsageError
        More devices are to be served in an epoch than there are, or there is no seed.
    """

    name: str
    model: ModelSpec
    objective: SimulatedObjective
    server: Machine
    devices: tuple[DeviceGroup, ...]
    network: Radio | Trace
    timeline: Timeline = field(default_factory=Timeline)
    mobility: Mobility | None = None
    round_trip_seconds: float = 0.0
    floor_bytes_per_second: float = 1.0
    edge: Edge | None = None
    private_depth: int = 0
    policies: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        """Refuse what can't be simulated."""
        if not self.seeds:
            raise UsageError("A simulation needs at least one seed.")
        if self.timeline.per_epoch > self.count:
            raise UsageError(
                f"{self.timeline.per_epoch} devices are to be served in each epoch, and there are"
                f" {self.count}."
            )

    @property
    def count(self) -> int:
        """How many devices there are."""
        return sum(group.count for group in self.devices)
