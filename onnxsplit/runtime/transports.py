"""Transports by the scheme of a server's URL."""

from collections.abc import Callable

from onnxsplit.errors import UsageError
from onnxsplit.runtime.client_security import ClientSecurity
from onnxsplit.runtime.http_transport import HttpTransport
from onnxsplit.runtime.ports import Transport

_HTTP = ("http", "https")
_GRPC = ("grpc", "grpcs")


def choose_transport(
    url: str, security: ClientSecurity | None = None, *, compress: bool = False
) -> Callable[[], Transport]:
    """Return what makes connections to a server; none is opened yet.

    Parameters
    ----------
    url : str
        ``http://host[:port]`` or ``grpc://host[:port]``; ``https://`` and ``grpcs://`` with TLS.
    security : ClientSecurity, optional
    compress : bool
        Let bodies travel compressed, where the server takes that; over HTTP only.

    Raises
    ------
    UsageError
        No transport speaks this scheme, the URL is malformed, or an extra is not installed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme in _GRPC:
        return _choose_grpc(url, security, compress=compress)
    if scheme not in _HTTP:
        raise UsageError(
            f"{url!r} must be like http://host:8000 or grpc://host:8001, or https:// and grpcs://"
            " with TLS."
        )
    HttpTransport(url, security, compress=compress).close()  # what is wrong with it shows now
    return lambda: HttpTransport(url, security, compress=compress)


def _choose_grpc(
    url: str, security: ClientSecurity | None, *, compress: bool
) -> Callable[[], Transport]:
    """Return what makes connections over gRPC, an extra that is imported only here."""
    from onnxsplit.runtime.grpc_client import GrpcTransport  # noqa: PLC0415 - an extra

    if compress:
        raise UsageError(f"Bodies travel compressed over HTTP only, and the server is {url}.")
    GrpcTransport(url, security).close()  # what is wrong with it shows now
    return lambda: GrpcTransport(url, security)
