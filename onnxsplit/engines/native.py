"""Settings, providers and loading: what every use of onnxruntime starts with."""

import functools
from pathlib import Path

import onnxruntime

from onnxsplit.engines.environment import resolve_threads
from onnxsplit.engines.failures import translate_failures
from onnxsplit.engines.naming import list_names
from onnxsplit.engines.port import CPU_PROVIDER, EngineOptions
from onnxsplit.errors import UsageError

_FATAL_ONLY = 4
"""Log severity: onnxruntime writes to stderr, where only our own words belong."""

_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


_ROUNDING_FUSIONS = ("MatMulScaleFusion", "MatMulAddFusion", "GemmSumFusion", "DivMulFusion")
"""Fusions of operators that weights as inputs do not prevent, and that round otherwise than the
operators do: a Gemm begins its sums with what was to be added after them."""
_REORDERINGS = ("TransposeOptimizer", "TransposeOptimizer_CPUExecutionProvider")
"""They move transposes past sums, which then add up in another order, where the sizes between are
known; those of a stage are known less far than those of the whole."""


def available_providers() -> tuple[str, ...]:
    """Return the execution providers of the installed onnxruntime."""
    return tuple(onnxruntime.get_available_providers())


def load_native(
    model: bytes | Path, settings: onnxruntime.SessionOptions, options: EngineOptions
) -> onnxruntime.InferenceSession:
    """Load a model into onnxruntime on the wanted provider.

    Raises
    ------
    UsageError
        The provider is not available or can't start.
    ModelError
        onnxruntime can't load the model.
    """
    _check_provider(options.provider)
    providers: list[str | tuple[str, dict[str, str]]] = [
        (options.provider, dict(options.provider_options))
    ]
    if options.provider != CPU_PROVIDER:
        providers.append(CPU_PROVIDER)
    source = model if isinstance(model, bytes) else str(model)
    with translate_failures("load the model"):
        # Without its fallback, it neither prints to stdout nor changes the provider in silence.
        native = onnxruntime.InferenceSession(
            source, settings, providers=providers, enable_fallback=0
        )
        native.disable_fallback()
        started = native.get_providers()
    if options.provider not in started:
        raise UsageError(
            f"The provider {options.provider} could not start, and only {list_names(started)} did;"
            " are its libraries and drivers installed?"
        )
    return native


def build_settings(options: EngineOptions, base_folder: Path | None) -> onnxruntime.SessionOptions:
    """Build onnxruntime's own settings.

    Threads are always given: onnxruntime then pins none, and what is recorded is what runs.
    Spinning threads steal cores from each other; on two cores they tripled a model's latency.
    """
    _silence_engine()
    levels = onnxruntime.GraphOptimizationLevel
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL_ONLY
    settings.intra_op_num_threads = resolve_threads(options)
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = {
        "all": levels.ORT_ENABLE_ALL,
        "disabled": levels.ORT_DISABLE_ALL,
    }[options.optimization]
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if base_folder is not None:
        settings.add_session_config_entry(_EXTERNAL_FOLDER, str(base_folder))
    return settings


def keep_roundings(settings: onnxruntime.SessionOptions, *, blocked_layout: bool = False) -> None:
    """Let operators round as they do by themselves, so that a cut between them does not show.

    Parameters
    ----------
    settings : onnxruntime.SessionOptions
    blocked_layout : bool
        Whether convolutions of constant weights may bring channels into blocks, which makes them
        up to four times as fast. Whether poolings beside them do so too depends on where the model
        is cut, and with it how they round.

    Notes
    -----
    Measured with a product over 256 elements and more: its sum with a bias, fused, differs in the
    last bits from that of a stage that ends with the product.
    """
    left_out = [*_ROUNDING_FUSIONS, *_REORDERINGS]
    left_out += [] if blocked_layout else ["NchwcTransformer"]
    settings.add_session_config_entry(
        "optimization.disable_specified_optimizers", ";".join(left_out)
    )


@functools.cache
def _silence_engine() -> None:
    """Keep what onnxruntime says outside any session off stderr, and have it report to nobody."""
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    onnxruntime.disable_telemetry_events()


def _check_provider(provider: str) -> None:
    """Refuse a provider that this onnxruntime was not built with."""
    available = available_providers()
    if provider not in available:
        raise UsageError(
            f"The provider {provider!r} is not available;"
            f" this onnxruntime has {list_names(available)}."
        )
