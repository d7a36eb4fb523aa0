"""Memory and launches of devices that onnxruntime's providers compute on, apart from the host's."""

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnxruntime

from onnxsplit.engines.failures import translate_failures
from onnxsplit.engines.port import Array, EngineOptions

_DEVICES: Mapping[str, str] = {
    "CUDAExecutionProvider": "cuda",
    "NvTensorRTRTXExecutionProvider": "cuda",
    "TensorrtExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "CANNExecutionProvider": "cann",
}
"""Providers with a memory of their own, by onnxruntime's name of that memory."""

_BLOCKING = "CUDA_LAUNCH_BLOCKING"


def find_device(options: EngineOptions) -> tuple[str, int] | None:
    """Return the provider's own memory and its number; None where it uses the host's."""
    name = _DEVICES.get(options.provider)
    if name is None:
        return None
    return name, int(options.provider_options.get("device_id", 0))


def wait_for_launches(options: EngineOptions) -> None:
    """Let CUDA wait for each kernel that it launches, so that traces hold their times.

    It must be called before the process first uses CUDA; what the user has set is left alone.
    """
    if find_device(options) is not None:
        os.environ.setdefault(_BLOCKING, "1")


def waits_for_launches(options: EngineOptions) -> bool:
    """Tell whether traces hold kernels' times rather than those of their launches."""
    is_cuda = (find_device(options) or ("", 0))[0] == "cuda"
    return not is_cuda or os.environ.get(_BLOCKING) == "1"


def bind_device(
    native: onnxruntime.InferenceSession,
    feeds: Mapping[str, Array],
    outputs: Sequence[str],
    device: tuple[str, int],
) -> Callable[[], None]:
    """Return a call that runs a model on values in a device's memory and waits for the end.

    Inputs are copied there once; outputs stay there.
    """
    name, number = device
    binding = native.io_binding()
    with translate_failures("take the inputs"):
        for key, value in feeds.items():
            there = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), *device)
            binding.bind_ortvalue_input(key, there)
        for key in outputs:
            binding.bind_output(key, name, number)

    def run_bound() -> None:
        with translate_failures("run the model on these inputs"):
            native.run_with_iobinding(binding)
            binding.synchronize_outputs()

    return run_bound


def bind_copies(
    array: Array, device: tuple[str, int]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return calls that copy a value from the host to a device, and back.

    Raises
    ------
    ModelError
        The device has no memory for it.
    """
    with translate_failures("copy a value to the device"):
        there = onnxruntime.OrtValue.ortvalue_from_numpy(array, *device)

    def send() -> None:
        there.update_inplace(array)

    def fetch() -> None:
        there.numpy()

    return send, fetch
