"""The one way to a session: the runtime that the options name opens it.

A runtime is imported when it is first used, so that nobody needs those that they do not run on.
"""

from pathlib import Path
from typing import Any

from onnxsplit.engines.port import EngineOptions, Session


def open_session(
    model: bytes | Path,
    options: EngineOptions,
    *,
    base_folder: Path | None = None,
    trace: bool = False,
) -> Session:
    """Load a model into a runtime and make it ready to run.

    Parameters
    ----------
    model : bytes or Path
        The serialized model, or its file (the only way for more than 2 GB).
    options : EngineOptions
        Its ``runtime`` says which engine.
    base_folder : Path, optional
        Where a serialized model's external data lies.
    trace : bool
        Record every kernel for `Session.end_profiling`, and keep the graph that is run.

    Raises
    ------
    UsageError
        The runtime is not installed, or the provider is not available.
    UnsupportedModelError
        The runtime lacks an operator, a kernel or a version that the model needs.
    ModelError
        The runtime can't load the model.
    """
    if options.runtime == "openvino":
        from onnxsplit.engines import openvino_session  # noqa: PLC0415 - an extra

        return openvino_session.open_session(model, options, base_folder=base_folder, trace=trace)
    from onnxsplit.engines import ort  # noqa: PLC0415 - loads onnxruntime

    return ort.open_session(model, options, base_folder=base_folder, trace=trace)


def describe_environment(options: EngineOptions) -> dict[str, Any]:
    """Return what a measurement with these options depends on, without the host's name.

    Returns
    -------
    dict
        The runtime's name and its version (``onnxruntime`` or ``openvino``), ``provider``,
        ``provider_options``, ``threads``, ``cpu``, ``machine`` and ``os``; ``runtime`` where it is
        not onnxruntime.

    Raises
    ------
    UsageError
        The runtime is not installed.
    """
    if options.runtime == "openvino":
        from onnxsplit.engines import openvino_native  # noqa: PLC0415 - an extra

        return openvino_native.describe_environment(options)
    from onnxsplit.engines import ort  # noqa: PLC0415 - loads onnxruntime

    return ort.describe_environment(options)
