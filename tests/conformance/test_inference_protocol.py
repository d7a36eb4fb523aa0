"""What every server and every transport of the Open Inference Protocol must do alike."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxsplit as osp
from onnxsplit.engines.port import Array
from onnxsplit.errors import PeerMismatchError, ProtocolError
from onnxsplit.graph import TensorSpec
from onnxsplit.model.bundle import read_bundle
from onnxsplit.model.probe_model import PROBE_NAME
from onnxsplit.runtime.grpc_client import GrpcTransport
from onnxsplit.runtime.http_transport import HttpTransport
from onnxsplit.runtime.messages import InferRequest
from onnxsplit.runtime.ports import Transport
from tests.conformance.served import (
    Served,
    make_hidden_feeds,
    serve_by_grpc,
    serve_by_http,
    serve_by_ray,
    serve_by_triton,
    serve_hosted,
    write_bundles,
)
from tests.served_bundles import BATCHED_FEEDS, write_batched

Open = Callable[[], Transport]

PAIRS: dict[str, tuple[Callable[[Path, Path], AbstractContextManager[Served]], str]] = {
    "our HTTP": (serve_by_http, "http"),
    "our HTTP, hosted": (serve_hosted, "http"),
    "our gRPC": (serve_by_grpc, "grpc"),
    "Triton over HTTP": (serve_by_triton, "http"),
    "Ray Serve over HTTP": (serve_by_ray, "http"),
    "Triton over gRPC": (serve_by_triton, "grpc"),
}
"""A server, and the protocol by which it is asked."""
SLOW = {"Triton over gRPC", "Triton over HTTP", "Ray Serve over HTTP"}
TRANSPORTS: dict[str, Callable[[str], Transport]] = {"grpc": GrpcTransport, "http": HttpTransport}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in PAIRS],
)
def served(
    request: pytest.FixtureRequest, bundles: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Open]]:
    serve, protocol = PAIRS[request.param]
    with serve(bundles, tmp_path_factory.mktemp("server")) as server:
        url = server.urls[protocol]
        yield replace(server, url=url), partial(TRANSPORTS[protocol], url)


@pytest.fixture
def transport(served: tuple[Served, Open]) -> Iterator[Transport]:
    with served[1]() as connection:
        yield connection


def make_hidden(rows: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


def compute(hidden: Array) -> Array:
    """What the batched model's server half makes, by numpy."""
    v = np.array([[1, -1], [2, -2], [3, -3], [4, -4]], dtype=np.float32)
    result: Array = 1 / (1 + np.exp(-(hidden @ v)))
    return result


def ask(rows: int = 2, seed: int = 0, **changes: Any) -> InferRequest:  # noqa: ANN401 - may be wrong
    values = {"model": "batched", "inputs": {"h": make_hidden(rows, seed)}, **changes}
    return InferRequest(**values)


def test_a_server_tells_whether_it_and_its_models_are_ready(transport: Transport) -> None:
    assert transport.is_ready()
    assert transport.is_ready("batched")
    assert not transport.is_ready("no-such-model")


@pytest.mark.parametrize("name", ["batched", "typed"])
def test_a_model_is_described_as_its_manifest_does(
    transport: Transport, bundles: Path, name: str
) -> None:
    metadata = transport.describe_model(name)
    assert metadata.name == name
    assert "1" in metadata.versions
    stage = read_bundle(bundles / f"{name}.split").manifest.stages[-1]
    for found, specs in ((metadata.inputs, stage.inputs), (metadata.outputs, stage.outputs)):
        assert {spec.name: spec for spec in found} == {
            spec.name: forget_names(spec) for spec in specs
        }


def forget_names(spec: TensorSpec) -> TensorSpec:
    dims = tuple(dim if isinstance(dim, int) else None for dim in spec.shape or ())
    return TensorSpec(name=spec.name, dtype=spec.dtype, shape=dims)


def test_tensors_of_every_type_come_back_as_they_went(transport: Transport) -> None:
    feeds = make_hidden_feeds()
    response = transport.infer(InferRequest(model="typed", inputs=feeds))
    assert len(response.outputs) == len(feeds)
    for name, array in feeds.items():
        found = response.outputs[name.replace("m_", "y_")]
        assert found.dtype == array.dtype, name
        assert found.shape == array.shape
        if array.dtype.kind == "O":
            assert found.tolist() == array.tolist()
        else:
            assert found.tobytes() == array.tobytes(), name


@pytest.mark.parametrize("rows", [1, 2, 17])
def test_a_stage_computes_what_it_should(transport: Transport, rows: int) -> None:
    response = transport.infer(ask(rows))
    np.testing.assert_allclose(
        response.outputs["y"], compute(make_hidden(rows)), rtol=1e-5, atol=1e-6
    )
    assert response.model == "batched"


