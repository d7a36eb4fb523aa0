"""What one request and its response took, as the client saw it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and its response.

    Parameters
    ----------
    encode_seconds, decode_seconds : float
        To write the request, and to read the response.
    wait_seconds : float
        From the first byte sent to the last byte received, what the server did included.
    sent_bytes, received_bytes : int
        Bodies; headers come on top.
    is_fresh : bool
        Whether the connection was opened for it: then it is slower than on a warm one.
    """

    encode_seconds: float
    wait_seconds: float
    decode_seconds: float
    sent_bytes: int
    received_bytes: int
    is_fresh: bool
