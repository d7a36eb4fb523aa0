"""The gRPC form: its server against calls of every kind, its client against servers that fail."""

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import ArrayLike

from onnxsplit.errors import (
    LinkTimeoutError,
    PeerMismatchError,
    RequestError,
    TransportError,
    UsageError,
)
from onnxsplit.runtime import grpc_messages
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.grpc_client import GrpcTransport
from onnxsplit.runtime.grpc_schema import HEALTH_SERVICE, INFERENCE_SERVICE, load_messages
from onnxsplit.runtime.grpc_server import GrpcOptions, GrpcServer
from onnxsplit.runtime.messages import InferRequest, InferResponse
from onnxsplit.runtime.repository import ModelRepository
from onnxsplit.runtime.service import InferenceService, ServiceOptions
from tests.served_models import Doubler

Running = tuple[GrpcServer, InferenceService]
ROWS = np.array([[1.0, 2.0, 3.0]], np.float32)


@contextmanager
def serve(
    *models: Doubler,
    workers: int = 2,
    queue: int = 8,
    **options: Any,  # noqa: ANN401 - server's own
) -> Iterator[Running]:
    room = ServiceOptions(workers=workers, queue=queue)
    with (
        InferenceService(ModelRepository(models), room) as service,
        GrpcServer(service, GrpcOptions(**{"port": 0, **options})) as server,
    ):
        yield server, service


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serve(Doubler(), message_bytes=100_000) as started:
        yield started


@pytest.fixture
def transport(running: Running) -> Iterator[GrpcTransport]:
    with GrpcTransport(running[0].url) as connection:
        yield connection


def ask(rows: ArrayLike = ROWS, **changes: Any) -> InferRequest:  # noqa: ANN401 - tests put anything in
    return InferRequest(**{"model": "m", "inputs": {"x": np.array(rows, np.float32)}, **changes})