def test_the_identity_of_a_request_comes_back(transport: Transport) -> None:
    assert transport.infer(ask(id="frame 7")).id == "frame 7"


def test_wanted_outputs_alone_come_back_in_their_order(transport: Transport) -> None:
    wanted = ("y_uint8", "y_float", "y_bool")
    response = transport.infer(
        InferRequest(model="typed", inputs=make_hidden_feeds(), outputs=wanted)
    )
    assert tuple(response.outputs) == wanted


def test_several_megabytes_travel_both_ways(transport: Transport) -> None:
    feeds = make_hidden_feeds(columns=40_000)
    response = transport.infer(InferRequest(model="typed", inputs=feeds, outputs=("y_double",)))
    assert sum(array.nbytes for array in feeds.values()) > 5_000_000
    assert response.outputs["y_double"].tobytes() == feeds["m_double"].tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "no-such-model"},
        {"version": "99"},
        {"inputs": {}},
        {"inputs": {"h": make_hidden(2), "extra": make_hidden(2)}},
        {"inputs": {"other": make_hidden(2)}},
        {"inputs": {"h": make_hidden(2).astype(np.float64)}},
        {"inputs": {"h": make_hidden(2)[:, :3]}},
        {"inputs": {"h": make_hidden(2)[0]}},
        {"outputs": ("z",)},
    ],
    ids=", ".join,
)
def test_a_wrong_request_is_refused_in_words_and_the_next_is_answered(
    transport: Transport, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ProtocolError) as caught:
        transport.infer(ask(**wrong))
    assert len(str(caught.value)) > 10
    assert transport.infer(ask()).outputs["y"].shape == (2, 2)


def test_requests_at_the_same_time_get_their_own_answers(served: tuple[Served, Open]) -> None:
    def work(worker: int) -> bool:
        with served[1]() as connection:
            for turn in range(10):
                seed = 100 * worker + turn
                answer = connection.infer(ask(3, seed)).outputs["y"]
                np.testing.assert_allclose(
                    answer, compute(make_hidden(3, seed)), rtol=1e-5, atol=1e-6
                )
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_a_closed_transport_may_be_closed_again(served: tuple[Served, Open]) -> None:
    connection = served[1]()
    assert connection.is_ready()
    connection.close()
    connection.close()


def test_the_device_half_runs_with_it(served: tuple[Served, Open], bundles: Path) -> None:
    x = BATCHED_FEEDS["x"]
    w = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    with osp.connect(bundles / "batched.split", served[0].url, fallback="error") as half:
        for _ in range(3):
            result = half.run({"x": x})
            assert result.trace.route == "split"
            np.testing.assert_allclose(
                result.outputs["y"], compute(np.tanh(x @ w)), rtol=1e-5, atol=1e-6
            )


def test_the_half_of_another_model_is_not_talked_to(
    served: tuple[Served, Open], tmp_path: Path
) -> None:
    other = write_batched(tmp_path / "batched.split", sha256="cd" * 32)
    with (
        osp.connect(other.folder, served[0].url, fallback="error") as half,
        pytest.raises(PeerMismatchError, match="model_sha256"),
    ):
        half.run(BATCHED_FEEDS)


def test_the_probe_takes_and_gives_as_many_bytes_as_it_is_asked_for(transport: Transport) -> None:
    feeds: dict[str, Array] = {
        "payload": np.zeros(70_000, np.uint8),
        "n": np.array([90_000], np.int64),
    }
    outputs = transport.infer(InferRequest(model=PROBE_NAME, inputs=feeds)).outputs
    assert outputs["received"].tolist() == [70_000]
    assert outputs["reply"].nbytes == 90_000


def count(sequence: int, **flags: bool) -> InferRequest:
    ones = np.ones((1, 3), np.float32)
    parameters = {"sequence_id": sequence, **flags}
    return InferRequest(model="counting", inputs={"h": ones}, outputs=("y",), parameters=parameters)


def test_states_stay_with_their_sequences(served: tuple[Served, Open]) -> None:
    with served[1]() as one, served[1]() as other:
        if not served[0].keeps_states:  # then the caller would have to send them
            with pytest.raises(ProtocolError, match="past"):
                one.infer(count(7, sequence_start=True))
            return
        sums = {7: 0, 8: 0}
        for turn, sequence in enumerate([7, 8, 7, 7, 8]):
            connection = one if turn % 2 else other
            request = count(sequence, sequence_start=sums[sequence] == 0)
            sums[sequence] += 1
            assert connection.infer(request).outputs["y"].tolist() == [[-sums[sequence]] * 3]
        assert one.infer(count(7, sequence_end=True)).outputs["y"][0, 0] == -4
        with pytest.raises(ProtocolError):
            one.infer(count(7))
