"""How a client shows who it is, and whom it trusts."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from onnxsplit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecurity:
    """What a client needs for TLS, mutual TLS and a bearer token.

    Parameters
    ----------
    authorities : Path or None
        Certificates (PEM) that the server's must come from; those of the system if None.
    certificate, key : Path or None
        The client's own, for servers that ask for them.
    token : str or None
        Sent as ``Authorization: Bearer TOKEN``.

    Raises
    ------
    UsageError
        There is a key without a certificate, or the token can't stand in a header.
    """

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no connection can be made with."""
        if self.key is not None and self.certificate is None:
            raise UsageError("A client's key needs its certificate; give both.")
        token = self.token
        if token is not None and not (token.isascii() and token.isprintable() and token):
            raise UsageError("The token must be printable ASCII, without line breaks.")

    @property
    def needs_tls(self) -> bool:
        """Whether any of it makes sense over TLS alone."""
        return self.authorities is not None or self.certificate is not None

    def open_context(self) -> ssl.SSLContext:
        """Make what TLS connections are opened with; host names are checked.

        Raises
        ------
        UsageError
            A file can't be read, or is no certificate or key.
        """
        try:
            context = ssl.create_default_context(cafile=self.authorities)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key, password=_refuse_password)
        except (OSError, ValueError) as error:
            files = [str(f) for f in (self.authorities, self.certificate, self.key) if f]
            raise UsageError(
                f"The certificates {', '.join(files)} can't be used: {error}; give PEM files, and"
                " the key that belongs to the certificate."
            ) from error
        return context


def read_token(path: Path) -> str:
    """Read a token from a file's first line.

    Raises
    ------
    UsageError
        The file can't be read, or its first line is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"The token file {path} can't be read: {reason}.") from error
    token = lines[0].strip() if lines else ""
    if not token:
        raise UsageError(f"The token file {path} holds no token in its first line.")
    return token


def _refuse_password() -> str:
    """Refuse to ask at the terminal for the password of a key."""
    raise ValueError("the key is encrypted")
