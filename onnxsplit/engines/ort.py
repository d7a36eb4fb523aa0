"""The onnxruntime engine."""

import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
import onnxruntime

from onnxsplit.engines.device import bind_device, find_device
from onnxsplit.engines.environment import describe_machine, resolve_threads
from onnxsplit.engines.executed import load_executed_graph, request_executed_graph
from onnxsplit.engines.failures import translate_failures
from onnxsplit.engines.naming import check_names
from onnxsplit.engines.narrow import NARROW_TYPES, find_narrow
from onnxsplit.engines.native import build_settings, load_native
from onnxsplit.engines.port import EngineOptions, Feeds, KernelEvent, Value
from onnxsplit.engines.trace import read_dtype, read_events
from onnxsplit.engines.values import box, convert, unbox
from onnxsplit.errors import ModelError, UnsupportedModelError, UsageError
from onnxsplit.graph import TensorSpec, ValueKind

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
        Record every kernel for `OrtSession.end_profiling`, and keep the graph that is run.

    Raises
    ------
    UsageError
        The provider is not available.
    UnsupportedModelError
        onnxruntime lacks an operator, a kernel or a version that the model needs.
    ModelError
        onnxruntime can't load the model.
    """
    if not trace:
        native = load_native(model, build_settings(options, base_folder), options)
        return OrtSession(native, device=find_device(options))
    folder = Path(tempfile.mkdtemp(prefix="onnxsplit-trace-"))
    try:
        native = _load_traced(model, options, base_folder, folder)
        return OrtSession(native, trace_folder=folder, device=find_device(options))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _load_traced(
    model: bytes | Path, options: EngineOptions, base_folder: Path | None, folder: Path
) -> onnxruntime.InferenceSession:
    """Load a model so that it records its kernels and, where it can, writes the graph it runs."""
    settings = _build_traced_settings(options, base_folder, folder)
    request_executed_graph(settings, folder)
    try:
        return load_native(model, settings, options)
    except ModelError:
        # A provider that compiles its part of the graph can't write it, and fails to load.
        return load_native(model, _build_traced_settings(options, base_folder, folder), options)


def _build_traced_settings(
    options: EngineOptions, base_folder: Path | None, folder: Path
) -> onnxruntime.SessionOptions:
    """Build settings that record every kernel in a folder."""
    settings = build_settings(options, base_folder)
    settings.enable_profiling = True
    settings.profile_file_prefix = str(folder / "trace")
    return settings


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
        self,
        native: onnxruntime.InferenceSession,
        *,
        trace_folder: Path | None = None,
        device: tuple[str, int] | None = None,
    ) -> None:
        self._native: onnxruntime.InferenceSession | None = native
        self._device = device
        self._traces = trace_folder is not None
        self._remove_folder = weakref.finalize(self, _remove_folder, trace_folder)
        self._inputs = tuple(read_spec(argument) for argument in native.get_inputs())
        self._outputs = tuple(read_spec(argument) for argument in native.get_outputs())
        self._output_specs = {spec.name: spec for spec in self._outputs}
        self._executed = None if trace_folder is None else load_executed_graph(trace_folder)

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

    @property
    def executed(self) -> onnx.GraphProto | None:
        """The graph that is run; see `onnxsplit.engines.port.Session.executed`."""
        return self._executed

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> dict[str, Value]:
        """Run once and return the named outputs; see `onnxsplit.engines.port.Session.run`."""
        names = list(self._output_specs) if outputs is None else list(outputs)
        values = self._prepare(feeds, names)()
        return dict(zip(names, values, strict=True))

    def bind(self, feeds: Feeds) -> Callable[[], None]:
        """Return a call that runs the model; see `onnxsplit.engines.port.Session.bind`."""
        if self._device is not None and self._is_dense(feeds):
            self._check_names(feeds, ())
            arrays = {name: np.asarray(value) for name, value in feeds.items()}
            return bind_device(self._open_native(), arrays, list(self._output_specs), self._device)
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
            converted = {name: convert(value) for name, value in feeds.items()}
        task = "run the model on these inputs"
        if not any(self._output_specs[name].dtype in NARROW_TYPES for name in names):

            def run_plain() -> list[Value]:
                with translate_failures(task):
                    result: list[Value] = native.run(names, converted)
                return result

            return run_plain

        self._refuse_lists(feeds, names)
        with translate_failures("take the inputs"):
            boxed = {name: box(value) for name, value in converted.items()}

        def run_boxed() -> list[Value]:
            with translate_failures(task):
                return [unbox(value) for value in native.run_with_ort_values(names, boxed)]

        return run_boxed

    def _check_names(self, feeds: Feeds, names: Sequence[str]) -> None:
        """Refuse missing and unknown inputs and unknown outputs."""
        check_names(
            feeds.keys(),
            names,
            inputs=self._inputs,
            outputs=self._output_specs,
            overridable=self._overridable(),
        )

    def _overridable(self) -> set[str]:
        """Return the names of the initializers that may be fed."""
        return {entry.name for entry in self._open_native().get_overridable_initializers()}

    def _is_dense(self, feeds: Feeds) -> bool:
        """Tell whether all values are dense tensors of types that numpy has."""
        values = [isinstance(value, np.ndarray) for value in feeds.values()]
        outputs = [s.kind == "tensor" and s.dtype not in NARROW_TYPES for s in self._outputs]
        narrow = [find_narrow(v) for v in feeds.values() if isinstance(v, np.ndarray)]
        return all(values) and all(outputs) and not any(narrow)

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


def read_spec(argument: Any) -> TensorSpec:  # noqa: ANN401 - onnxruntime's NodeArg has no types
    """Read the type of an input or output, such as ``seq(tensor(float))``."""
    *kinds, dtype = re.findall(r"\w+", argument.type)
    kind = _KINDS.get(kinds[0], "unknown") if kinds else "unknown"
    shape = tuple(argument.shape) if kind == "tensor" and argument.shape else None
    return TensorSpec(name=argument.name, dtype=read_dtype(dtype), shape=shape, kind=kind)


def _remove_folder(folder: Path | None) -> None:
    """Remove a trace's folder, if there is one."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
