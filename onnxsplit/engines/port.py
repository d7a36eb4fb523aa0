"""The port that every engine implements: options in, sessions and kernel events out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, get_args

import numpy.typing as npt

from onnxsplit.errors import UsageError, suggest
from onnxsplit.graph import TensorSpec

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
Value = Array | Sequence[Array] | None
"""What goes in and out of a session: an array, a list for a sequence, None for no optional.

Element types that numpy lacks (bfloat16, the float8 family, the 4-bit types) are arrays of the
``ml_dtypes`` type of the same name.
"""

Feeds = Mapping[str, Value]

Runtime = Literal["onnxruntime", "openvino"]
"""What can run a stage."""

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
DEFAULT_RUNTIME: Runtime = "onnxruntime"

CPU_PROVIDER = "CPUExecutionProvider"

_CPUS: Mapping[Runtime, str] = {"onnxruntime": CPU_PROVIDER, "openvino": "CPU"}
"""What each runtime calls the processor."""


def read_runtime(name: str) -> Runtime:
    """Return a runtime by its name.

    Raises
    ------
    UsageError
        There is no such runtime.
    """
    for runtime in RUNTIMES:
        if runtime == name:
            return runtime
    raise UsageError(f"There is no runtime {name!r}. {suggest(name, RUNTIMES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How a model is to be run.

    Parameters
    ----------
    provider : str
        The runtime's own name of what computes: an execution provider of onnxruntime (operators it
        lacks run on the CPU provider), or a device of OpenVINO. Any runtime's name of the processor
        is turned into that of this one.
    provider_options : mapping of str to str
        Handed to the provider as they are; to OpenVINO as properties of the device.
    threads : int
        Threads within an operator; 0 means one for each physical core that may be used.
    optimization : str
        ``all``, or ``disabled`` to run the operators as they stand in the file; OpenVINO knows no
        such level, and always optimises.
    runtime : str
        ``onnxruntime`` or ``openvino``.

    Raises
    ------
    UsageError
        The number of threads is negative, or there is no such runtime.
    """

    provider: str = CPU_PROVIDER
    provider_options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0
    optimization: Literal["all", "disabled"] = "all"
    runtime: Runtime = DEFAULT_RUNTIME

    def __post_init__(self) -> None:
        """Refuse what there is not; name the processor as the runtime does."""
        if self.runtime not in RUNTIMES:
            raise UsageError(
                f"There is no runtime {self.runtime!r}. {suggest(self.runtime, RUNTIMES)}"
            )
        if self.provider in _CPUS.values():
            object.__setattr__(self, "provider", _CPUS[self.runtime])
        if self.threads < 0:
            raise UsageError(
                f"The number of threads is {self.threads}; give at least 1, or 0 for all cores."
            )

    def on(self, runtime: Runtime) -> "EngineOptions":
        """Return these options for a runtime; of another than theirs it is the processor."""
        if self.runtime == runtime:
            return self
        return replace(self, runtime=runtime, provider=CPU_PROVIDER, provider_options={})

    @property
    def reference(self) -> "EngineOptions":
        """These options on onnxruntime, which tells what a model's values are."""
        return self.on(DEFAULT_RUNTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelEvent:
    """One kernel that ran in a traced session.

    Parameters
    ----------
    run : int
        Which run of the session, counted from 0.
    operator : str
        Name of the node that ran; the engine invents one for a node without a name.
    op_type : str
        Its operator type.
    provider : str
        What computed it.
    seconds : float
        Its duration, in whole microseconds.
    output_types : tuple of (str, tuple of int)
        Element type and shape of its dense outputs.
    parameter_bytes : int
        Weights that it reads.
    output_bytes : int
        What it makes.
    held_bytes : int or None
        What the engine holds while it runs, weights that were laid out anew included; exact in a
        session's first run only. None if the engine does not tell.
    """

    run: int
    operator: str
    op_type: str
    provider: str
    seconds: float
    output_types: tuple[tuple[str, tuple[int, ...]], ...] = ()
    parameter_bytes: int = 0
    output_bytes: int = 0
    held_bytes: int | None = None


class Session(Protocol):
    """A model that is loaded and ready to run; also a context manager that closes it."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that must be fed, in order; a symbolic dim is a str."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs, in order."""

    @property
    def executed(self) -> "onnx.GraphProto | None":
        """The graph that is run in the place of the model's own, without its weights.

        Its nodes are in the order of execution, which is that of the traces; those that the engine
        made may have no name. None without a trace, and where the engine can't show its graph.
        """

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> dict[str, Value]:
        """Run once and return the named outputs (all of them by default), in order.

        Raises
        ------
        UsageError
            An input is missing or unknown, or an output is unknown.
        ModelError
            The model fails on these inputs.
        """

    def bind(self, feeds: Feeds) -> Callable[[], None]:
        """Return a call that runs the model once on these inputs and drops the outputs.

        Inputs are checked and converted once, so that a caller can time repeated runs.

        Raises
        ------
        UsageError
            An input is missing or unknown.
        """

    def end_profiling(self) -> tuple[KernelEvent, ...]:
        """End the trace and return the kernels of the model's top graph, in order of execution.

        Raises
        ------
        ModelError
            The session was not opened for tracing, or the trace is not complete.
        """

    def close(self) -> None:
        """Let go of the model and of temporary files; closing twice is allowed."""

    def __enter__(self) -> Self:
        """Return the session itself."""

    def __exit__(self, *exception: object) -> None:
        """Close the session."""
