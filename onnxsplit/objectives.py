"""What is minimised, as values; how costs follow from profiles and links is the planner's work."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceLatency:
    """Seconds from an input on the device to the outputs on the device.

    Notes
    -----
    Compute on the device, plus the bytes of all crossings over the uplink's rate, plus compute on
    the server, plus the bytes of the model outputs that the server makes over the downlink's rate,
    plus one round trip if the server runs anything. Model inputs live on the device.
    """

    name: ClassVar[str] = "latency"


Objective = InferenceLatency
"""Every objective that a plan can be made for."""
