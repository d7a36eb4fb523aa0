"""The OpenVINO engine."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError

from onnxsplit.engines.naming import check_names
from onnxsplit.engines.openvino_failures import translate_failures
from onnxsplit.engines.openvino_native import check_device, compile_native, load_native
from onnxsplit.engines.openvino_trace import Tracing, prepare_tracing
from onnxsplit.engines.openvino_values import from_native, to_native
from onnxsplit.engines.port import EngineOptions, Feeds, KernelEvent, Value
from onnxsplit.engines.trace import read_dtype
from onnxsplit.errors import ModelError, UnsupportedModelError, UsageError
from onnxsplit.graph import TensorSpec

if TYPE_CHECKING:
    import openvino


def open_session(
    model: bytes | Path,
    options: EngineOptions,
    *,
    base_folder: Path | None = None,
    trace: bool = False,
) -> "OpenVinoSession":
    """Load a model into OpenVINO; see `onnxsplit.engines.opening.open_session`."""
    check_device(options.provider)
    file = None if isinstance(model, bytes) else model
    proto = _parse(model)
    graph = proto.graph
    fed = {entry.name for entry in graph.initializer}
    inputs = tuple(_read_spec(value) for value in graph.input if value.name not in fed)
    outputs = tuple(_read_spec(value) for value in graph.output)
    if file is not None and (trace or proto.functions):
        base_folder, file = file.parent, None
    if proto.functions:  # OpenVINO's reader does not know a model's own.
        proto = onnx.inliner.inline_local_functions(proto)
    tracing = prepare_tracing(proto) if trace else None
    native = load_native(proto, file, options, base_folder)
    compiled = compile_native(native, options, trace=trace)
    if tracing is not None:
        with translate_failures("show the graph that it runs"):
            tracing.read_graph(compiled.get_runtime_model(), options.provider)
    return OpenVinoSession(compiled, inputs, outputs, options=options, tracing=tracing)


class OpenVinoSession:
    """A model compiled by OpenVINO; implements `onnxsplit.engines.port.Session`.

    It may be run by several threads at a time: each run takes a request of its own.
    """

    def __init__(
        self,
        compiled: "openvino.CompiledModel",
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        options: EngineOptions,
        tracing: Tracing | None = None,
    ) -> None:
        self._compiled: openvino.CompiledModel | None = compiled
        self._inputs, self._outputs = inputs, outputs
        self._options, self._tracing = options, tracing
        self._is_traced = tracing is not None
        self._idle: list[openvino.InferRequest] = []
        # An input that nothing reads has no port.
        self._ports = {
            name: place for place, port in enumerate(compiled.inputs) for name in port.get_names()
        }
        self._places = _place_outputs(compiled, outputs)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that must be fed, in order; a symbolic dim is a str."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs, in order."""
        return self._outputs

    @property
    def executed(self) -> onnx.GraphProto | None:
        """The graph that is run; see `onnxsplit.engines.port.Session.executed`."""
        return None if self._tracing is None else self._tracing.executed

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> dict[str, Value]:
        """Run once and return the named outputs; see `onnxsplit.engines.port.Session.run`."""
        names = [spec.name for spec in self._outputs] if outputs is None else list(outputs)
        tensors = self._prepare(feeds, names)
        request = self._take_request()
        try:
            with translate_failures("run the model on these inputs"):
                results = request.infer(tensors)
            self._record(request)
            specs = {spec.name: spec for spec in self._outputs}
            return {
                name: from_native(results[self._places[name]], specs[name].dtype or "")
                for name in names
            }
        finally:
            self._idle.append(request)

    def bind(self, feeds: Feeds) -> Callable[[], None]:
        """Return a call that runs the model; see `onnxsplit.engines.port.Session.bind`."""
        tensors = self._prepare(feeds, ())
        request = self._take_request(fresh=True)

        def run_once() -> None:
            with translate_failures("run the model on these inputs"):
                request.infer(tensors, share_outputs=True)
            self._record(request)

        return run_once

    def end_profiling(self) -> tuple[KernelEvent, ...]:
        """End the trace and read it; see `onnxsplit.engines.port.Session.end_profiling`."""
        if not self._is_traced or self._tracing is None:
            raise ModelError("This session records no trace; open it with trace=True.")
        self._is_traced = False
        return self._tracing.list_events()

    def close(self) -> None:
        """Let go of the model; closing twice is allowed."""
        self._compiled = None
        self._idle.clear()

    def __enter__(self) -> Self:
        """Return the session itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the session."""
        self.close()

    def _take_request(self, *, fresh: bool = False) -> "openvino.InferRequest":
        """Return a request that nobody else runs."""
        if self._compiled is None:
            raise UsageError("The session is closed; open another one.")
        if not fresh:
            try:
                return self._idle.pop()
            except IndexError:
                pass
        with translate_failures("make a request"):
            return self._compiled.create_infer_request()

    def _prepare(self, feeds: Feeds, names: Sequence[str]) -> dict[int, "openvino.Tensor"]:
        """Check and convert the inputs."""
        if self._compiled is None:
            raise UsageError("The session is closed; open another one.")
        check_names(feeds.keys(), names, inputs=self._inputs, outputs=self._places)
        specs = {spec.name: spec for spec in self._inputs}
        with translate_failures("take the inputs"):
            return {
                self._ports[name]: to_native(value, specs[name], self._options.provider)
                for name, value in feeds.items()
                if name in self._ports
            }

    def _record(self, request: "openvino.InferRequest") -> None:
        """Keep the times of a traced run."""
        if self._is_traced and self._tracing is not None:
            self._tracing.record(request.get_profiling_info())


def _parse(model: bytes | Path) -> onnx.ModelProto:
    """Read a model without its external data."""
    try:
        content = model if isinstance(model, bytes) else model.read_bytes()
        return onnx.load_model_from_string(content)
    except OSError as error:
        raise ModelError(f"OpenVINO can't read the model: {error.strerror}.") from error
    except DecodeError as error:
        raise ModelError("OpenVINO can't read the model: it is no ONNX model.") from error


def _place_outputs(
    compiled: "openvino.CompiledModel", outputs: Sequence[TensorSpec]
) -> Mapping[str, int]:
    """Return the place of each output; where two are one value, both names may be at both."""
    named: dict[str, int] = {}
    for place, port in enumerate(compiled.outputs):
        for name in port.get_names():
            named.setdefault(name, place)
    return {spec.name: named.get(spec.name, place) for place, spec in enumerate(outputs)}


def _read_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """Read the type of an input or output."""
    if not value.type.HasField("tensor_type"):
        raise UnsupportedModelError(
            f"OpenVINO can't run the model: {value.name!r} is no dense tensor; run it on"
            " onnxruntime."
        )
    kind = value.type.tensor_type
    dtype = read_dtype(onnx.TensorProto.DataType.Name(kind.elem_type))
    shape = None
    if kind.HasField("shape"):
        shape = tuple(
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
            for dim in kind.shape.dim
        )
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)
