"""Bodies compressed with Zstandard, where both our client and our server have it (extra ``zstd``).

Source: RFC 8878; the content coding ``zstd``. Servers that take it say so in the response header
``Accept-Encoding`` (RFC 7694), so that no other server is sent what it can't read.
"""

import functools
import importlib.util
from collections.abc import Sequence
from types import ModuleType

from onnxsplit.errors import RequestError, UsageError

ZSTD = "zstd"
LEAST_BYTES = 1024
"""Smaller bodies are not worth it."""

_LEVEL = 1
_TOO_LARGE = 413


@functools.cache
def is_available() -> bool:
    """Tell whether the extra is installed."""
    return importlib.util.find_spec("zstandard") is not None


def accepts_zstd(header: str) -> bool:
    """Tell whether a header ``Accept-Encoding`` names Zstandard.

    Examples
    --------
    >>> accepts_zstd("gzip, zstd;q=0.5"), accepts_zstd("zstd;q=0"), accepts_zstd("*")
    (True, False, False)
    """
    for entry in header.split(","):
        coding, _, quality = entry.partition(";")
        if coding.strip().lower() == ZSTD:
            return quality.replace(" ", "").rstrip("0.") != "q="
    return False


def compress(buffers: Sequence[bytes | memoryview]) -> bytes:
    """Compress a body.

    Raises
    ------
    UsageError
        The extra is not installed.
    """
    zstandard = _load()
    compressed: bytes = zstandard.ZstdCompressor(level=_LEVEL).compress(b"".join(buffers))
    return compressed


def decompress(data: bytes | bytearray | memoryview, limit_bytes: int) -> bytes:
    """Decompress a body, and never make more of it than allowed.

    Parameters
    ----------
    data : bytes-like
        One frame, which tells its content's size.
    limit_bytes : int

    Raises
    ------
    RequestError
        It is no such frame (400), or its content is too large (413).
    UsageError
        The extra is not installed.
    """
    zstandard = _load()
    try:
        size = zstandard.frame_content_size(data)
        if size > limit_bytes:
            raise RequestError(
                f"The body has {size} bytes when decompressed, and {limit_bytes} are allowed.",
                status=_TOO_LARGE,
            )
        if size < 0:
            raise RequestError("The compressed body does not tell its content's size.")
        content: bytes = zstandard.ZstdDecompressor().decompress(
            data, max_output_size=size, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise RequestError(f"The body is no Zstandard frame: {error}.") from error
    if len(content) != size:
        raise RequestError(f"The body has {len(content)} bytes when decompressed, not {size}.")
    return content


def _load() -> ModuleType:
    """Import the extra."""
    try:
        import zstandard  # noqa: PLC0415 - optional
    except ImportError as error:
        raise UsageError('Compression needs zstandard: pip install "onnxsplit[zstd]".') from error
    return zstandard
