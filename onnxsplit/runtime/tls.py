"""Certificates of a server, read and checked before it starts."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsplit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The files of a server's side of TLS.

    Parameters
    ----------
    certificate : Path
        The server's certificate with those between it and the authority (PEM).
    key : Path
        Its private key (PEM, without a password).
    client_authority : Path or None
        Clients must show a certificate that one of these authorities signed (PEM).

    Raises
    ------
    UsageError
        A file can't be read, or the key is not that of the certificate.
    """

    certificate: Path
    key: Path
    client_authority: Path | None = None

    def __post_init__(self) -> None:
        """Load the files once, so that what is wrong with them is said at the start."""
        files = {"--tls-cert": self.certificate, "--tls-key": self.key}
        if self.client_authority is not None:
            files["--tls-client-ca"] = self.client_authority
        for flag, path in files.items():
            _check_readable(flag, path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password=_refuse_password)
        except (ssl.SSLError, UsageError) as error:
            raise UsageError(
                f"--tls-cert {self.certificate} and --tls-key {self.key} are no certificate and its"
                " own private key without a password, in PEM."
            ) from error
        try:
            if self.client_authority is not None:
                context.load_verify_locations(self.client_authority)
        except ssl.SSLError as error:
            raise UsageError(
                f"--tls-client-ca {self.client_authority} holds no certificates in PEM."
            ) from error

    @property
    def settings(self) -> Mapping[str, Any]:
        """What uvicorn is told."""
        if self.client_authority is None:
            return {"ssl_certfile": self.certificate, "ssl_keyfile": self.key}
        return {
            "ssl_certfile": self.certificate,
            "ssl_keyfile": self.key,
            "ssl_ca_certs": self.client_authority,
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
        }


def _check_readable(flag: str, path: Path) -> None:
    """Refuse a file that is not there."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{flag} {path} can't be read: {error.strerror}.") from error


def _refuse_password() -> bytes:
    """Refuse to ask for a password at the terminal."""
    raise UsageError("The key has a password.")
