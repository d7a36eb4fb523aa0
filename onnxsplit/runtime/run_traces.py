"""What one run of a split model took, part by part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from onnxsplit.engines.port import Array

Route = Literal["split", "device", "fallback", "dropped"]
"""``split``: both halves ran; ``device``: the cut leaves nothing to the server; ``fallback``: the
server was away, so the device ran the whole; ``dropped``: newer inputs took its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTrace:
    """The parts of one run; they add up to the total but for what lies between them.

    Parameters
    ----------
    index : int
        Which run, counted from 0.
    cut : str
        Of a bundle of several cuts, the one that ran; else empty.
    route : str
    device_seconds : float
        The device's stage, or the whole model where that ran there.
    encode_seconds, decode_seconds : float
    network_seconds : float
        From the first byte sent to the last received, less what the server computed.
    server_seconds : float
        What the server says that its stage took; of a relay, with all that lies beyond it.
    total_seconds : float
        From the inputs to the outputs; in a pipeline with what a run waits for others.
    sent_bytes, received_bytes : int
    retries : int
        How often the request was sent again, because a connection broke.
    is_fresh : bool
        Whether the connection was opened for this run.
    predicted_seconds : float or None
        What the plan says of the total.
    problem : str
        Why the server was not asked, or did not answer; empty if all went well.
    """

    index: int
    cut: str = ""
    route: Route
    device_seconds: float = 0.0
    encode_seconds: float = 0.0
    network_seconds: float = 0.0
    server_seconds: float = 0.0
    decode_seconds: float = 0.0
    total_seconds: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    retries: int = 0
    is_fresh: bool = False
    predicted_seconds: float | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the trace as ``run --format json`` prints it."""
        return {
            "index": self.index,
            **({"cut": self.cut} if self.cut else {}),
            "route": self.route,
            "total_seconds": self.total_seconds,
            "parts": {
                "device": self.device_seconds,
                "encode": self.encode_seconds,
                "network": self.network_seconds,
                "server": self.server_seconds,
                "decode": self.decode_seconds,
            },
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
            "retries": self.retries,
            "is_fresh": self.is_fresh,
            "predicted_seconds": self.predicted_seconds,
            **({"problem": self.problem} if self.problem else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The model's outputs, and what they took.

    Parameters
    ----------
    outputs : mapping of str to array
        In the model's order; empty if the run was dropped.
    trace : RunTrace
    """

    outputs: Mapping[str, Array] = field(default_factory=dict)
    trace: RunTrace
