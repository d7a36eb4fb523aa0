"""What an HTTP server puts up with."""

from dataclasses import dataclass, fields

from onnxsplit.errors import RequestError, UsageError

_TOO_MANY = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Bounds on sizes, times and connections.

    A body may take `body_seconds` and one more second for each `least_bytes_per_second` that have
    arrived, so that large ones may be slow, but a trickle ends (as Apache's mod_reqtimeout does).

    Parameters
    ----------
    request_bytes : int
        Largest body, also after decompression; larger ones are refused with the status 413.
    waiting_bytes : int
        All bodies that are held at a time; more are refused with the status 429.
    connections : int
        Open at a time; further ones are refused with the status 503.
    header_seconds : float
        From the first byte of a request, or the opening of a connection, to its last header.
    body_seconds, least_bytes_per_second : float
    send_seconds : float
        For a client to take the response.
    idle_seconds : int
        A kept-alive connection may rest for so long.
    linger_seconds : float
        How long a refused body is still read, so that its sender can read why.

    Raises
    ------
    UsageError
        A limit is not positive.
    """

    request_bytes: int = 256 * 2**20
    waiting_bytes: int = 1024 * 2**20
    connections: int = 512
    header_seconds: float = 20.0
    body_seconds: float = 20.0
    least_bytes_per_second: float = 500.0
    send_seconds: float = 120.0
    idle_seconds: int = 300
    linger_seconds: float = 2.0

    def __post_init__(self) -> None:
        """Refuse limits that let nothing pass."""
        for entry in fields(self):
            if not getattr(self, entry.name) > 0:
                raise UsageError(
                    f"The limit {entry.name} is {getattr(self, entry.name)!r}; it must be positive."
                )

    def allow_seconds(self, body_bytes: int) -> float:
        """Return how long a body may take of which so much has arrived."""
        return self.body_seconds + body_bytes / self.least_bytes_per_second


class BodyBudget:
    """How many bytes of bodies are held; used by one thread alone.

    Parameters
    ----------
    limit_bytes : int
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Hold more; RequestError with the status 429 if that would be too much."""
        if self.held_bytes + size_bytes > self._limit_bytes:
            raise RequestError(
                f"The server holds {self.held_bytes} bytes of requests, and can't hold"
                f" {size_bytes} more; try again later.",
                status=_TOO_MANY,
            )
        self.held_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Hold less."""
        self.held_bytes -= size_bytes
