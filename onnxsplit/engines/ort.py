"""The onnxruntime engine."""

import ctypes
import functools
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from onnxsplit.engines.environment import count_cores, describe_machine
from onnxsplit.engines.failures import translate_failures
from onnxsplit.engines.narrow import NARROW_TYPES, find_narrow, pack, packed_bytes, unpack
from onnxsplit.engines.port import (
    CPU_PROVIDER,
    Array,
    EngineOptions,
    Feeds,
    KernelEvent,
    Value,
)
from onnxsplit.engines.trace import read_dtype, read_events
from onnxsplit.errors import ModelError, UnsupportedModelError, UsageError
from onnxsplit.graph import TensorSpec, ValueKind

_FATAL_ONLY = 4
"""Log severity: onnxruntime writes to stderr, where only our own words belong."""

_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"

_KINDS: Mapping[str, ValueKind] = {
    "tensor": "tensor",
    "sparse_tensor": "sparse_tensor",
    "seq": "sequence",
    "optional": "optional",
    "map": "map",
}


def open_session(
    model: bytes | Path,
    options: EngineOptions,
    *,
    base_folder: Path | None = None,
    trace: bool = False,
) -> "OrtSession":
    """Load a model and make it ready to run.

    Parameters
    ----------
    model : bytes or Path
        The serialized model, or its file (the only way for more than 2 GB).
    options : EngineOptions
    base_folder : Path, optional
        Where a serialized model's external data lies.
    trace : bool
        Record every kernel for `OrtSession.end_profiling`.

    Raises
    ------
    UsageError
        The provider is not available.
    UnsupportedModelError
        onnxruntime lacks an operator, a kernel or a version that the model needs.
    ModelError
        onnxruntime can't load the model.
    """
    folder = Path(tempfile.mkdtemp(prefix="onnxsplit-trace-")) if trace else None
    try:
        settings = build_settings(options, base_folder)
        if folder is not None:
            settings.enable_profiling = True
            settings.profile_file_prefix = str(folder / "trace")
        return OrtSession(load_native(model, settings, options), trace_folder=folder)
    except BaseException:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def available_providers() -> tuple[str, ...]:
    """Return the execution providers of the installed onnxruntime."""
    return tuple(onnxruntime.get_available_providers())


def resolve_threads(options: EngineOptions) -> int:
    """Return the number of threads that a session with these options uses."""
    return options.threads or count_cores()


def describe_environment(options: EngineOptions) -> dict[str, Any]:
    """Return what a measurement with these options depends on, without the host's name.

    Returns
    -------
    dict
        ``onnxruntime`` (version), ``provider``, ``provider_options``, ``threads``, ``cpu``,
        ``machine`` and ``os``.
    """
    return {
        "onnxruntime": onnxruntime.__version__,
        "provider": options.provider,
        "provider_options": dict(options.provider_options),
        "threads": resolve_threads(options),
        **describe_machine(),
    }


class OrtSession:
    """A model loaded in onnxruntime; implements `onnxsplit.engines.port.Session`."""

    def __init__(
        self, native: onnxruntime.InferenceSession, *, trace_folder: Path | None = None
    ) -> None:
        self._native: onnxruntime.InferenceSession | None = native
        self._traces = trace_folder is not None
        self._remove_folder = weakref.finalize(self, _remove_folder, trace_folder)
        self._inputs = tuple(_read_spec(argument) for argument in native.get_inputs())
        self._outputs = tuple(_read_spec(argument) for argument in native.get_outputs())
        self._output_specs = {spec.name: spec for spec in self._outputs}

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that must be fed, in order; a symbolic dim is a str.

        onnxruntime does not tell a scalar from a value of unknown rank: both have the shape None.
        """
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs, in order; shapes as for the inputs."""
        return self._outputs

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> dict[str, Value]:
        """Run once and return the named outputs; see `onnxsplit.engines.port.Session.run`."""
        names = list(self._output_specs) if outputs is None else list(outputs)
        values = self._prepare(feeds, names)()
        return dict(zip(names, values, strict=True))

    def bind(self, feeds: Feeds) -> Callable[[], None]:
        """Return a call that runs the model; see `onnxsplit.engines.port.Session.bind`."""
        call = self._prepare(feeds, list(self._output_specs))

        def run_once() -> None:
            call()

        return run_once

    def end_profiling(self) -> tuple[KernelEvent, ...]:
        """End the trace and read it; see `onnxsplit.engines.port.Session.end_profiling`."""
        if not self._traces:
            raise ModelError("This session records no trace; open it with trace=True.")
        with translate_failures("write its trace"):
            path = Path(self._open_native().end_profiling())
        self._traces = False
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                return read_events(lines)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError("The trace that onnxruntime wrote can't be read.") from error
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the model and of the trace; closing twice is allowed."""
        if self._traces and self._native is not None:
            with translate_failures("end its trace"):
                self._native.end_profiling()  # Some systems can't remove a file that is open.
        self._native = None
        self._remove_folder()

    def __enter__(self) -> Self:
        """Return the session itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the session."""
        self.close()

    def _open_native(self) -> onnxruntime.InferenceSession:
        """Return onnxruntime's session unless this one is closed."""
        if self._native is None:
            raise UsageError("The session is closed; open another one.")
        return self._native

    def _prepare(self, feeds: Feeds, names: list[str]) -> Callable[[], list[Value]]:
        """Check and convert the inputs once; the call runs the model on them."""
        native = self._open_native()
        self._check_names(feeds, names)
        with translate_failures("take the inputs"):
            converted = {name: _to_engine(value) for name, value in feeds.items()}
        task = "run the model on these inputs"
        if not any(self._output_specs[name].dtype in NARROW_TYPES for name in names):

            def run_plain() -> list[Value]:
                with translate_failures(task):
                    result: list[Value] = native.run(names, converted)
                return result

            return run_plain

        self._refuse_lists(feeds, names)
        with translate_failures("take the inputs"):
            boxed = {name: _box(value) for name, value in converted.items()}

        def run_boxed() -> list[Value]:
            with translate_failures(task):
                return [_unbox(value) for value in native.run_with_ort_values(names, boxed)]

        return run_boxed

    def _check_names(self, feeds: Feeds, names: Sequence[str]) -> None:
        """Refuse missing and unknown inputs and unknown outputs."""
        specs = {spec.name: spec for spec in self._inputs}
        for name in feeds:
            if name not in specs and name not in self._overridable():
                raise UsageError(f"The model has no input {name!r}; it has {_list(specs)}.")
        for name, spec in specs.items():
            if name not in feeds and spec.kind != "optional":
                raise UsageError(f"The model's input {name!r} is missing; give a value for it.")
        for name in names:
            if name not in self._output_specs:
                raise UsageError(
                    f"The model has no output {name!r}; it has {_list(self._output_specs)}."
                )

    def _overridable(self) -> set[str]:
        """Return the names of the initializers that may be fed."""
        return {entry.name for entry in self._open_native().get_overridable_initializers()}

    def _refuse_lists(self, feeds: Feeds, names: Sequence[str]) -> None:
        """Refuse sequences and optionals beside outputs whose element type numpy lacks."""
        lists = [name for name, value in feeds.items() if not isinstance(value, np.ndarray)]
        lists += [name for name in names if self._output_specs[name].kind != "tensor"]
        if lists:
            narrow = next(n for n in names if self._output_specs[n].dtype in NARROW_TYPES)
            raise UnsupportedModelError(
                f"The output {narrow!r} of type {self._output_specs[narrow].dtype} can't be"
                f" fetched together with {lists[0]!r}, which is no dense tensor;"
                " ask for them one by one."
            )


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
            f"The provider {options.provider} could not start, and only {_list(started)} did;"
            " are its libraries and drivers installed?"
        )
    return native


