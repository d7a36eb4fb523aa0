"""gRPC's status codes beside those of HTTP, which our errors speak."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from onnxsplit.errors import (
    ConnectionLostError,
    LinkTimeoutError,
    TransportError,
    UntrustedPeerError,
)
from onnxsplit.runtime.grpc_library import grpc
from onnxsplit.runtime.http_failures import explain_refusal

EXACT_STATUS = "onnxsplit-status"
"""Trailing metadata by which our own server tells the HTTP status, as gRPC has fewer codes."""

_FAILED = 500
_CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_STATUSES: Mapping[grpc.StatusCode, int] = {
    **{code: status for status, code in _CODES.items()},
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.OUT_OF_RANGE: 400,
}
_TOO_LARGE = 413
_SAYS_TOO_LARGE = "larger than max"
"""What gRPC itself says of a message beyond the limit."""
_NOT_TRUSTED = "CERTIFICATE_VERIFY_FAILED"
_NEVER_CONNECTED = ("failed to connect", "DNS resolution", "Name resolution", "handshake")


def choose_code(status: int) -> grpc.StatusCode:
    """Return the code for an HTTP status."""
    fallback = grpc.StatusCode.INTERNAL if status >= _FAILED else grpc.StatusCode.INVALID_ARGUMENT
    return _CODES.get(status, fallback)


def explain_failure(error: grpc.RpcError, address: str) -> TransportError:
    """Return what a failed call means.

    Parameters
    ----------
    error : grpc.RpcError
    address : str
        The server's, for the sentence.

    Returns
    -------
    TransportError
        Of the same kinds as over HTTP: see `explain_refusal` and `translate_failures` there.
    """
    code, details = error.code(), (error.details() or "it gave no reason").rstrip(".")
    exact = _read_exact_status(error)
    if exact is not None:
        return explain_refusal(address, exact, f"{details}.")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return LinkTimeoutError(f"{address} did not answer in time.")
    if code is grpc.StatusCode.UNAVAILABLE:
        return _explain_absence(details, address)
    if code is grpc.StatusCode.CANCELLED:
        return TransportError(f"The connection to {address} is closed.")
    status = _TOO_LARGE if _SAYS_TOO_LARGE in details else _STATUSES.get(code, _FAILED)
    return explain_refusal(address, status, f"{details}.")


def _explain_absence(details: str, address: str) -> TransportError:
    """Return what it means that a server can't be had."""
    if _NOT_TRUSTED in details:
        return UntrustedPeerError(
            f"{address} is not trusted: {details}; give the authority that its certificate"
            " comes from (--tls-ca)."
        )
    if any(words in details for words in _NEVER_CONNECTED):
        return TransportError(f"{address} can't be reached: {details}.")
    return ConnectionLostError(
        f"The connection to {address} broke before the answer was here: {details}."
    )


def _read_exact_status(error: grpc.RpcError) -> int | None:
    """Return the HTTP status, if the server told one."""
    told: Any = error.trailing_metadata() or ()  # its stubs forget that it is a sequence
    with suppress(KeyError, ValueError):
        return int(dict(told)[EXACT_STATUS])
    return None
