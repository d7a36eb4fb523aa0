"""The messages of the gRPC form, described here and made at run time: no generated code.

Sources: Open Inference Protocol, ``open_inference_grpc.proto`` (package ``inference``), and gRPC's
``health.proto`` (package ``grpc.health.v1``), both proto3; NVIDIA's ``model_config.proto``, of
which the parameters alone are read. ``ModelMetadataResponse.parameters`` is an addition, with the
number that MLServer gave it; others pass over it. The descriptors live in a pool of their own, so
that generated code of the same names, in the same process, does not clash.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

INFERENCE_SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"
SERVING, NOT_SERVING = 1, 2
"""The values of ``HealthCheckResponse.ServingStatus``, an enum, which travels as an int32."""

Message = Any
"""A message whose type is made at run time, so that its fields are not known before."""

_TENSOR = (
    "string name = 1",
    "string datatype = 2",
    "repeated int64 shape = 3",
    "map InferParameter parameters = 4",
    "InferTensorContents contents = 5",
)
_NAME_AND_VERSION = ("string name = 1", "string version = 2")
_INFERENCE: Mapping[str, Sequence[str]] = {
    "InferParameter": (
        "oneof bool bool_param = 1",
        "oneof int64 int64_param = 2",
        "oneof string string_param = 3",
        "oneof double double_param = 4",
        "oneof uint64 uint64_param = 5",
    ),
    "InferTensorContents": (
        "repeated bool bool_contents = 1",
        "repeated int32 int_contents = 2",
        "repeated int64 int64_contents = 3",
        "repeated uint32 uint_contents = 4",
        "repeated uint64 uint64_contents = 5",
        "repeated float fp32_contents = 6",
        "repeated double fp64_contents = 7",
        "repeated bytes bytes_contents = 8",
    ),
    "InferInputTensor": _TENSOR,
    "InferOutputTensor": _TENSOR,
    "InferRequestedOutputTensor": ("string name = 1", "map InferParameter parameters = 2"),
    "TensorMetadata": _TENSOR[:3],
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("bool live = 1",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("bool ready = 1",),
    "ModelReadyRequest": _NAME_AND_VERSION,
    "ModelReadyResponse": ("bool ready = 1",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": (*_NAME_AND_VERSION, "repeated string extensions = 3"),
    "ModelMetadataRequest": _NAME_AND_VERSION,
    "ModelMetadataResponse": (
        "string name = 1",
        "repeated string versions = 2",
        "string platform = 3",
        "repeated TensorMetadata inputs = 4",
        "repeated TensorMetadata outputs = 5",
        "map InferParameter parameters = 6",
    ),
    "ModelConfigRequest": _NAME_AND_VERSION,
    "ModelConfigResponse": ("ModelConfig config = 1",),
    "ModelConfig": ("map ModelParameter parameters = 14",),
    "ModelParameter": ("string string_value = 1",),
    "ModelInferRequest": (
        "string model_name = 1",
        "string model_version = 2",
        "string id = 3",
        "map InferParameter parameters = 4",
        "repeated InferInputTensor inputs = 5",
        "repeated InferRequestedOutputTensor outputs = 6",
        "repeated bytes raw_input_contents = 7",
    ),
    "ModelInferResponse": (
        "string model_name = 1",
        "string model_version = 2",
        "string id = 3",
        "map InferParameter parameters = 4",
        "repeated InferOutputTensor outputs = 5",
        "repeated bytes raw_output_contents = 6",
    ),
}
"""Where a message stands does not travel; those that the source nests stand beside the others."""
_HEALTH: Mapping[str, Sequence[str]] = {
    "HealthCheckRequest": ("string service = 1",),
    "HealthCheckResponse": ("int32 status = 1",),
}

_FIELD = re.compile(r"(?:(repeated|map|oneof) )?(\w+) (\w+) = (\d+)")
_Field = descriptor_pb2.FieldDescriptorProto


@cache
def load_messages() -> Mapping[str, Message]:
    """Make the classes of all messages, once.

    Returns
    -------
    mapping of str to class
        By their names, without packages.
    """
    pool = descriptor_pool.DescriptorPool()
    classes: dict[str, Message] = {}
    for package, messages in (("inference", _INFERENCE), ("grpc.health.v1", _HEALTH)):
        pool.Add(_describe_file(package, messages))
        for name in messages:
            descriptor = pool.FindMessageTypeByName(f"{package}.{name}")
            classes[name] = message_factory.GetMessageClass(descriptor)
    return classes


def _describe_file(
    package: str, messages: Mapping[str, Sequence[str]]
) -> descriptor_pb2.FileDescriptorProto:
    """Describe a package."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"onnxsplit/{package}.proto", package=package, syntax="proto3"
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for label, kind, field, number in _read_fields(fields):
            _add_field(message, package, (label, kind, field), number)
    return file


def _read_fields(fields: Sequence[str]) -> Iterator[tuple[str, str, str, int]]:
    """Read the label, type, name and number of each field."""
    for text in fields:
        found = _FIELD.fullmatch(text)
        if found is None:
            raise ValueError(text)
        yield found[1] or "", found[2], found[3], int(found[4])


def _add_field(
    message: descriptor_pb2.DescriptorProto, package: str, words: tuple[str, str, str], number: int
) -> None:
    """Add a field to a message; a map is a repeated entry of a key and a value."""
    label, kind, name = words
    field = message.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if label in {"repeated", "map"} else _Field.LABEL_OPTIONAL
    if label == "oneof":
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    if label != "map":
        _set_type(field, package, kind)
        return
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    _add_field(entry, package, ("", "string", "key"), 1)
    _add_field(entry, package, ("", kind, "value"), 2)
    _set_type(field, package, f"{message.name}.{entry.name}")


def _set_type(field: descriptor_pb2.FieldDescriptorProto, package: str, kind: str) -> None:
    """Set a field's type: one of protobuf's own, else a message of the package."""
    if f"TYPE_{kind.upper()}" in dict(_Field.Type.items()):
        field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{package}.{kind}"
