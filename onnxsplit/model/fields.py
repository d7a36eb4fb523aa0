"""Protobuf messages, copied in part and compared."""

from collections.abc import Collection

from google.protobuf.message import Message


def copy_fields(source: Message, target: Message, *, leave: Collection[str]) -> None:
    """Copy the fields of a message into an empty one of the same type, but for some."""
    for field, value in source.ListFields():
        if field.name in leave:
            continue
        place = getattr(target, field.name)
        if hasattr(place, "MergeFrom"):
            place.MergeFrom(value)
        else:
            setattr(target, field.name, value)


def encode(message: Message) -> bytes:
    """Serialize a message so that equal ones give equal bytes."""
    return message.SerializeToString(deterministic=True)
