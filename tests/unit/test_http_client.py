"""The HTTP transport against servers that behave, misbehave, stall and vanish."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onnxsplit.errors import (
    ConnectionLostError,
    LinkTimeoutError,
    OnnxSplitError,
    PeerMismatchError,
    ProtocolError,
    RequestError,
    TransportError,
    UntrustedPeerError,
    UsageError,
)
from onnxsplit.runtime.client_security import ClientSecurity, read_token
from onnxsplit.runtime.deadlines import Deadline
from onnxsplit.runtime.http_address import HttpAddress
from onnxsplit.runtime.http_failures import translate_failures
from onnxsplit.runtime.http_transport import HttpTransport
from onnxsplit.runtime.messages import InferRequest
from tests.fake_servers import (
    answering,
    read_request,
    serve_scripts,
    write_answer,
    write_refusal,
)

REQUEST = InferRequest(model="m", inputs={"x": np.arange(6, dtype=np.float32).reshape(2, 3)})
GOOD = write_answer({"y": np.array([1.5, 2.5], np.float32)})
OK = b"HTTP/1.1 200 OK\r\n"
HEAD = b"Inference-Header-Content-Length: "
SHOWN = "s3cret"


def send(connection: socket.socket, data: bytes) -> None:
    read_request(connection)
    connection.sendall(data)


def test_two_requests_travel_over_one_connection() -> None:
    with serve_scripts(answering(GOOD, GOOD)) as server, HttpTransport(server.url) as transport:
        first = transport.infer(REQUEST)
        assert transport.exchange is not None
        assert transport.exchange.is_fresh
        second = transport.infer(REQUEST)
        assert not transport.exchange.is_fresh
        assert server.accepted == 1
    assert first.outputs["y"].tolist() == second.outputs["y"].tolist() == [1.5, 2.5]


def test_a_connection_that_the_server_closed_while_idle_is_lost_then_opened_anew() -> None:
    with (
        serve_scripts(answering(GOOD), answering(GOOD)) as server,
        HttpTransport(server.url) as transport,
    ):
        transport.infer(REQUEST)
        with pytest.raises(ConnectionLostError, match="broke"):
            transport.infer(REQUEST)
        assert transport.infer(REQUEST).outputs["y"].size == 2


def test_an_answer_that_closes_the_connection_is_read_to_its_end() -> None:
    closing = write_answer({"y": np.zeros(50_000, np.float32)}, extra=b"Connection: close\r\n")
    with (
        serve_scripts(answering(closing), answering(GOOD)) as server,
        HttpTransport(server.url) as transport,
    ):
        assert transport.infer(REQUEST).outputs["y"].size == 50_000
        transport.infer(REQUEST)
        assert transport.exchange is not None
        assert transport.exchange.is_fresh


def test_bodies_of_untold_length_are_read_too() -> None:
    head, _, body = GOOD.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    chunked = b"\r\n".join(
        [*lines, b"Transfer-Encoding: chunked", b"", b"%x" % len(body), body, b"0", b"", b""]
    )
    with serve_scripts(answering(chunked)) as server, HttpTransport(server.url) as transport:
        assert transport.infer(REQUEST).outputs["y"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", ProtocolError, "no HTTP"),
        (OK + b"Content-Length: 4\r\n\r\nnope", ProtocolError, "no JSON"),
        (OK + b"Content-Length: 2\r\n\r\n{}", ProtocolError, "model_name"),
        (OK + b"Content-Length: 99\r\n\r\nshort", ConnectionLostError, "broke"),
        (OK + b"Content-Length: 999999999999999\r\n\r\n", ProtocolError, "body of"),
        (OK + b"X: " + b"y" * 70_000, ProtocolError, "no HTTP"),
        (OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx", ProtocolError, "br"),
        (b"", ConnectionLostError, "broke.*https://"),
        (b"\0\0\x18\x04\0\0\0\0\0\r\n", ProtocolError, "no text.*grpc://"),
        (GOOD[:-3], ConnectionLostError, "broke"),
        (GOOD.replace(HEAD, HEAD + b"9"), ProtocolError, "Inference-Header"),
    ],
)  # fmt: skip
def test_answers_that_make_no_sense_are_errors_of_ours(
    answer: bytes, kind: type[TransportError], words: str
) -> None:
    with (
        serve_scripts(lambda connection: send(connection, answer)) as server,
        HttpTransport(server.url) as transport,
        pytest.raises(kind, match=words),
    ):
        transport.infer(REQUEST, timeout_seconds=5)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestError),
        (404, RequestError),
        (413, RequestError),
        (429, RequestError),
        (500, RequestError),
        (302, RequestError),
        (409, PeerMismatchError),
        (504, LinkTimeoutError),
        (503, TransportError),
        (401, UntrustedPeerError),
        (403, UntrustedPeerError),
    ],
)
def test_refusals_keep_their_status_and_sentence(status: int, kind: type[TransportError]) -> None:
    answer = write_refusal(status, "not like\nthis")
    with serve_scripts(answering(answer, GOOD)) as server, HttpTransport(server.url) as transport:
        with pytest.raises(kind, match="not like this") as caught:
            transport.infer(REQUEST)
        assert type(caught.value) is kind
        if isinstance(caught.value, RequestError):
            assert caught.value.status == status
        transport.infer(REQUEST)
        assert server.accepted == 1


def test_a_deadline_holds_although_bytes_trickle() -> None:
    def trickle(connection: socket.socket) -> None:
        read_request(connection)
        for byte in GOOD:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with serve_scripts(trickle) as server, HttpTransport(server.url) as transport:
        start = time.monotonic()
        with pytest.raises(LinkTimeoutError, match="in time"):
            transport.infer(REQUEST, timeout_seconds=0.4)
        assert time.monotonic() - start < len(GOOD) * 0.05


def test_a_late_answer_never_becomes_that_of_the_next_request() -> None:
    release = threading.Event()

    def late(connection: socket.socket) -> None:
        read_request(connection)
        release.wait(5)
        connection.sendall(write_answer({"y": np.zeros(1, np.float32)}))

    with serve_scripts(late, answering(GOOD)) as server, HttpTransport(server.url) as transport:
        with pytest.raises(LinkTimeoutError):
            transport.infer(REQUEST, timeout_seconds=0.2)
        release.set()
        assert transport.infer(REQUEST).outputs["y"].tolist() == [1.5, 2.5]


def test_a_passed_deadline_sends_nothing() -> None:
    now = iter([0.0, 1.0])
    deadline = Deadline.after(0.5, clock=lambda: next(now))
    with pytest.raises(LinkTimeoutError, match="passed"):
        _ = deadline.remaining_seconds


def test_where_nobody_listens_the_server_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    transport = HttpTransport(f"http://127.0.0.1:{port}")
    with pytest.raises(TransportError, match="can't be reached: Connection refused"):
        transport.infer(REQUEST)
    assert not transport.is_ready()


def test_a_server_without_tls_is_named_as_such() -> None:
    with (
        serve_scripts(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")) as server,
        HttpTransport(server.url.replace("http", "https")) as transport,
        pytest.raises(UntrustedPeerError, match=r"speaks no TLS.*http://"),
    ):
        transport.infer(REQUEST, timeout_seconds=5)


def test_why_a_connection_broke_is_not_guessed_once_there_was_an_answer() -> None:
    scripts = (answering(GOOD), lambda connection: send(connection, b""))
    with serve_scripts(*scripts) as server, HttpTransport(server.url) as transport:
        transport.infer(REQUEST)
        transport.close()
        with pytest.raises(ConnectionLostError, match=r"was here\.$"):
            transport.infer(REQUEST, timeout_seconds=5)


def list_foreign_exceptions() -> Iterator[type[BaseException]]:
    """Name all that sockets, TLS and HTTP raise: every subclass that the library defines."""
    pending: list[type[BaseException]] = [OSError, http.client.HTTPException]
    while pending:
        kind = pending.pop()
        if kind.__module__ in {"builtins", "socket", "ssl", "http.client", "_ssl"}:
            yield kind
        pending.extend(kind.__subclasses__())


def make_exception(kind: type[BaseException]) -> BaseException:
    if issubclass(kind, http.client.IncompleteRead):
        return kind(b"", 3)
    for arguments in ((1, "reason"), ("reason",), ()):
        try:
            return kind(*arguments)
        except TypeError:
            continue
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", sorted(set(list_foreign_exceptions()), key=str))
@pytest.mark.parametrize("is_connecting", [True, False])
def test_no_foreign_exception_gets_through(
    kind: type[BaseException],
    is_connecting: bool,  # noqa: FBT001 - parametrized
) -> None:
    error = make_exception(kind)
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "self-signed"
    with (
        pytest.raises(TransportError) as caught,
        translate_failures("http://server", is_connecting=is_connecting),
    ):
        raise error
    assert "http://server" in str(caught.value)
    assert caught.value.__cause__ is error


def test_the_list_of_foreign_exceptions_is_not_empty() -> None:
    found = {kind.__name__ for kind in list_foreign_exceptions()}
    assert {"IncompleteRead", "SSLError", "gaierror", "BrokenPipeError", "TimeoutError"} <= found
    assert len(found) > 25


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x", "http://", "http://a b", "http://u:p@h", "http://h:99999",
     "http://h?x=1", "http://h#x", "http://[::1"],
)  # fmt: skip
def test_what_is_no_url_of_http_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"URL|must be like|may hold"):
        HttpAddress.parse(url)


def test_a_url_may_have_a_prefix_and_an_address_of_version_6() -> None:
    address = HttpAddress.parse("https://[::1]:8443/split model/")
    assert str(address) == "https://[::1]:8443/split%20model"
    assert address.find_model("a/b", "1") == "/split%20model/v2/models/a%2Fb/versions/1"


def test_certificates_and_tokens_that_cannot_work_are_refused(tmp_path: Path) -> None:
    (empty := tmp_path / "empty").write_text("\n", encoding="utf-8")
    with pytest.raises(UsageError, match="certificate"):
        ClientSecurity(key=__file__)  # type: ignore[arg-type] # a str does here
    with pytest.raises(UsageError, match="ASCII"):
        ClientSecurity(token=f"{SHOWN}\r\nHost: evil")
    with pytest.raises(UsageError, match="empty holds no token"):
        read_token(empty)
    with pytest.raises(UsageError, match="https"):
        HttpTransport("http://h", ClientSecurity(authorities=__file__))  # type: ignore[arg-type] # likewise
    with pytest.raises(UsageError, match="can't be used"):
        HttpTransport("https://h", ClientSecurity(authorities=__file__))  # type: ignore[arg-type] # likewise


def test_the_token_is_shown_and_nothing_is_compressed_unasked() -> None:
    seen: list[bytes] = []

    def look(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(GOOD)

    with (
        serve_scripts(look) as server,
        HttpTransport(server.url, ClientSecurity(token=SHOWN)) as transport,
    ):
        transport.infer(REQUEST)
    assert b"Authorization: Bearer s3cret" in seen[0]
    assert b"Encoding" not in seen[0]
    assert seen[0].startswith(b"POST /v2/models/m/infer HTTP/1.1")


def test_the_system_tells_the_round_trip_of_a_connection() -> None:
    with serve_scripts(answering(GOOD, GOOD)) as server, HttpTransport(server.url) as transport:
        assert transport.read_tcp_figures() is None
        transport.infer(REQUEST)
        figures = transport.read_tcp_figures()
    if figures is not None:  # Linux tells
        assert 0 < figures.least_round_trip_seconds < 1
        assert 0 < figures.round_trip_seconds < 1


def test_errors_are_ours_all_the_way_up() -> None:
    assert issubclass(ConnectionLostError, TransportError)
    assert issubclass(TransportError, OnnxSplitError)
    assert ConnectionLostError.exit_code == 3
