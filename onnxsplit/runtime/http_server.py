"""The embedded HTTP server: uvicorn in a thread of its own."""

import asyncio
import ipaddress
import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Self

from onnxsplit.errors import UsageError
from onnxsplit.runtime.http_application import HttpApplication
from onnxsplit.runtime.http_connections import guard_connections
from onnxsplit.runtime.http_limits import HttpLimits
from onnxsplit.runtime.service import InferenceService
from onnxsplit.runtime.tls import TlsFiles

try:
    import uvicorn
except ImportError as error:
    raise UsageError('Serving over HTTP needs uvicorn: pip install "onnxsplit[serve]".') from error

_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Where and to whom an HTTP server speaks.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        0 for any that is free.
    tls : TlsFiles or None
        Speak HTTPS.
    token : str or None
        Bearer token that requests must show.
    limits : HttpLimits

    Raises
    ------
    UsageError
        There is no such port.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tls: TlsFiles | None = None
    token: str | None = field(default=None, repr=False)
    limits: HttpLimits = field(default_factory=HttpLimits)

    def __post_init__(self) -> None:
        """Refuse ports that no machine has."""
        if not 0 <= self.port <= _HIGHEST_PORT:
            raise UsageError(f"--port {self.port}: ports go from 0 to {_HIGHEST_PORT}.")


class HttpServer:
    """Serves a service over HTTP from its construction until it is stopped.

    Parameters
    ----------
    service : InferenceService
        Not taken over.
    options : HttpOptions

    Raises
    ------
    UsageError
        The address can't be listened on.
    """

    def __init__(self, service: InferenceService, options: HttpOptions) -> None:
        self._options = options
        self._socket = _listen(options)
        self._port: int = self._socket.getsockname()[1]
        self._server = _Server(_configure(service, options))
        self._thread = threading.Thread(target=self._run, name="onnxsplit-http", daemon=True)
        self._thread.start()
        self._server.has_started.wait()

    @property
    def url(self) -> str:
        """Where it is reached; an address for all is given as that of this machine."""
        scheme = "http" if self._options.tls is None else "https"
        host = self._options.host
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self.port}"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    def stop(self) -> None:
        """Answer what was begun, close all connections and end; stopping twice is allowed."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop it."""
        self.stop()

    def _run(self) -> None:
        """Run uvicorn to its end."""
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        finally:
            self._server.has_started.set()


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        self.has_started.set()


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _configure(service: InferenceService, options: HttpOptions) -> uvicorn.Config:
    """Configure uvicorn: one HTTP/1.1 parser, no logs, no headers of its own."""
    return uvicorn.Config(
        HttpApplication(service, options.limits, token=options.token),
        http=guard_connections(options.limits),
        ws="none",
        lifespan="off",
        interface="asgi3",
        loop="asyncio",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=options.limits.idle_seconds,
        timeout_graceful_shutdown=5,
        **({} if options.tls is None else options.tls.settings),
    )


def _listen(options: HttpOptions) -> socket.socket:
    """Bind the address."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=128)
    except OSError as error:
        is_unknown = isinstance(error, socket.gaierror)  # whose numbers are not the system's
        reason = error.strerror if is_unknown else os.strerror(error.errno or 0)
        raise UsageError(
            f"Can't listen on {options.host} port {options.port}: {reason};"
            " choose others with --host and --port."
        ) from error
