"""Counters of what a server did, in the text that Prometheus reads.

Names and units are those of NVIDIA Triton (its ``nv_inference_*`` counters of microseconds), so
that dashboards made for it show this server too; ``onnxsplit_*_seconds`` are additions.

Source: Prometheus, "Exposition formats", text format 0.0.4.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric.

    Parameters
    ----------
    kind : str
        ``counter`` or ``gauge``.
    help : str
        One sentence.
    """

    kind: str
    help: str


FAMILIES: Mapping[str, Family] = {
    "nv_inference_request_success": Family(kind="counter", help="Requests that were answered."),
    "nv_inference_request_failure": Family(
        kind="counter", help="Requests that were refused or failed, by HTTP status."
    ),
    "nv_inference_count": Family(kind="counter", help="Runs of the model."),
    "nv_inference_exec_count": Family(kind="counter", help="Runs of the model, batched as one."),
    "nv_inference_request_duration_us": Family(
        kind="counter", help="Microseconds from a request's arrival to its answer, in all."
    ),
    "nv_inference_queue_duration_us": Family(
        kind="counter", help="Microseconds that requests waited for a worker, in all."
    ),
    "nv_inference_compute_infer_duration_us": Family(
        kind="counter", help="Microseconds that the model ran, in all."
    ),
    "nv_inference_pending_request_count": Family(
        kind="gauge", help="Requests that wait or run now."
    ),
    "onnxsplit_server_seconds": Family(kind="counter", help="Seconds that the model ran, in all."),
    "onnxsplit_device_seconds": Family(
        kind="counter", help="Seconds of the device half, in all, as devices tell them."
    ),
    "onnxsplit_network_seconds": Family(
        kind="counter", help="Seconds on the network, in all, as devices tell them."
    ),
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and gauges, safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[Labels, float]] = {name: {} for name in FAMILIES}

    def add(self, name: str, amount: float, **labels: str) -> None:
        """Add to a counter or gauge.

        Parameters
        ----------
        name : str
            One of `FAMILIES`.
        amount : float
            Seconds for a name that ends in ``_us``; they are kept as microseconds.
        labels : str
        """
        scale = _MICROSECONDS if name.endswith("_us") else 1.0
        key = tuple(labels.items())
        with self._lock:
            series = self._values[name]
            series[key] = series.get(key, 0.0) + amount * scale

    def read(self, name: str, **labels: str) -> float:
        """Return a value; 0 if nothing was added yet."""
        with self._lock:
            return self._values[name].get(tuple(labels.items()), 0.0)

    def write(self) -> str:
        """Write all values in Prometheus' text format."""
        with self._lock:
            values = {name: dict(series) for name, series in self._values.items()}
        return "".join(_write_family(name, values[name]) for name in FAMILIES if values[name])


def _write_family(name: str, series: Mapping[Labels, float]) -> str:
    """Write one metric with its values."""
    family = FAMILIES[name]
    lines = [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
    lines += [f"{name}{{{_write_labels(labels)}}} {value:.17g}" for labels, value in series.items()]
    return "\n".join(lines) + "\n"


def _write_labels(labels: Iterable[tuple[str, str]]) -> str:
    """Write labels, escaped."""
    return ",".join(f'{name}="{_escape(value)}"' for name, value in labels)


def _escape(text: str) -> str:
    """Escape a label's value."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
