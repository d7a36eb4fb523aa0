"""The watch: what it tells the controller of links that work, fail and come back."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from onnxsplit.errors import ProtocolError, RequestError
from onnxsplit.runtime.controller import CutController
from onnxsplit.runtime.deadlines import Deadline
from onnxsplit.runtime.exchanges import Exchange
from onnxsplit.runtime.link_watch import MOST_BYTES, LinkWatch
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.remote_half import RemoteHalf
from onnxsplit.tiers import Link
from tests.fake_servers import FakeTransport
from tests.unit.test_cut_controller import CUTS

METADATA = ModelMetadata(name="onnxsplit_probe", inputs=(), outputs=())


@dataclass(slots=True)
class Line:
    """A link with figures of its own, and what was sent over it."""

    rate: float = 5e6
    trip: float = 0.01
    is_up: bool = True
    sizes: list[int] = field(default_factory=list)

    def open(self) -> RemoteHalf:
        return RemoteHalf(lambda: TimedTransport(self))


class TimedTransport(FakeTransport):
    """Says of each request what it would have taken."""

    def __init__(self, line: Line) -> None:
        super().__init__(self._answer_probe, METADATA, is_up=lambda: line.is_up)
        self._line = line
        self._seconds = 0.0

    @property
    def exchange(self) -> Exchange | None:
        return Exchange(
            encode_seconds=0.0,
            wait_seconds=self._seconds,
            decode_seconds=0.0,
            sent_bytes=0,
            received_bytes=0,
            is_fresh=False,
        )

    def _answer_probe(self, request: InferRequest) -> InferResponse:
        size, wanted = request.inputs["payload"].nbytes, int(request.inputs["n"][0])
        self._line.sizes.append(size)
        self._seconds = self._line.trip + size / self._line.rate
        outputs = {"received": np.array([size]), "reply": np.zeros(wanted, np.uint8)}
        return InferResponse(model="onnxsplit_probe", outputs=outputs)


def make_controller() -> CutController:
    link = Link(up_bytes_per_second=5e6, down_bytes_per_second=5e6, round_trip_seconds=0.5)
    return CutController(CUTS, link)


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        time.sleep(0.01)
    pytest.fail("it never came")


def test_a_look_tells_the_round_trip_and_the_rate() -> None:
    line, controller = Line(), make_controller()
    watch = LinkWatch(controller, line.open())
    watch.look()
    assert controller.link.round_trip_seconds == pytest.approx(0.01, rel=0.01)
    for rate in (1e6, 20e6):
        line.rate = rate
        for _ in range(3):
            watch.look()
        assert controller.link.up_bytes_per_second == pytest.approx(rate, rel=0.01)


def test_a_look_takes_little_of_the_link() -> None:
    line, controller = Line(rate=125e6), make_controller()
    watch = LinkWatch(controller, line.open())
    for _ in range(5):
        watch.look()
    assert max(line.sizes) <= MOST_BYTES
    slow = Line(rate=100e3)
    watch = LinkWatch(controller, slow.open())
    for _ in range(4):
        watch.look()
    slow.sizes.clear()
    watch.look()
    assert sum(slow.sizes) < 100_000


def test_a_link_that_is_down_is_told_and_so_is_its_return() -> None:
    line, controller = Line(is_up=False), make_controller()
    watch = LinkWatch(controller, line.open())
    watch.look()
    assert not controller.is_up
    assert controller.choose() == "all-device"
    line.is_up = True
    watch.look()
    assert controller.is_up
    assert controller.choose() != "all-device"


def test_it_never_waits_for_long_for_a_connection_that_others_use() -> None:
    line, controller = Line(), make_controller()
    remote = line.open()
    with remote.lend(Deadline(end_seconds=None)):
        LinkWatch(controller, remote).look()
    assert not line.sizes
    assert not controller.is_up  # a request that takes so long says as much


def test_it_looks_again_and_again_until_it_is_closed() -> None:
    line, controller = Line(), make_controller()
    watch = LinkWatch(controller, line.open(), every_seconds=0.01)
    watch.start()
    wait_until(lambda: len(line.sizes) > 30)
    watch.close()
    watch.close()
    seen = len(line.sizes)
    time.sleep(0.05)
    assert len(line.sizes) == seen


def test_a_server_without_the_probe_model_ends_the_watch_but_nothing_else() -> None:
    asked = threading.Event()

    def refuse(request: InferRequest) -> InferResponse:
        del request
        asked.set()
        raise RequestError("no such model", status=404)

    remote = RemoteHalf(lambda: FakeTransport(refuse, METADATA))
    controller = make_controller()
    watch = LinkWatch(controller, remote, every_seconds=0.01)
    with pytest.raises(ProtocolError):
        watch.look()
    asked.clear()
    watch.start()
    assert asked.wait(5)
    watch.close()
    assert controller.is_up
