"""What is minimised, as values; how costs follow from profiles and links is the planner's work."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from onnxsplit.errors import UsageError

Side = Literal["device", "server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceLatency:
    """Seconds from an input on the device to the outputs on the device.

    Notes
    -----
    Compute on every tier, plus the bytes of all crossings over the links' rates, plus the bytes of
    the model outputs that have to come back over the downlinks' rates, plus one round trip for
    every link that is used. Model inputs live on the device, unless the plan says otherwise.
    """

    name: ClassVar[str] = "latency"
    unit: ClassVar[str] = "s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What a tier draws, in watts; the radio is the one of the link that leads away from it.

    Parameters
    ----------
    compute_watts : float
        While it computes.
    transmit_watts, receive_watts : float
        While it sends to, or receives from, the next tier of the chain.
    idle_watts : float
        While it waits for the tiers behind it: their computing and the round trips.

    Raises
    ------
    UsageError
        A power is negative or not finite.
    """

    compute_watts: float = 0.0
    transmit_watts: float = 0.0
    receive_watts: float = 0.0
    idle_watts: float = 0.0

    def __post_init__(self) -> None:
        """Refuse powers that nothing draws."""
        for name in ("compute_watts", "transmit_watts", "receive_watts", "idle_watts"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(
                    f"The power {name} is {getattr(self, name)!r}; it must be finite and not"
                    " negative."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Joules of one inference, over the tiers whose power is given; plus seconds, if weighted in.

    Parameters
    ----------
    powers : mapping of str to Power
        Tier to what it draws; a tier that is not listed draws nothing that counts.
    joules_per_second : float
        What a second of latency counts like, in joules; 0 minimises energy alone.

    Raises
    ------
    UsageError
        The weight is negative or not finite.
    """

    name: ClassVar[str] = "energy"
    unit: ClassVar[str] = "J"

    powers: Mapping[str, Power] = field(default_factory=dict)
    joules_per_second: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a weight that rewards waiting."""
        if not 0 <= self.joules_per_second < math.inf:
            raise UsageError(
                f"The weight of a second is {self.joules_per_second!r} joules; it must be finite"
                " and not negative."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDelay:
    """Seconds of one epoch of split learning: the device part travels, then N local iterations.

    Parameters
    ----------
    iterations : int
        Local iterations N of the epoch, each on one batch of the profiled size.
    labels_at : str
        Where the labels live: ``server`` or ``device``.
    label_bytes : int or None
        Bytes of the labels of one batch; None to take a whole number of 8 bytes for each row of
        the batch, an assumption.
    frozen : tuple of str
        Globs over operator names (or ``op:TYPE``) and initializer names that are not trained.

    Raises
    ------
    UsageError
        There is no iteration, or the labels have a negative size.

    Notes
    -----
    Source: arXiv 2507.01041 for the idea; the formula is rebuilt from the split-learning protocol:
    the device's parameters come down and go up again once an epoch; each iteration runs the
    device's forward pass, sends the smashed data up, runs the server's forward and backward pass,
    sends the gradients that the device needs down, and runs the device's backward pass.
    """

    name: ClassVar[str] = "training"
    unit: ClassVar[str] = "s"

    iterations: int = 1
    labels_at: Side = "server"
    label_bytes: int | None = None
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse epochs without work and labels of no size."""
        if self.iterations < 1:
            raise UsageError(
                f"The number of local iterations is {self.iterations}; it must be at least 1."
            )
        if self.label_bytes is not None and self.label_bytes < 0:
            raise UsageError(f"The labels have {self.label_bytes} bytes; give 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Seconds from one result to the next when inferences follow each other as in a pipeline.

    Notes
    -----
    The period is the largest of: computing on each tier, and sending on each link, up and down,
    for one inference. Every tier and each direction of every link works on one input at a time.
    """

    name: ClassVar[str] = "throughput"
    unit: ClassVar[str] = "s"


Objective = InferenceLatency | Energy | TrainingDelay | Throughput
"""Every objective that a plan can be made for."""
