"""Triton model repositories: a folder for each model, with a ``config.pbtxt``.

The fields are those of ``ModelConfig`` in NVIDIA's ``model_config.proto``, in protobuf text form.
"""

from collections.abc import Iterator, Mapping, Sequence

from onnxsplit.deployment.batching import find_obstacle
from onnxsplit.deployment.services import VERSION, Service, Source
from onnxsplit.deployment.settings import ServingSettings
from onnxsplit.errors import UnsupportedModelError, UsageError
from onnxsplit.graph import TensorSpec

CONFIG_FILE = "config.pbtxt"

_TYPES: Mapping[str, str] = {
    "bool": "TYPE_BOOL",
    **{
        f"{sign}int{bits}": f"TYPE_{sign.upper()}INT{bits}"
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
    "float16": "TYPE_FP16",
    "bfloat16": "TYPE_BF16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "string": "TYPE_STRING",
}


def lay_out(service: Service) -> dict[str, Source]:
    """Map a model's files in the repository to their sources."""
    return {f"{service.name}/{VERSION}/{name}": path for name, path in service.list_files().items()}


def write_config(service: Service, settings: ServingSettings) -> str:
    """Write a model's ``config.pbtxt``.

    Parameters
    ----------
    service : Service
    settings : ServingSettings

    Returns
    -------
    str
        ``max_batch_size`` above 0, and the first dim left out, only where `find_obstacle` has
        nothing to say; else 0 and every dim, -1 for those that are not fixed.

    Raises
    ------
    UsageError
        Requests are to be joined, and the types do not allow it.
    UnsupportedModelError
        A value has a type that Triton has no word for, or no rank.
    """
    settings = ServingSettings() if service.is_probe else settings
    obstacle = find_obstacle(service.stage)
    if settings.dynamic_batching and obstacle is not None:
        raise UsageError(f"--dynamic-batching does not suit {service.name!r}: {obstacle}.")
    is_batched = obstacle is None
    lines = [
        f"name: {quote(service.name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {settings.max_batch if is_batched else 0}",
        *_write_values("input", service.stage.inputs, is_batched=is_batched),
        *_write_values("output", service.stage.outputs, is_batched=is_batched),
        *_write_instances(settings),
        *_write_accelerator(settings),
        *(["dynamic_batching { }"] if settings.dynamic_batching else []),
        *_write_parameters(service, settings),
    ]
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    r"""Quote a string as protobuf's text form wants it: bytes that are not plain in octal.

    Examples
    --------
    >>> print(quote('a"b\\é'))
    "a\"b\\\303\251"
    """
    special = {ord('"'): '\\"', ord("\\"): "\\\\"}
    return (
        '"'
        + "".join(
            special.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}")  # noqa: PLR2004 - printable ASCII
            for byte in text.encode()
        )
        + '"'
    )


def _write_values(field: str, specs: Sequence[TensorSpec], *, is_batched: bool) -> Iterator[str]:
    """Write a model's inputs or outputs."""
    for spec in specs:
        yield f"{field} {{"
        yield f"  name: {quote(spec.name)}"
        yield f"  data_type: {_name_type(spec)}"
        dims = _list_dims(spec)[1 if is_batched else 0 :]
        yield f"  dims: [ {', '.join(map(str, dims))} ]"
        yield "}"


def _name_type(spec: TensorSpec) -> str:
    """Return Triton's word for an element type."""
    if spec.dtype is None or spec.dtype not in _TYPES:
        raise UnsupportedModelError(
            f"Triton has no element type {spec.dtype}, that of {spec.name!r}."
        )
    return _TYPES[spec.dtype]


def _list_dims(spec: TensorSpec) -> list[int]:
    """Return a value's dims, -1 for each that is not fixed."""
    if spec.shape is None:
        raise UnsupportedModelError(
            f"Triton must know how many dims {spec.name!r} has;"
            " the model does not say, so declare its shape and cut again."
        )
    if not spec.shape or 0 in spec.shape:
        raise UnsupportedModelError(
            f"Triton takes no scalars and no dims of 0, and {spec.name!r} is {list(spec.shape)};"
            " cut elsewhere, or export for another engine."
        )
    return [dim if isinstance(dim, int) else -1 for dim in spec.shape]


def _write_instances(settings: ServingSettings) -> list[str]:
    """Say how many copies run, and where."""
    kind = "KIND_GPU" if settings.accelerator in {"gpu", "tensorrt"} else "KIND_CPU"
    return [
        "instance_group {",
        f"  count: {settings.instances}",
        f"  kind: {kind}",
        "}",
    ]


def _write_accelerator(settings: ServingSettings) -> list[str]:
    """Name the execution provider within ONNX Runtime, where it is none of its own two."""
    place = {"tensorrt": "gpu", "openvino": "cpu"}.get(settings.accelerator)
    if place is None:
        return []
    name = f'{place}_execution_accelerator {{ name: "{settings.accelerator}" }}'
    return [f"optimization {{ execution_accelerators {{ {name} }} }}"]


def _write_parameters(service: Service, settings: ServingSettings) -> Iterator[str]:
    """Say which half this is, and with how many threads it was planned."""
    facts = {
        "model_sha256": service.model_sha256,
        "stage_sha256": service.stage.fingerprint,
        "tier": service.stage.tier,
    }
    if settings.accelerator == "cpu" and service.stage.threads:
        facts["intra_op_thread_count"] = str(service.stage.threads)
    for key, value in facts.items():
        if value is not None:
            entry = f"key: {quote(key)} value {{ string_value: {quote(value)} }}"
            yield f"parameters {{ {entry} }}"
