"""The device's half against a fake server: asked once more, done without, and asked again."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from onnxsplit.engines.port import Array
from onnxsplit.errors import (
    ConnectionLostError,
    LinkTimeoutError,
    PeerMismatchError,
    ProtocolError,
    RequestError,
    TransportError,
    UntrustedPeerError,
    UsageError,
)
from onnxsplit.graph import TensorSpec
from onnxsplit.manifest import Manifest
from onnxsplit.runtime.breaker import Breaker
from onnxsplit.runtime.device_half import DeviceHalf
from onnxsplit.runtime.messages import InferRequest, InferResponse, ModelMetadata
from onnxsplit.runtime.pipeline import WhenFull, run_pipelined
from onnxsplit.runtime.remote_half import RemoteHalf
from onnxsplit.runtime.split_cuts import RemotePart, SplitCut
from tests.fake_servers import FakeTransport

X = TensorSpec(name="x", dtype="float32", shape=(2,))
MIDDLE = TensorSpec(name="h", dtype="float32", shape=(2,))
Y = TensorSpec(name="y", dtype="float32", shape=(2,))
FACTS = {"stage_sha256": "ab" * 32}
ONE = np.ones(2, np.float32)

Answer = Callable[[InferRequest], InferResponse]


@dataclass(slots=True)
class FakeStage:
    """Adds a number to what it is given."""

    metadata: ModelMetadata
    added: float
    runs: int = 0
    is_closed: bool = False

    def infer(self, request: InferRequest) -> InferResponse:
        self.runs += 1
        (value,) = request.inputs.values()
        (output,) = self.metadata.outputs
        return InferResponse(
            model="stage", outputs={output.name: (value + self.added).astype(np.float32)}
        )

    def close(self) -> None:
        self.is_closed = True


MANIFEST = Manifest(
    model={
        "sha256": None,
        "structure": None,
        "inputs": [{"name": "x"}],
        "outputs": [{"name": "y"}],
    },
    stages=(),
    yields={"y": "server"},
    crossings=(),
    plan={"predicted": {"total_seconds": 0.25}},
    parity=None,
    carving={},
)


def make_cut(*, has_states: bool = False) -> SplitCut:
    return SplitCut(
        id="",
        manifest=MANIFEST,
        local=FakeStage(ModelMetadata(name="device", inputs=(X,), outputs=(MIDDLE,)), 1.0),
        remote=RemotePart(
            model="m", inputs=("h",), outputs=("y",), specs=(MIDDLE,), facts=FACTS, has_states=False
        ),
        outputs=("y",),
        has_states=has_states,
    )


def make_whole() -> SplitCut:
    stage = FakeStage(ModelMetadata(name="whole", inputs=(X,), outputs=(Y,)), 11.0)
    return replace(make_cut(), local=stage, remote=None)


def add_ten(request: InferRequest) -> InferResponse:
    outputs = {"y": request.inputs["h"] + np.float32(10)}
    return InferResponse(model="m", outputs=outputs, parameters={"compute_seconds": 0.004})


def make_failing(*errors: Exception | None) -> Answer:
    """Fail as told, one request after the other, and then never again."""
    pending = list(errors)

    def answer(request: InferRequest) -> InferResponse:
        error = pending.pop(0) if pending else None
        if error is not None:
            raise error
        return add_ten(request)

    return answer


@dataclass(slots=True)
class Scene:
    """A device half with everything around it at hand."""

    answer: Answer = add_ten
    is_up: bool = True
    metadata: ModelMetadata = field(
        default_factory=lambda: ModelMetadata(
            name="m", inputs=(MIDDLE,), outputs=(Y,), parameters=FACTS
        )
    )
    has_whole: bool = True
    has_states: bool = False
    connections: int = 1
    now_seconds: float = 0.0
    transports: list[FakeTransport] = field(default_factory=list)
    loads: int = 0

    def open(self) -> DeviceHalf:
        return DeviceHalf(
            {"": make_cut(has_states=self.has_states)},
            RemoteHalf(self._make_transport, connections=self.connections),
            load_whole=self._load if self.has_whole else None,
            breaker=Breaker(clock=lambda: self.now_seconds),
        )

    @property
    def requests(self) -> list[InferRequest]:
        return [request for transport in self.transports for request in transport.requests]

    def _make_transport(self) -> FakeTransport:
        transport = FakeTransport(self.answer, self.metadata, is_up=lambda: self.is_up)
        self.transports.append(transport)
        return transport

    def _load(self) -> SplitCut:
        self.loads += 1
        return make_whole()


def test_both_halves_make_the_output_and_every_part_is_told() -> None:
    scene = Scene()
    with scene.open() as half:
        half.run({"x": ONE})
        result = half.run({"x": ONE})
    trace = result.trace
    assert result.outputs["y"].tolist() == [12.0, 12.0]
    assert trace.route == "split"
    assert trace.index == 1
    assert trace.server_seconds == 0.004
    assert trace.network_seconds == pytest.approx(0.006)
    assert trace.sent_bytes == 100
    assert trace.predicted_seconds == 0.25
    assert not trace.is_fresh
    assert FACTS.items() <= scene.requests[0].parameters.items()
    assert scene.transports[0].is_closed


def test_what_lies_beyond_a_relay_counts_as_the_server() -> None:
    def relay(request: InferRequest) -> InferResponse:
        told = {"compute_seconds": 0.002, "relay_seconds": 0.005, "compute_seconds_cloud": 0.001}
        return replace(add_ten(request), parameters=told)

    with Scene(answer=relay).open() as half:
        trace = half.run({"x": ONE}).trace
    assert trace.server_seconds == pytest.approx(0.007)
    assert trace.network_seconds == pytest.approx(0.003)


def test_the_first_run_shakes_hands_and_says_that_it_was_cold() -> None:
    with Scene().open() as half:
        assert half.run({"x": ONE}).trace.is_fresh


@pytest.mark.parametrize("fact", ["stage_sha256", "model_sha256"])
def test_another_half_is_never_talked_to(fact: str) -> None:
    scene = Scene()
    scene.metadata = replace(scene.metadata, parameters={**FACTS, fact: "cd" * 32})
    cut = make_cut()
    assert cut.remote is not None
    facts = {**FACTS, "model_sha256": "ab" * 32}
    cut = replace(cut, remote=replace(cut.remote, facts=facts))
    half = DeviceHalf({"": cut}, RemoteHalf(scene._make_transport), load_whole=make_whole)  # noqa: SLF001 - its own scene
    with half, pytest.raises(PeerMismatchError, match=fact):
        half.run({"x": ONE})
    assert not scene.requests


def test_a_model_that_takes_something_else_is_another_half() -> None:
    scene = Scene()
    scene.metadata = replace(scene.metadata, inputs=(replace(MIDDLE, dtype="float16"),))
    with scene.open() as half, pytest.raises(PeerMismatchError, match=r"h \(float16\)"):
        half.run({"x": ONE})


def test_servers_that_tell_no_hashes_are_sent_none() -> None:
    scene = Scene()
    scene.metadata = replace(scene.metadata, parameters={})
    with scene.open() as half:
        half.run({"x": ONE})
    assert scene.requests[0].parameters == {}


def test_a_lost_connection_is_tried_once_more_with_the_same_id() -> None:
    scene = Scene(answer=make_failing(ConnectionLostError("gone")))
    with scene.open() as half:
        result = half.run({"x": ONE})
    assert result.trace.retries == 1
    assert result.trace.route == "split"
    first, second = scene.requests
    assert first.id == second.id != ""


def test_a_connection_that_is_lost_twice_is_not_tried_a_third_time() -> None:
    lost = [ConnectionLostError("gone"), ConnectionLostError("gone again")]
    scene = Scene(answer=make_failing(*lost), has_whole=False)
    with scene.open() as half, pytest.raises(ConnectionLostError, match="again"):
        half.run({"x": ONE})
    assert len(scene.requests) == 2


@pytest.mark.parametrize(
    "error",
    [
        LinkTimeoutError("late"),
        RequestError("bad", status=400),
        RequestError("full", status=429),
        ProtocolError("nonsense"),
        TransportError("away"),
    ],
)
def test_nothing_but_a_lost_connection_is_tried_again(error: TransportError) -> None:
    scene = Scene(answer=make_failing(error), has_whole=False)
    with scene.open() as half:
        with pytest.raises(type(error), match=str(error)):
            half.run({"x": ONE})
        assert len(scene.requests) == 1
        assert half.run({"x": ONE}).trace.route == "split"


@pytest.mark.parametrize(
    "error",
    [
        LinkTimeoutError("late"),
        RequestError("full", status=429),
        RequestError("the tier beyond is away", status=502),
        TransportError("away"),
    ],
)
def test_while_the_server_is_away_the_whole_model_runs_here(error: TransportError) -> None:
    scene = Scene(answer=make_failing(error))
    with scene.open() as half:
        result = half.run({"x": ONE})
    assert result.outputs["y"].tolist() == [12.0, 12.0]
    assert result.trace.route == "fallback"
    assert str(error) in result.trace.problem


@pytest.mark.parametrize(
    "error",
    [
        RequestError("bad", status=400),
        ProtocolError("nonsense"),
        UntrustedPeerError("does not let us in"),
    ],
)
def test_what_is_wrong_is_an_error_although_there_is_a_whole_model(error: TransportError) -> None:
    scene = Scene(answer=make_failing(error))
    with scene.open() as half, pytest.raises(type(error)):
        half.run({"x": ONE})
    assert scene.loads == 0


def test_a_model_with_states_never_falls_back() -> None:
    scene = Scene(answer=make_failing(TransportError("away")), has_states=True)
    with scene.open() as half, pytest.raises(TransportError, match="away"):
        half.run({"x": ONE})


def test_a_server_that_is_away_is_left_alone_and_asked_again_when_it_is_back() -> None:
    scene = Scene()
    with scene.open() as half:

        def run() -> str:
            return half.run({"x": ONE}).trace.route

        assert run() == "split"
        scene.is_up = False
        assert run() == "fallback"
        asked = len(scene.requests)
        assert [run() for _ in range(5)] == ["fallback"] * 5
        assert len(scene.requests) == asked  # the breaker is open
        scene.now_seconds += 0.6
        assert run() == "fallback"  # half open: it is asked whether it is ready, and is not
        assert len(scene.requests) == asked
        scene.is_up = True
        assert run() == "fallback"  # it rests longer now
        scene.now_seconds += 1.1
        assert [run(), run()] == ["split", "split"]
    assert scene.loads == 1


def test_the_deadline_counts_what_the_device_took() -> None:
    scene = Scene()
    with scene.open() as half:
        half.run({"x": ONE}, deadline_seconds=5.0)
    (timeout,) = scene.transports[0].timeouts
    assert timeout is not None
    assert 0 < timeout < 5.0


def test_inputs_that_do_not_fit_are_named() -> None:
    with Scene().open() as half:
        with pytest.raises(UsageError, match=r"no input 'z'.*x"):
            half.run({"z": ONE})
        with pytest.raises(UsageError, match="needs the input 'x'"):
            half.run({})


def test_an_answer_without_the_output_is_a_breach_of_the_protocol() -> None:
    scene = Scene(answer=lambda _: InferResponse(model="m", outputs={}))
    with scene.open() as half, pytest.raises(ProtocolError, match="lacks the output 'y'"):
        half.run({"x": ONE})


def make_steps(values: Sequence[float]) -> Iterator[tuple[Mapping[str, Array], dict[str, int]]]:
    for value in values:
        yield {"x": np.full(2, value, np.float32)}, {}


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_results_keep_the_order_of_their_inputs(depth: int) -> None:
    def answer(request: InferRequest) -> InferResponse:
        time.sleep(0.01 if request.inputs["h"][0] % 2 else 0.0)
        return add_ten(request)

    scene = Scene(answer=answer, connections=depth)
    with scene.open() as half:
        results = list(run_pipelined(half, make_steps(range(12)), depth=depth))
    assert [result.outputs["y"][0] for result in results] == [11.0 + n for n in range(12)]
    assert [result.trace.index for result in results] == list(range(12))


def test_no_more_runs_are_in_flight_than_the_depth() -> None:
    flying, most, lock = 0, 0, threading.Lock()

    def answer(request: InferRequest) -> InferResponse:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        time.sleep(0.005)
        with lock:
            flying -= 1
        return add_ten(request)

    scene = Scene(answer=answer, connections=3)
    with scene.open() as half:
        list(run_pipelined(half, make_steps(range(15)), depth=3))
    assert most == 3


def test_the_device_works_on_while_the_last_run_travels() -> None:
    begun = threading.Event()
    overlapped = []

    def answer(request: InferRequest) -> InferResponse:
        overlapped.append(begun.wait(5) if request.inputs["h"][0] == 1 else True)
        return add_ten(request)

    def steps() -> Iterator[tuple[Mapping[str, Array], dict[str, int]]]:
        yield from make_steps([0.0])
        begun.set()  # the second inputs are looked at although the first are still away
        yield from make_steps([1.0])

    scene = Scene(answer=answer, connections=2)
    with scene.open() as half:
        list(run_pipelined(half, steps(), depth=2))
    assert overlapped == [True, True]


def test_a_live_source_drops_what_is_oldest_and_says_so() -> None:
    release = threading.Event()
    read = threading.Event()

    def answer(request: InferRequest) -> InferResponse:
        release.wait(5)
        return add_ten(request)

    def steps() -> Iterator[tuple[Mapping[str, Array], dict[str, int]]]:
        yield from make_steps([0.0])
        while not scene.requests:
            time.sleep(0.001)
        yield from make_steps([1.0, 2.0, 3.0, 4.0])
        release.set()
        read.set()

    scene = Scene(answer=answer)
    with scene.open() as half:
        results = list(run_pipelined(half, steps(), depth=1, when_full="drop-oldest"))
    assert read.is_set()
    assert [result.trace.index for result in results] == [0, 1, 2, 3, 4]
    assert [result.trace.route for result in results] == ["split", *["dropped"] * 3, "split"]
    assert results[-1].outputs["y"][0] == 15.0


def test_a_source_that_fails_is_heard_in_both_ways_of_reading() -> None:
    def steps() -> Iterator[tuple[Mapping[str, Array], dict[str, int]]]:
        yield from make_steps([0.0])
        raise UsageError("no more")

    ways: tuple[WhenFull, ...] = ("block", "drop-oldest")
    for way in ways:
        with Scene().open() as half, pytest.raises(UsageError, match="no more"):
            list(run_pipelined(half, steps(), depth=1, when_full=way))


def test_a_depth_of_nothing_is_refused() -> None:
    with Scene().open() as half, pytest.raises(UsageError, match="at least 1"):
        list(run_pipelined(half, make_steps([0.0]), depth=0))
