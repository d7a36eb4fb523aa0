import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from onnxsplit.errors import UsageError
from onnxsplit.runtime.message_codec import decode_response, encode_request
from onnxsplit.runtime.messages import InferRequest
from onnxsplit.runtime.tls import TlsFiles
from tests.certificates import Authority, Identity
from tests.served_models import Doubler, send_raw, serve_models


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    ours: Authority
    others: Authority
    server: Identity
    expired: Identity
    client: Identity
    stranger: Identity


@pytest.fixture(name="keyring", scope="module")
def _make_keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    folder = tmp_path_factory.mktemp("keys")
    ours, others = Authority.make(folder, "ours"), Authority.make(folder, "others")
    return Keyring(
        ours=ours,
        others=others,
        server=ours.sign("server"),
        expired=ours.sign("expired", days=-1),
        client=ours.sign("client"),
        stranger=others.sign("stranger"),
    )


@pytest.fixture(name="mutual_port", scope="module")
def _serve_mutually(keyring: Keyring) -> Iterator[int]:
    tls = TlsFiles(
        certificate=keyring.server.certificate,
        key=keyring.server.key,
        client_authority=keyring.ours.certificate,
    )
    with serve_models(Doubler(), tls=tls) as (server, _):
        assert server.url.startswith("https://")
        yield server.port


def _ask(port: int, authority: Authority, identity: Identity | None = None) -> int:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    try:
        connection.request("GET", "/v2/models/m")
        response = connection.getresponse()
        assert json.loads(response.read())["name"] == "m"
        return response.status
    finally:
        connection.close()


def test_those_with_a_certificate_of_ours_are_answered(keyring: Keyring, mutual_port: int) -> None:
    assert _ask(mutual_port, keyring.ours, keyring.client) == 200


def test_large_bodies_arrive_over_tls(keyring: Keyring, mutual_port: int) -> None:
    context = ssl.create_default_context(cafile=str(keyring.ours.certificate))
    context.load_cert_chain(keyring.client.certificate, keyring.client.key)
    connection = http.client.HTTPSConnection("127.0.0.1", mutual_port, timeout=20, context=context)
    for count in (1, 200_000, 5_000, 300_000):
        rows = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
        body = encode_request(InferRequest(model="m", inputs={"x": rows}))
        connection.request("POST", "/v2/models/m/infer", b"".join(body.buffers), dict(body.headers))
        response = connection.getresponse()
        length = int(response.headers["Inference-Header-Content-Length"])
        answer = decode_response(response.read(), head_bytes=length)
        np.testing.assert_array_equal(answer.outputs["y"], rows * 2)
    connection.close()


def test_those_without_a_certificate_are_refused(keyring: Keyring, mutual_port: int) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _ask(mutual_port, keyring.ours)


def test_those_with_anothers_certificate_are_refused(keyring: Keyring, mutual_port: int) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _ask(mutual_port, keyring.ours, keyring.stranger)


def test_those_with_an_expired_certificate_are_refused(keyring: Keyring, mutual_port: int) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _ask(mutual_port, keyring.ours, keyring.expired)


def test_a_client_refuses_a_server_that_it_does_not_trust(
    keyring: Keyring, mutual_port: int
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _ask(mutual_port, keyring.others, keyring.client)


def test_a_client_refuses_a_server_whose_certificate_has_expired(keyring: Keyring) -> None:
    tls = TlsFiles(certificate=keyring.expired.certificate, key=keyring.expired.key)
    with (
        serve_models(Doubler(), tls=tls) as (server, _),
        pytest.raises(ssl.SSLCertVerificationError, match="expired"),
    ):
        _ask(server.port, keyring.ours)


def test_plain_http_on_a_port_for_tls_leaves_the_server_up(
    keyring: Keyring, mutual_port: int
) -> None:
    assert send_raw(mutual_port, b"GET /v2 HTTP/1.1\r\nHost: h\r\n\r\n") == b""
    assert _ask(mutual_port, keyring.ours, keyring.client) == 200


def test_files_that_are_no_certificates_are_refused_at_the_start(
    keyring: Keyring, tmp_path: Path
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    server, client = keyring.server, keyring.client
    missing = tmp_path / "missing.pem"
    for certificate, key, authority, complaint in (
        (missing, server.key, None, "--tls-cert .* can't be read"),
        (server.certificate, missing, None, "--tls-key .* can't be read"),
        (server.certificate, server.key, missing, "--tls-client-ca .* can't be read"),
        (nonsense, server.key, None, "no certificate and its own"),
        (server.certificate, client.key, None, "no certificate and its own"),
        (server.certificate, server.key, nonsense, "holds no certificates"),
    ):
        with pytest.raises(UsageError, match=complaint):
            TlsFiles(certificate=certificate, key=key, client_authority=authority)