def call(port: int, method: str, data: bytes, service: str = INFERENCE_SERVICE) -> bytes:
    """Send bytes, whatever they are."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method_of = channel.unary_unary(
            f"/{service}/{method}", request_serializer=bytes, response_deserializer=bytes
        )
        reply: bytes = method_of(data, timeout=20)
        return reply


def fail(act: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        act()
    return caught.value


def test_answers_carry_the_parameters_of_the_model(transport: GrpcTransport) -> None:
    response = transport.infer(ask(id="7"))
    np.testing.assert_array_equal(response.outputs["y"], ROWS * 2)
    assert response.parameters == {"compute_seconds": 0.5}
    assert (response.id, response.version) == ("7", "1")
    assert transport.describe_model("m").parameters == {"tier": "server"}
    exchange = transport.exchange
    assert exchange is not None
    assert exchange.sent_bytes > ROWS.nbytes
    assert exchange.wait_seconds > 0


def test_a_request_for_another_half_is_refused_as_such(transport: GrpcTransport) -> None:
    with pytest.raises(PeerMismatchError, match="copy the same bundle"):
        transport.infer(ask(parameters={"tier": "edge"}))


@pytest.mark.parametrize(
    ("rows", "status", "complaint"),
    [
        ([[13, 0, 0]], 400, "does not like 13"),
        ([[14, 0, 0]], 500, "ZeroDivisionError"),
        (np.zeros((20_000, 3)), 413, "larger than max"),
    ],
)
def test_failures_have_their_own_statuses(
    transport: GrpcTransport,
    rows: ArrayLike,
    status: int,
    complaint: str,
) -> None:
    with pytest.raises(RequestError, match=complaint) as caught:
        transport.infer(ask(rows))
    assert caught.value.status == status
    assert transport.is_ready("m")


def make_tensor(**fields: Any) -> Any:  # noqa: ANN401 - a message
    request = load_messages()["ModelInferRequest"](model_name="m")
    contents = fields.pop("contents", {})
    tensor = request.inputs.add(**{"name": "x", "datatype": "FP32", "shape": [1, 3], **fields})
    for name, values in contents.items():
        getattr(tensor.contents, name).extend(values)
    return request


def test_tensors_may_come_as_lists_of_their_type(running: Running) -> None:
    request = make_tensor(contents={"fp32_contents": [1, 2, 3]})
    reply = call(running[0].port, "ModelInfer", request.SerializeToString())
    message = load_messages()["ModelInferResponse"].FromString(reply)
    found = grpc_messages.read_response(message).outputs["y"]
    np.testing.assert_array_equal(found, ROWS * 2)


@pytest.mark.parametrize(
    ("fields", "raw", "complaint"),
    [
        ({"contents": {"fp32_contents": [1, 2]}}, [], "takes 3 elements, and 2 were sent"),
        ({"contents": {"int_contents": [1, 2, 3]}}, [], "must have its elements in fp32_contents"),
        ({"contents": {"fp32_contents": [1, 2, 3]}}, [bytes(12)], "both as bytes and as a list"),
        ({}, [bytes(12), bytes(12)], "1 tensors are described and 2 are there"),
        ({}, [bytes(11)], "takes 12 bytes, and 11 were sent"),
        ({"shape": [-1, 3]}, [bytes(12)], "from 0 on"),
        ({"shape": [2**62, 2**62]}, [bytes(12)], "larger than any memory"),
        ({"datatype": "FP8"}, [bytes(12)], "no datatype 'FP8'"),
        ({"datatype": "FP16"}, [], "must be bytes"),
        ({"datatype": "INT8", "contents": {"int_contents": [1, 2, 300]}}, [], "int8 can't hold"),
        (
            {"datatype": "BYTES", "contents": {"bytes_contents": [b"\xff", b"", b""]}},
            [],
            "no UTF-8",
        ),
        ({"name": "z"}, [bytes(12)], "has no input 'z'"),
    ],
)
def test_malformed_tensors_are_refused_in_words(
    running: Running, fields: dict[str, Any], raw: list[bytes], complaint: str
) -> None:
    request = make_tensor(**fields)
    request.raw_input_contents.extend(raw)
    error = fail(lambda: call(running[0].port, "ModelInfer", request.SerializeToString()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert complaint in (error.details() or "")


def test_shared_memory_and_repeated_names_are_refused(running: Running) -> None:
    request = make_tensor()
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"
    twice = make_tensor()
    twice.inputs.append(twice.inputs[0])
    twice.raw_input_contents.extend([bytes(12)] * 2)
    wanting = make_tensor()
    wanting.raw_input_contents.append(bytes(12))
    wanting.outputs.add(name="y").parameters["classification"].int64_param = 3
    for message, complaint in (
        (request, "shared memory"),
        (twice, "more than once"),
        (wanting, "with parameters"),
    ):
        data = message.SerializeToString()
        error = fail(lambda data=data: call(running[0].port, "ModelInfer", data))  # type: ignore[misc] # bound at once
        assert complaint in (error.details() or "")


def send_nonsense(port: int, count: int, seed: int) -> None:
    """Send messages that are none, and requests with changed bytes; each must be refused."""
    random = np.random.default_rng(seed)
    good = make_tensor().SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(
            f"/{INFERENCE_SERVICE}/ModelInfer",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        for _ in range(count):
            data = bytearray(random.choice([good, random.bytes(int(random.integers(60)))]))
            for place in random.integers(0, len(data), 3) if data else ():
                data[place] = int(random.integers(256))
            with pytest.raises(grpc.RpcError) as caught:
                infer(bytes(data), timeout=20)
            code = caught.value.code()
            assert code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def test_bytes_that_are_no_message_are_refused_and_the_server_stays(running: Running) -> None:
    send_nonsense(running[0].port, 500, seed=3)
    with GrpcTransport(running[0].url) as connection:
        assert connection.infer(ask()).outputs["y"].shape == (1, 3)


@pytest.mark.slow
def test_ten_thousand_malformed_requests_take_no_memory_for_good(running: Running) -> None:
    send_nonsense(running[0].port, 2_000, seed=4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    send_nonsense(running[0].port, 10_000, seed=5)
    grown_kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kibibytes < 16_384
    with GrpcTransport(running[0].url) as connection:
        assert connection.infer(ask()).outputs["y"].shape == (1, 3)


def check_health(port: int, service: str) -> int:
    question = load_messages()["HealthCheckRequest"](service=service).SerializeToString()
    reply = call(port, "Check", question, HEALTH_SERVICE)
    status: int = load_messages()["HealthCheckResponse"].FromString(reply).status
    return status


def test_health_is_told_for_the_server_its_service_and_each_model() -> None:
    with serve(Doubler()) as (server, service):
        for name in ("", INFERENCE_SERVICE, "m"):
            assert check_health(server.port, name) == 1
        error = fail(lambda: check_health(server.port, "n"))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        service.drain(5)
        assert check_health(server.port, "") == 2


def test_a_server_that_drains_or_is_full_says_so() -> None:
    gate = threading.Event()
    model = Doubler(gate=gate)
    with (
        serve(model, workers=1, queue=0) as (server, service),
        GrpcTransport(server.url) as busy,
        GrpcTransport(server.url) as other,
    ):
        answers: list[InferResponse] = []
        thread = threading.Thread(target=lambda: answers.append(busy.infer(ask())))
        thread.start()
        assert model.entered.acquire(timeout=20)
        with pytest.raises(RequestError, match="try again later") as caught:
            other.infer(ask())
        assert caught.value.status == 429
        gate.set()
        thread.join(20)
        assert answers
        service.drain(5)
        with pytest.raises(TransportError, match="takes no requests now"):
            other.infer(ask())
        assert not other.is_ready()


def test_a_late_answer_is_a_timeout_and_a_lost_server_is_out_of_reach() -> None:
    gate = threading.Event()
    with serve(Doubler(gate=gate)) as (server, _), GrpcTransport(server.url) as connection:
        with pytest.raises(LinkTimeoutError, match="did not answer in time"):
            connection.infer(ask(), timeout_seconds=0.2)
        gate.set()
        server.stop()
        with pytest.raises(TransportError):
            connection.infer(ask(), timeout_seconds=5)
        assert not connection.is_ready()
    with pytest.raises(TransportError, match="is closed"):
        connection.infer(ask())


def wait_until_ready(connection: GrpcTransport) -> bool:
    for _ in range(200):
        if connection.is_ready():
            return True
        time.sleep(0.1)
    return False


def test_a_server_that_comes_back_is_found_by_the_same_connection() -> None:
    with serve(Doubler()) as (server, _):
        connection = GrpcTransport(server.url)
        assert connection.infer(ask()).outputs["y"].shape == (1, 3)
    assert not connection.is_ready()
    with connection, serve(Doubler(), port=server.port):
        assert wait_until_ready(connection)
        assert connection.infer(ask()).outputs["y"].shape == (1, 3)


def test_a_token_is_asked_of_everybody_but_those_who_ask_for_health() -> None:
    with serve(Doubler(), token="secret") as (server, _):  # noqa: S106 - a test's own
        for token in (None, "Secret"):
            with (
                GrpcTransport(server.url, ClientSecurity(token=token)) as stranger,
                pytest.raises(TransportError, match="token"),
            ):
                stranger.infer(ask())
        security = ClientSecurity(token="secret")  # noqa: S106 - likewise
        with GrpcTransport(server.url, security) as friend:
            assert friend.infer(ask()).outputs["y"].shape == (1, 3)
        assert check_health(server.port, "") == 1


def test_a_taken_port_is_refused_in_words(running: Running) -> None:
    with pytest.raises(UsageError, match="--grpc-port"), serve(port=running[0].port):
        pass


@pytest.mark.parametrize("url", ["grpc://", "grpc://h:99999", "http://h", "grpc://h/path"])
def test_urls_that_are_none_of_grpc_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"grpc://|no URL"):
        GrpcTransport(url)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1.5, -2.25]], ml_dtypes.bfloat16),
        np.zeros((0, 3), np.int16),
        np.array(3.5),
        np.array(["é", ""], dtype=object),
        np.arange(12, dtype=">i4").reshape(3, 4)[:, ::2],
    ],
    ids=["bfloat16", "empty", "scalar", "strings", "strided and big-endian"],
)
def test_arrays_of_every_kind_are_written_and_read(array: np.ndarray) -> None:
    request = InferRequest(
        model="m",
        inputs={"a": array},
        outputs=("b", "a"),
        parameters={"t": True, "i": -(2**63), "u": 2**64 - 1, "f": 0.5, "s": "x"},
    )
    data = grpc_messages.write_request(request).SerializeToString()
    found = grpc_messages.read_request(load_messages()["ModelInferRequest"].FromString(data))
    assert found.outputs == request.outputs
    assert found.parameters == request.parameters
    assert found.inputs["a"].shape == array.shape
    assert found.inputs["a"].tolist() == array.tolist()


def test_without_the_extra_a_sentence_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['grpc'] = None\n"
        "from onnxsplit.cli.application import run\n"
        "sys.exit(run(['probe', 'grpc://127.0.0.1:1']))"
    )
    finished = subprocess.run(  # noqa: S603 - a fixed script
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert 'pip install "onnxsplit[grpc]"' in finished.stderr
    assert "Traceback" not in finished.stderr
