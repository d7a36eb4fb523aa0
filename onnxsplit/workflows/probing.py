"""``probe``: measure a link, and write it down for `cut --link`."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsplit.errors import UsageError
from onnxsplit.profiling.storage import write_text
from onnxsplit.progress import Progress, SilentProgress
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.http_transport import HttpTransport
from onnxsplit.runtime.link_probe import LinkMeasurement, MeasuredRate, measure_link
from onnxsplit.runtime.probe_requests import ProbeRequests
from onnxsplit.runtime.tcp_figures import TcpFigures
from onnxsplit.runtime.transports import choose_transport
from onnxsplit.tiers import Link
from onnxsplit.units import parse_duration
from onnxsplit.workflows.links import LINK_SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedLink:
    """A measured link, and how it was measured.

    Parameters
    ----------
    label : str
    measurement : LinkMeasurement
    passive : TcpFigures or None
        What the system knew of the connection in the end, where it tells.
    """

    label: str
    measurement: LinkMeasurement
    passive: TcpFigures | None

    @property
    def link(self) -> Link:
        """The link, for planning."""
        return self.measurement.link

    def to_json(self) -> dict[str, Any]:
        """Return the link as its file holds it (``onnxsplit.link/1``)."""
        link, passive = self.link, self.passive
        return {
            "schema": LINK_SCHEMA,
            "label": self.label,
            "up_bytes_per_second": link.up_bytes_per_second,
            "down_bytes_per_second": link.down_bytes_per_second,
            "round_trip_seconds": link.round_trip_seconds,
            "evidence": link.evidence,
            "probe": {
                "cold_seconds": self.measurement.cold_seconds,
                "up": _write_rate(self.measurement.up),
                "down": _write_rate(self.measurement.down),
                "passive": None
                if passive is None
                else {
                    "least_round_trip_seconds": passive.least_round_trip_seconds,
                    "delivery_bytes_per_second": passive.delivery_bytes_per_second,
                    "is_limited_by_sender": passive.is_limited_by_sender,
                },
            },
        }


def probe(
    url: str,
    output: str | os.PathLike[str] | None = None,
    *,
    label: str = "",
    budget: str = "3s",
    security: ClientSecurity | None = None,
    progress: Progress | None = None,
) -> ProbedLink:
    """Measure the link to a server that serves the probe model, as `serve` does.

    Parameters
    ----------
    url : str
    output : path, optional
        Where to write the link; `cut --link` takes it.
    label : str
        How people call the link.
    budget : str
        Time for each direction, with its unit.
    security : ClientSecurity, optional
    progress : Progress, optional

    Raises
    ------
    UsageError
        The URL or the budget is wrong.
    TransportError
        The server can't be reached, has no probe model, or the link is too uneven.
    OutputError
        The file can't be written.
    """
    progress = progress or SilentProgress()
    seconds = parse_duration(budget)
    if not seconds > 0:
        raise UsageError(f"--budget {budget}: it must be positive.")
    progress.report("measuring the link")
    with choose_transport(url, security)() as transport:
        measurement = measure_link(ProbeRequests(transport), budget_seconds=seconds)
        passive = transport.read_tcp_figures() if isinstance(transport, HttpTransport) else None
    found = ProbedLink(label=label, measurement=measurement, passive=passive)
    if output is not None:
        write_text(json.dumps(found.to_json(), indent=2) + "\n", Path(output), "link")
    return found


def _write_rate(rate: MeasuredRate) -> dict[str, Any]:
    """Return how a rate was measured."""
    return {
        "interval_relative": rate.interval_relative,
        "rounds": rate.rounds,
        "large_bytes": rate.large_bytes,
    }
