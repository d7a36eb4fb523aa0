"""HTTP bodies: a JSON head, and perhaps the tensors' bytes behind it."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnxsplit.errors import ProtocolError

HEAD_LENGTH = "Inference-Header-Content-Length"
"""The HTTP header that tells where the JSON head ends and binary data begin."""

_ALIGNMENT = 16
_LONGEST_LENGTH = 18
"""Digits; no body is longer, and none overflows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What is sent over HTTP.

    Parameters
    ----------
    buffers : tuple of bytes or memoryview
        Sent one after the other; tensors are views of the arrays' own memory.
    head_bytes : int or None
        Length of the JSON head; None if all is JSON.
    """

    buffers: tuple[bytes | memoryview, ...]
    head_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""
        return sum(map(len, self.buffers))

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers that describe it."""
        if self.head_bytes is None:
            return {"Content-Type": "application/json", "Content-Length": str(self.size_bytes)}
        return {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(self.size_bytes),
            HEAD_LENGTH: str(self.head_bytes),
        }

    @classmethod
    def of(cls, head: bytes, tensors: tuple[memoryview, ...]) -> "Body":
        """Join a head and tensors; blanks after the head align the tensors for their reader."""
        if not tensors:
            return cls(buffers=(head,))
        padded = head + b" " * (-len(head) % _ALIGNMENT)
        filled = tuple(tensor for tensor in tensors if len(tensor))
        return cls(buffers=(padded, *filled), head_bytes=len(padded))


def read_length(text: str, header: str) -> int:
    """Read a header that tells a length.

    Raises
    ------
    ProtocolError
        It is no whole number of at most 18 digits.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_LENGTH):
        raise ProtocolError(f"The header {header} must be a whole number of bytes.")
    return int(text)


def divide(
    data: bytes | bytearray | memoryview, head_bytes: int | None
) -> tuple[memoryview, memoryview]:
    """Divide a body into its JSON head and the binary data behind it.

    Raises
    ------
    ProtocolError
        The head is longer than the body.
    """
    view = memoryview(data)
    if head_bytes is None:
        return view, view[len(view) :]
    if not 0 <= head_bytes <= len(view):
        raise ProtocolError(
            f"The header {HEAD_LENGTH} is {head_bytes}, and the body has {len(view)} bytes."
        )
    return view[:head_bytes], view[head_bytes:]
