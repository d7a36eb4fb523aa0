"""What the operating system knows of a connection without being asked to measure: TCP_INFO."""

import socket
import struct
import sys
from dataclasses import dataclass

_LAYOUT = struct.Struct("=7xB24I4Q6IQ")
"""Linux's ``struct tcp_info`` (``include/uapi/linux/tcp.h``) up to ``tcpi_delivery_rate``."""
_RTT, _MIN_RTT, _DELIVERY_RATE = 16, 32, 35
_APP_LIMITED = 1
_SECONDS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpFigures:
    """A connection as the system sees it.

    Parameters
    ----------
    round_trip_seconds : float
        Smoothed.
    least_round_trip_seconds : float
    delivery_bytes_per_second : float
        How fast what was sent last was acknowledged.
    is_limited_by_sender : bool
        Whether the sender, not the link, set that rate: then it is a lower bound.
    """

    round_trip_seconds: float
    least_round_trip_seconds: float
    delivery_bytes_per_second: float
    is_limited_by_sender: bool


def read_tcp_figures(connection: socket.socket) -> TcpFigures | None:
    """Ask the system about a connection; None where it does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        data = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAYOUT.size)
    except OSError:
        return None
    if len(data) < _LAYOUT.size:  # an old kernel
        return None
    fields = _LAYOUT.unpack(data)
    return TcpFigures(
        round_trip_seconds=fields[_RTT] * _SECONDS,
        least_round_trip_seconds=fields[_MIN_RTT] * _SECONDS,
        delivery_bytes_per_second=float(fields[_DELIVERY_RATE]),
        is_limited_by_sender=bool(fields[0] & _APP_LIMITED),
    )
