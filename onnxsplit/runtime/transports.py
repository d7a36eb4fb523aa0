"""Transports by the scheme of a server's URL."""

from collections.abc import Callable

from onnxsplit.errors import UsageError
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.http_transport import HttpTransport
from onnxsplit.runtime.ports import Transport

_HTTP = ("http", "https")


def choose_transport(
    url: str, security: ClientSecurity | None = None, *, compress: bool = False
) -> Callable[[], Transport]:
    """Return what makes connections to a server; none is opened yet.

    Parameters
    ----------
    url : str
        ``http://host[:port]`` or ``https://``.
    security : ClientSecurity, optional
    compress : bool
        Let bodies travel compressed, where the server takes that.

    Raises
    ------
    UsageError
        No transport speaks this scheme, or the URL is malformed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in _HTTP:
        raise UsageError(f"{url!r} must be like http://host:8000, or https:// with TLS.")
    HttpTransport(url, security, compress=compress).close()  # what is wrong with it shows now
    return lambda: HttpTransport(url, security, compress=compress)