def build_settings(options: EngineOptions, base_folder: Path | None) -> onnxruntime.SessionOptions:
    """Build onnxruntime's own settings.

    Threads are always given: onnxruntime then pins none, and what is recorded is what runs.
    Spinning threads steal cores from each other; on two cores they tripled a model's latency.
    """
    _silence_default_logger()
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


@functools.cache
def _silence_default_logger() -> None:
    """Keep what onnxruntime says outside any session off stderr."""
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)


def _check_provider(provider: str) -> None:
    """Refuse a provider that this onnxruntime was not built with."""
    available = available_providers()
    if provider not in available:
        raise UsageError(
            f"The provider {provider!r} is not available; this onnxruntime has {_list(available)}."
        )


def _read_spec(argument: Any) -> TensorSpec:  # noqa: ANN401 - onnxruntime's NodeArg has no types
    """Read the type of an input or output, such as ``seq(tensor(float))``."""
    *kinds, dtype = re.findall(r"\w+", argument.type)
    kind = _KINDS.get(kinds[0], "unknown") if kinds else "unknown"
    shape = tuple(argument.shape) if kind == "tensor" and argument.shape else None
    return TensorSpec(name=argument.name, dtype=read_dtype(dtype), shape=shape, kind=kind)


def _to_engine(value: Value) -> Any:  # noqa: ANN401 - arrays, lists, None or onnxruntime's OrtValue
    """Convert an input to what onnxruntime takes."""
    if isinstance(value, np.ndarray) and find_narrow(value) is not None:
        return _box(value)
    return list(value) if isinstance(value, tuple) else value


def _box(value: Any) -> onnxruntime.OrtValue:  # noqa: ANN401 - an array or an OrtValue
    """Hand an array to onnxruntime; narrow element types are copied bit by bit."""
    if isinstance(value, onnxruntime.OrtValue):
        return value
    narrow = find_narrow(value)
    if narrow is None:
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value))
    boxed = onnxruntime.OrtValue.ortvalue_from_shape_and_type(value.shape, narrow.onnx, "cpu")
    packed = pack(value, narrow)
    ctypes.memmove(boxed.data_ptr(), packed.ctypes.data, packed.nbytes)
    return boxed


def _unbox(value: onnxruntime.OrtValue) -> Array:
    """Copy a dense tensor out of onnxruntime."""
    dtype = re.sub(r"^tensor\((\w+)\)$", r"\1", value.data_type())
    narrow = NARROW_TYPES.get(read_dtype(dtype))
    if narrow is None:
        array: Array = value.numpy()
        return array
    shape = tuple(value.shape())
    size = packed_bytes(narrow, shape)
    packed = np.frombuffer(ctypes.string_at(value.data_ptr(), size), dtype=np.uint8).copy()
    return unpack(packed, narrow, shape)


def _remove_folder(folder: Path | None) -> None:
    """Remove a trace's folder, if there is one."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _list(names: Sequence[str] | Mapping[str, object]) -> str:
    """List names in a sentence."""
    return ", ".join(names) or "none"
