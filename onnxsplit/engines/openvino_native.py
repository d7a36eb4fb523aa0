"""OpenVINO's own objects: the core, what a model is compiled with, and loading.

Notes
-----
On processors with bfloat16 instructions OpenVINO computes float32 models in bfloat16 unless it is
told not to; the default here is float32. Its processor device keeps int64 in 32 bits and float64 in
float32 (OpenVINO, "CPU Device", supported inference data types).
"""

import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from onnxsplit.engines.environment import describe_machine, resolve_threads
from onnxsplit.engines.naming import list_names
from onnxsplit.engines.openvino_failures import translate_failures
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import ModelError, UsageError

if TYPE_CHECKING:
    import openvino

_VIRTUAL_DEVICES = ("AUTO", "BATCH", "HETERO", "MULTI")
"""Devices of OpenVINO that stand for others."""

_MOST_SERIALIZED_BYTES = 2_000_000_000
"""What protobuf can hold in one message."""


def describe_environment(options: EngineOptions) -> dict[str, Any]:
    """Return what a measurement depends on; see `onnxsplit.engines.opening`.

    Raises
    ------
    UsageError
        OpenVINO is not installed.
    """
    return {
        "runtime": options.runtime,
        "openvino": _import().__version__.partition("-")[0],
        "provider": options.provider,
        "provider_options": dict(options.provider_options),
        "threads": resolve_threads(options),
        **describe_machine(),
    }


def load_native(
    proto: onnx.ModelProto, file: Path | None, options: EngineOptions, base_folder: Path | None
) -> "openvino.Model":
    """Read a model into OpenVINO.

    Parameters
    ----------
    proto : onnx.ModelProto
        Without its external data.
    file : Path or None
        The file that it is, where it is one.
    options : EngineOptions
    base_folder : Path or None
        Where the external data of a model that is no file lies.

    Raises
    ------
    UsageError
        OpenVINO is not installed, or has no such device.
    UnsupportedModelError
        It can't convert an operator.
    ModelError
        It can't read the model.
    """
    check_device(options.provider)
    with translate_failures("read the model"):
        return open_core().read_model(
            str(file) if file is not None else _serialize(proto, base_folder)
        )


def compile_native(
    model: "openvino.Model", options: EngineOptions, *, trace: bool
) -> "openvino.CompiledModel":
    """Compile a model for a device.

    Raises
    ------
    UnsupportedModelError, ModelError
        OpenVINO can't compile it, or does not know a property that was given.
    """
    with translate_failures("compile the model"):
        return open_core().compile_model(
            model, options.provider, dict(_build_properties(options, trace=trace))
        )


def check_device(device: str) -> None:
    """Refuse a device that OpenVINO does not have here.

    Raises
    ------
    UsageError
        It does not have it.
    """
    available = open_core().available_devices
    kind = device.partition(":")[0].partition(".")[0]
    kinds = {name.partition(".")[0] for name in available}
    if kind not in kinds and kind not in _VIRTUAL_DEVICES:
        raise UsageError(
            f"The device {device!r} is not available; OpenVINO has {list_names(available)} here."
        )


@functools.cache
def open_core() -> "openvino.Core":
    """Return OpenVINO's core, one for the process.

    Raises
    ------
    UsageError
        OpenVINO is not installed.
    """
    core: openvino.Core = _import().Core()
    return core


def _import() -> Any:  # noqa: ANN401 - a module
    """Import OpenVINO, or say how to install it."""
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise UsageError(
            "The runtime openvino is not installed; install it with"
            ' `pip install "onnxsplit[openvino]"`.'
        ) from error


def _build_properties(options: EngineOptions, *, trace: bool) -> Mapping[str, str]:
    """Return the properties that a model is compiled with; those that were given win."""
    properties = {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": "YES" if trace else "NO"}
    if options.provider == "CPU":
        properties |= {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": str(resolve_threads(options)),
            "NUM_STREAMS": "1",
            "ENABLE_CPU_PINNING": "NO",
        }
    return {**properties, **options.provider_options}


def _serialize(proto: onnx.ModelProto, base_folder: Path | None) -> bytes:
    """Serialize a model with the external data that OpenVINO would look for nowhere else."""
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    if base_folder is not None:
        try:
            onnx.external_data_helper.load_external_data_for_model(whole, str(base_folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(f"The model's external data can't be read: {error}.") from error
    if whole.ByteSize() > _MOST_SERIALIZED_BYTES:
        raise ModelError(
            "The model and its weights have more than 2 GB, which OpenVINO takes from a file only."
        )
    return whole.SerializeToString()
