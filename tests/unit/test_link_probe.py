"""The probe on links of which a test knows the figures, and on servers that have none."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from onnxsplit.errors import ProtocolError, RequestError, TransportError
from onnxsplit.runtime import link_probe
from onnxsplit.runtime.link_probe import find_interval, measure_link
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.probe_requests import ProbeRequests
from tests.fake_servers import FakeTransport

METADATA = ModelMetadata(name="onnxsplit_probe", inputs=(), outputs=())


class FakeProbe(ProbeRequests):
    """Tells times as a link would, without waiting for them."""

    def __init__(self, up: float, down: float, trip: float, noise: float = 0.0) -> None:
        self._figures = up, down, trip
        self._noise = noise
        self._rng = random.Random(3)
        self.largest_bytes = 0
        self.limit_bytes = 1 << 60

    def ask(self, *, up_bytes: int = 1, down_bytes: int = 1) -> float:
        up, down, trip = self._figures
        if up_bytes > self.limit_bytes:
            raise RequestError("too large", status=413)
        self.largest_bytes = max(self.largest_bytes, up_bytes, down_bytes)
        seconds = trip + up_bytes / up + down_bytes / down
        return seconds * (1 + self._rng.expovariate(1) * self._noise)


@pytest.mark.parametrize("rate", [30e3, 750e3, 12.5e6, 125e6])
@pytest.mark.parametrize("trip", [0.0005, 0.02, 0.2])
def test_rates_and_round_trip_come_out_as_they_are(rate: float, trip: float) -> None:
    found = measure_link(FakeProbe(rate, 3 * rate, trip)).link
    assert found.up_bytes_per_second == pytest.approx(rate, rel=1e-6)
    assert found.down_bytes_per_second == pytest.approx(3 * rate, rel=1e-6)
    assert found.round_trip_seconds == pytest.approx(trip, rel=0.2)
    assert found.evidence == "measured"


def test_noise_that_only_adds_is_borne() -> None:
    found = measure_link(FakeProbe(2e6, 4e6, 0.03, noise=0.03), budget_seconds=0.05)
    assert found.link.up_bytes_per_second == pytest.approx(2e6, rel=0.1)
    assert found.up.interval_relative is not None
    assert found.up.interval_relative > 0


def test_slow_links_are_not_asked_for_more_than_they_can_take() -> None:
    probe = FakeProbe(30e3, 30e3, 0.3)
    measure_link(probe)
    assert probe.largest_bytes == link_probe.FIRST_BYTES


def test_a_server_that_takes_little_is_measured_with_little() -> None:
    probe = FakeProbe(125e6, 125e6, 0.001)
    probe.limit_bytes = 300_000
    assert measure_link(probe).up.large_bytes == 262_144


def test_a_link_on_which_more_takes_no_longer_has_no_rate() -> None:
    with pytest.raises(TransportError, match="too uneven"):
        measure_link(FakeProbe(float("inf"), 1e6, 0.01), budget_seconds=0.01)


def test_the_interval_of_a_median_narrows_with_more_values() -> None:
    rng = random.Random(5)
    values = [rng.gauss(1.0, 0.1) for _ in range(400)]
    assert find_interval(values[:4]) is None
    few, many = find_interval(values[:12]), find_interval(values)
    assert few is not None
    assert many is not None
    assert 0.005 < many < few < 0.2


def make_probe(answer: Callable[[InferRequest], InferResponse]) -> ProbeRequests:
    return ProbeRequests(FakeTransport(answer, METADATA))


def test_a_request_carries_as_many_bytes_as_it_should() -> None:
    seen: list[InferRequest] = []

    def answer(request: InferRequest) -> InferResponse:
        seen.append(request)
        size = int(request.inputs["n"][0])
        outputs = {"received": np.array([1]), "reply": np.zeros(size, np.uint8)}
        return InferResponse(model="p", outputs=outputs, parameters={"compute_seconds": 0.004})

    probe = make_probe(answer)
    assert probe.ask(up_bytes=1000, down_bytes=50) == pytest.approx(0.006)
    assert seen[0].inputs["payload"].nbytes == 1000
    assert seen[0].model == "onnxsplit_probe"
    # nothing on the way can make it smaller
    assert len(np.unique(seen[0].inputs["payload"])) > 200


def test_a_model_of_that_name_that_is_not_ours_is_a_breach_of_the_protocol() -> None:
    probe = make_probe(lambda _: InferResponse(model="p", outputs={"y": np.zeros(1)}))
    with pytest.raises(ProtocolError, match="not ours"):
        probe.ask()
