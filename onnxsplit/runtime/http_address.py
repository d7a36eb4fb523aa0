"""Where an HTTP server is."""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from onnxsplit.errors import UsageError

DEFAULT_PORTS = {"http": 8000, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAddress:
    """A server's address.

    Parameters
    ----------
    host : str
    port : int
    is_secure : bool
        Whether it is spoken to over TLS.
    prefix : str
        Of every path, such as ``/models``; empty for none.
    """

    host: str
    port: int
    is_secure: bool = False
    prefix: str = ""

    def __str__(self) -> str:
        """Return it as a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' * self.is_secure}://{host}:{self.port}{self.prefix}"

    @classmethod
    def parse(cls, url: str) -> "HttpAddress":
        """Read a URL.

        Raises
        ------
        UsageError
            It is no URL of HTTP, or holds a user, a query or a fragment.

        Examples
        --------
        >>> str(HttpAddress.parse("http://localhost"))
        'http://localhost:8000'
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode()
        except (ValueError, UnicodeError) as error:
            raise UsageError(f"{url!r} is no URL: {error}.") from error
        if parts.scheme not in DEFAULT_PORTS or not host or not host.isprintable() or " " in host:
            raise UsageError(f"{url!r} must be like http://host:8000, or https:// with TLS.")
        if parts.username is not None or parts.query or parts.fragment:
            raise UsageError(f"{url!r} may hold no user, query or fragment; give a token instead.")
        return cls(
            host=host,
            port=DEFAULT_PORTS[parts.scheme] if port is None else port,
            is_secure=parts.scheme == "https",
            prefix=quote(parts.path.rstrip("/"), safe="/%"),
        )

    def find_model(self, model: str, version: str = "") -> str:
        """Return the path of a model, or of one version of it."""
        place = f"/versions/{quote(version, safe='')}" if version else ""
        return f"{self.prefix}/v2/models/{quote(model, safe='')}{place}"
