"""Models with a state in onnxruntime: preallocated values, bound once, changing places."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from onnxsplit.engines.device import find_device
from onnxsplit.engines.failures import translate_failures
from onnxsplit.engines.naming import check_names
from onnxsplit.engines.native import build_settings, keep_roundings, load_native
from onnxsplit.engines.ort import read_spec
from onnxsplit.engines.port import Array, EngineOptions
from onnxsplit.engines.stateful_port import HeldTensor
from onnxsplit.errors import ModelError, UsageError, suggest
from onnxsplit.graph import TensorSpec

_HOST = ("cpu", 0)


@dataclass(frozen=True, slots=True)
class OrtTensor:
    """A tensor in onnxruntime's memory; implements `HeldTensor`."""

    native: onnxruntime.OrtValue

    @property
    def size_bytes(self) -> int:
        """Elements times item size."""
        return int(self.native.tensor_size_in_bytes())

    def fetch(self) -> Array:
        """Copy it out."""
        array: Array = self.native.numpy()
        return array


class OrtState:
    """State in onnxruntime's memory; implements `onnxsplit.engines.stateful_port.StateBuffers`.

    Parameters
    ----------
    values : mapping of str to array
        Initial values; they are copied.
    options : EngineOptions
        Of the sessions that will use it: their provider decides where the memory is.
    """

    def __init__(self, values: Mapping[str, Array], options: EngineOptions) -> None:
        device = find_device(options) or _HOST
        with translate_failures("hold the state"):
            self._pairs = {
                name: tuple(
                    # On the host onnxruntime keeps no copy of its own, so it gets one.
                    onnxruntime.OrtValue.ortvalue_from_numpy(np.array(value, order="C"), *device)
                    for _ in range(2)
                )
                for name, value in values.items()
            }
        self._current = dict.fromkeys(self._pairs, 0)

    @property
    def names(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(self._pairs)

    def read(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Copy current values out; see `StateBuffers.read`."""
        wanted = self.names if names is None else tuple(names)
        self._check(wanted)
        return {name: np.array(self.current(name).numpy()) for name in wanted}

    def write(self, values: Mapping[str, Array]) -> None:
        """Replace current values; see `StateBuffers.write`."""
        self._check(values)
        for name, value in values.items():
            native = self.current(name)
            held = native.numpy()
            if value.shape != held.shape or value.dtype != held.dtype:
                raise UsageError(
                    f"The state {name!r} is {held.dtype}{list(held.shape)}, and the value given is"
                    f" {value.dtype}{list(value.shape)}."
                )
            with translate_failures("take the state"):
                native.update_inplace(np.ascontiguousarray(value))

    def current(self, name: str) -> onnxruntime.OrtValue:
        """Return the buffer that holds a tensor's value."""
        return self._pairs[name][self._current[name]]

    def following(self, name: str) -> onnxruntime.OrtValue:
        """Return the buffer that its next value goes to."""
        return self._pairs[name][1 - self._current[name]]

    def phases(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return which of the two buffers is the current one, for each name."""
        return tuple(self._current[name] for name in names)

    def advance(self, names: Iterable[str]) -> None:
        """Let the next values of some tensors be the current ones."""
        for name in names:
            self._current[name] = 1 - self._current[name]

    def _check(self, names: Iterable[str]) -> None:
        """Refuse names that are not there."""
        for name in names:
            if name not in self._pairs:
                raise UsageError(f"There is no state {name!r}. {suggest(name, self._pairs)}")


def open_stateful(
    model: bytes | Path,
    state: OrtState,
    updates: Mapping[str, str],
    options: EngineOptions,
) -> "OrtStatefulSession":
    """Load a model and bind it to state; operators round as they do by themselves.

    Parameters
    ----------
    model : bytes or Path
    state : OrtState
        Inputs of the model that it names are read from there.
    updates : mapping of str to str
        Output of the model to the state that it is the next value of.
    options : EngineOptions
        As for the state.

    Raises
    ------
    ModelError
        onnxruntime can't load the model, or an update has no place.
    UsageError
        The provider is not available.
    """
    settings = build_settings(options, None)
    keep_roundings(settings, blocked_layout=_holds_convolutions(model))
    native = load_native(model, settings, options)
    session = OrtStatefulSession(native, state, updates, find_device(options) or _HOST)
    given = {argument.name for argument in native.get_outputs()}
    for output, name in updates.items():
        if output not in given or name not in state.names:
            raise ModelError(f"The model does not give {output!r} as the next value of {name!r}.")
    return session


def _holds_convolutions(model: bytes | Path) -> bool:
    """Tell whether a model has convolutions of constant weights: frozen ones."""
    content = model if isinstance(model, bytes) else model.read_bytes()
    try:
        graph = onnx.load_model_from_string(content).graph
    except DecodeError:
        return False  # what is wrong with it onnxruntime says when it loads it
    stored = {tensor.name for tensor in graph.initializer}
    return any(node.op_type == "Conv" and node.input[1] in stored for node in graph.node)


class OrtStatefulSession:
    """A model bound to state; implements `onnxsplit.engines.stateful_port.StatefulSession`.

    Parameters
    ----------
    native : onnxruntime.InferenceSession
    state : OrtState
    updates : mapping of str to str
        Output of the model to the state that it is the next value of.
    device : (str, int)
        Where values that are kept lie.
    """

    def __init__(
        self,
        native: onnxruntime.InferenceSession,
        state: OrtState,
        updates: Mapping[str, str],
        device: tuple[str, int],
    ) -> None:
        self._native: onnxruntime.InferenceSession | None = native
        self._state = state
        self._updates = dict(updates)
        self._device = device
        inputs = [read_spec(argument) for argument in native.get_inputs()]
        self._reads = tuple(spec.name for spec in inputs if spec.name in state.names)
        self._inputs = tuple(spec for spec in inputs if spec.name not in state.names)
        outputs = [read_spec(argument) for argument in native.get_outputs()]
        self._order = tuple(spec.name for spec in outputs)
        self._outputs = tuple(spec for spec in outputs if spec.name not in self._updates)
        self._touched = tuple(dict.fromkeys((*self._reads, *self._updates.values())))
        self._bindings: dict[tuple[int, ...], onnxruntime.IOBinding] = {}

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that must be fed beside the state, in order."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs beside the state, in order."""
        return self._outputs

    def run(
        self, feeds: Mapping[str, Array | HeldTensor], *, keep: Collection[str] = ()
    ) -> dict[str, Array | HeldTensor]:
        """Run once; see `onnxsplit.engines.stateful_port.StatefulSession.run`."""
        native = self._open_native()
        check_names(feeds, (), inputs=self._inputs, outputs=())
        binding = self._bind_state(native)
        with translate_failures("take the inputs"):
            held = {name: self._hold(value) for name, value in feeds.items()}
            for name, value in held.items():
                binding.bind_ortvalue_input(name, value)
            for spec in self._outputs:
                # Bound anew: else this run would write over what the last one left.
                binding.bind_output(spec.name, *(self._device if spec.name in keep else _HOST))
        with translate_failures("run the model on these inputs"):
            native.run_with_iobinding(binding)
            binding.synchronize_outputs()
        self._state.advance(self._updates.values())
        return self._collect(binding, keep)

    def close(self) -> None:
        """Let go of the model; the state stays. Closing twice is allowed."""
        self._native = None
        self._bindings.clear()

    def _open_native(self) -> onnxruntime.InferenceSession:
        """Return onnxruntime's session unless this one is closed."""
        if self._native is None:
            raise UsageError("The session is closed; open another one.")
        return self._native

    def _bind_state(self, native: onnxruntime.InferenceSession) -> onnxruntime.IOBinding:
        """Return the binding for the buffers as they lie now; there are few such, and all kept."""
        phases = self._state.phases(self._touched)
        if phases not in self._bindings:
            binding = native.io_binding()
            with translate_failures("take the state"):
                for name in self._reads:
                    binding.bind_ortvalue_input(name, self._state.current(name))
                for name in self._order:  # the binding returns outputs in this order
                    state = self._updates.get(name)
                    if state is None:
                        binding.bind_output(name, *_HOST)
                    else:
                        binding.bind_ortvalue_output(name, self._state.following(state))
            self._bindings[phases] = binding
        return self._bindings[phases]

    def _hold(self, value: Array | HeldTensor) -> onnxruntime.OrtValue:
        """Hand an input over; on the host without a copy."""
        if isinstance(value, OrtTensor):
            return value.native
        if not isinstance(value, np.ndarray):
            raise UsageError("The value was kept by another engine; fetch it first.")
        return onnxruntime.OrtValue.ortvalue_from_numpy(
            np.ascontiguousarray(value).reshape(value.shape), *self._device
        )

    def _collect(
        self, binding: onnxruntime.IOBinding, keep: Collection[str]
    ) -> dict[str, Array | HeldTensor]:
        """Return what a run made beside the state."""
        made = dict(zip(self._order, binding.get_outputs(), strict=True))
        return {
            spec.name: OrtTensor(made[spec.name])
            if spec.name in keep
            else np.array(made[spec.name].numpy())
            for spec in self._outputs
        }
