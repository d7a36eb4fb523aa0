"""The one place where what sockets, TLS and HTTP raise becomes an error of ours."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from onnxsplit.errors import (
    ConnectionLostError,
    LinkTimeoutError,
    PeerMismatchError,
    ProtocolError,
    RequestError,
    TransportError,
    UntrustedPeerError,
)

_CONFLICT, _UNAVAILABLE = 409, 503
_LATE = frozenset({408, 504})
_UNKNOWN_CLIENT = frozenset({401, 403})
_SPEAKS_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST"})
_BROKEN = (
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    http.client.IncompleteRead,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


@contextmanager
def translate_failures(
    address: object, *, is_connecting: bool = False, hint: str = ""
) -> Iterator[None]:
    """Turn what the standard library raises into one sentence about the server.

    Parameters
    ----------
    address : object
        The server's, as the sentence names it.
    is_connecting : bool
        Whether there is no connection yet: what breaks then was never there to be lost.
    hint : str
        A sentence on why the connection may have broken.

    Raises
    ------
    LinkTimeoutError
        The server did not answer in time.
    ConnectionLostError
        The connection broke.
    ProtocolError
        The server speaks no HTTP.
    UntrustedPeerError
        The server is not trusted, or speaks no TLS.
    TransportError
        The server can't be reached.
    """
    try:
        yield
    except TimeoutError as error:
        raise LinkTimeoutError(f"{address} did not answer in time.") from error
    except ssl.SSLCertVerificationError as error:
        raise UntrustedPeerError(
            f"{address} is not trusted: {error.verify_message}; give the authority that its"
            " certificate comes from (--tls-ca)."
        ) from error
    except _BROKEN as error:
        if is_connecting:
            raise TransportError(f"{address} can't be reached: {_word(error)}.") from error
        raise ConnectionLostError(
            f"The connection to {address} broke before the answer was here.{hint}"
        ) from error
    except ssl.SSLError as error:
        raise UntrustedPeerError(_word_tls(address, error)) from error
    except http.client.HTTPException as error:
        raise ProtocolError(f"{address} answered what is no HTTP: {_word(error)}.") from error
    except socket.gaierror as error:
        raise TransportError(f"{address} is not known: {error.strerror}.") from error
    except OSError as error:
        raise TransportError(f"{address} can't be reached: {_word(error)}.") from error


def explain_refusal(address: object, status: int, sentence: str) -> TransportError:
    """Return the error for an answer with another status than 200.

    Parameters
    ----------
    address : object
    status : int
    sentence : str
        The server's own, if it gave one.
    """
    said = f": {sentence}" if sentence else "."
    if status == _CONFLICT:
        return PeerMismatchError(f"{address} holds another half{said}")
    if status in _LATE:
        return LinkTimeoutError(f"{address} was not done in time{said}")
    if status == _UNAVAILABLE:
        return TransportError(f"{address} takes no requests now{said}")
    if status in _UNKNOWN_CLIENT:
        return UntrustedPeerError(
            f"{address} does not let us in ({status}){said} Give its token (--token-file)."
        )
    return RequestError(f"{address} refuses the request ({status}){said}", status=status)


def _word(error: Exception) -> str:
    """Say what went wrong, without the numbers that systems add."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if not text.strip("\r\n").isprintable() or "\\x" in text:
        return "bytes that are no text (a port for gRPC is grpc://)"
    return text.strip().rstrip(".")


def _word_tls(address: object, error: ssl.SSLError) -> str:
    """Say why there is no TLS with a server."""
    if getattr(error, "reason", "") in _SPEAKS_NO_TLS:
        return f"{address} speaks no TLS; if that is meant to be, write http://."
    return f"TLS with {address} failed: {_word(error)}."
