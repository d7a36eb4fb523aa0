"""TLS over gRPC: who shows what to whom, and who is refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from onnxsplit.errors import TransportError, UntrustedPeerError, UsageError
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.grpc_client import GrpcTransport
from onnxsplit.runtime.grpc_server import GrpcOptions, GrpcServer
from onnxsplit.runtime.messages import InferRequest
from onnxsplit.runtime.repository import ModelRepository
from onnxsplit.runtime.service import InferenceService, ServiceOptions
from onnxsplit.runtime.tls import TlsFiles
from tests.certificates import Authority, Identity
from tests.served_models import Doubler

REQUEST = InferRequest(model="m", inputs={"x": np.ones((1, 3), np.float32)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    ours: Authority
    others: Authority
    server: Identity
    expired: Identity
    client: Identity
    stranger: Identity


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
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


@pytest.fixture
def url(keyring: Keyring, request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that asks clients for certificates, with that of its own which the test names."""
    own: Identity = getattr(keyring, getattr(request, "param", "server"))
    tls = TlsFiles(
        certificate=own.certificate, key=own.key, client_authority=keyring.ours.certificate
    )
    repository = ModelRepository([Doubler()])
    with (
        InferenceService(repository, ServiceOptions()) as service,
        GrpcServer(service, GrpcOptions(port=0, tls=tls)) as server,
    ):
        yield server.url


def show(authority: Authority, identity: Identity | None) -> ClientSecurity:
    return ClientSecurity(
        authorities=authority.certificate,
        certificate=None if identity is None else identity.certificate,
        key=None if identity is None else identity.key,
    )


def test_those_with_a_certificate_of_ours_are_answered(keyring: Keyring, url: str) -> None:
    assert url.startswith("grpcs://")
    with GrpcTransport(url, show(keyring.ours, keyring.client)) as transport:
        assert transport.infer(REQUEST, timeout_seconds=20).outputs["y"].shape == (1, 3)


@pytest.mark.parametrize("own", [None, "stranger", "expired"])
def test_those_without_a_valid_certificate_are_refused(
    keyring: Keyring, url: str, own: str | None
) -> None:
    identity = None if own is None else getattr(keyring, own)
    with (
        GrpcTransport(url, show(keyring.ours, identity)) as transport,
        pytest.raises(TransportError),
    ):
        transport.infer(REQUEST, timeout_seconds=20)


@pytest.mark.parametrize("url", ["expired"], indirect=True)
def test_a_server_whose_certificate_has_expired_is_not_trusted(keyring: Keyring, url: str) -> None:
    with (
        GrpcTransport(url, show(keyring.ours, keyring.client)) as transport,
        pytest.raises(UntrustedPeerError, match="not trusted"),
    ):
        transport.infer(REQUEST, timeout_seconds=20)


def test_a_server_of_another_authority_is_not_trusted(keyring: Keyring, url: str) -> None:
    with (
        GrpcTransport(url, show(keyring.others, keyring.client)) as transport,
        pytest.raises(UntrustedPeerError, match="not trusted"),
    ):
        transport.infer(REQUEST, timeout_seconds=20)


def test_a_client_without_tls_gets_nowhere(url: str) -> None:
    with (
        GrpcTransport(url.replace("grpcs", "grpc")) as transport,
        pytest.raises(TransportError),
    ):
        transport.infer(REQUEST, timeout_seconds=5)


def test_certificates_without_tls_or_files_are_refused_at_once(
    keyring: Keyring, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="grpcs://"):
        GrpcTransport("grpc://127.0.0.1:1", show(keyring.ours, None))
    with pytest.raises(UsageError, match="can't be used"):
        GrpcTransport("grpcs://h", ClientSecurity(authorities=tmp_path / "none.pem"))
