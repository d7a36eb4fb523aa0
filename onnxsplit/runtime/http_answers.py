"""HTTP responses as a client receives them: whole, bounded, and without copies."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass

from onnxsplit.runtime.bodies import HEAD_LENGTH, read_length

LARGEST_RESPONSE_BYTES = 2**31
_CHUNK_BYTES = 2**20
_LONGEST_SENTENCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A response as it came in.

    Parameters
    ----------
    status : int
    headers : mapping of str to str
        Names in lower case.
    data : bytes or bytearray
        The body.
    size_bytes : int
        Its length as it travelled.
    """

    status: int
    headers: Mapping[str, str]
    data: bytes | bytearray
    size_bytes: int


def receive_body(response: http.client.HTTPResponse) -> bytearray:
    """Receive a body, straight into the memory where it stays.

    Raises
    ------
    HTTPException
        It is longer than any that we take.
    IncompleteRead
        The connection ended before the body did.
    """
    length = response.length
    if length is None:
        return _receive_open_ended(response)
    if length > LARGEST_RESPONSE_BYTES:
        raise http.client.HTTPException(f"a body of {length} bytes")
    data = bytearray(length)
    view, place = memoryview(data), 0
    while place < length:
        count = response.readinto(view[place:])
        if not count:
            raise http.client.IncompleteRead(b"", length - place)
        place += count
    return data


def _receive_open_ended(response: http.client.HTTPResponse) -> bytearray:
    """Receive a body whose length was not told."""
    data = bytearray()
    while chunk := response.read(_CHUNK_BYTES):
        data += chunk
        if len(data) > LARGEST_RESPONSE_BYTES:
            raise http.client.HTTPException(f"a body of more than {len(data)} bytes")
    return data


def find_head(headers: Mapping[str, str]) -> int | None:
    """Read where the JSON head ends, if binary data follow; ProtocolError if that is no number."""
    text = headers.get(HEAD_LENGTH.lower())
    return None if text is None else read_length(text, HEAD_LENGTH)


def read_sentence(data: bytes | bytearray) -> str:
    """Read what a server says of an error, as far as it is printable."""
    try:
        said = json.loads(data)["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    text = "".join(char if char.isprintable() else " " for char in str(said))
    return text[:_LONGEST_SENTENCE]
