"""Small kernels timed by themselves: what any run costs, and what layout work costs by size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxsplit.engines.device import bind_copies
from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import OnnxSplitError
from onnxsplit.profiling.attribution import TRUNCATED_SECONDS, split_runs
from onnxsplit.profiling.executed import BLOCKED_DOMAIN
from onnxsplit.profiling.instruments import Instruments
from onnxsplit.profiling.sampling import low_quantile

_OPSETS = (helper.make_opsetid("", 17), helper.make_opsetid(BLOCKED_DOMAIN, 1))
_IR_VERSION = 8
_WARM_UPS = 3
_RUNS = 15
_RUNS_OF_NOTHING = 50
_CHANNELS = 64
_SIDES = (4, 16, 40, 80, 160)
"""Heights and widths at which layout work is timed: from 4 KB to 6.5 MB."""

_CHAIN_TYPES = ("Abs", "Neg")
_CHAIN_LENGTH = 32
_CHAIN_SHAPE = (1000,)
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRates:
    """Seconds of work on values, such as laying them out anew, by kind and size.

    Parameters
    ----------
    seconds : mapping of str to tuple of (int, float)
        Kind to sizes in bytes, increasing, with the seconds of each.
    """

    seconds: Mapping[str, Sequence[tuple[int, float]]]

    def estimate(self, kind: str, size_bytes: int) -> float:
        """Interpolate between the sizes that were timed; in proportion beyond the largest."""
        sizes, times = zip(*self.seconds[kind], strict=True)
        if size_bytes > sizes[-1]:
            return float(times[-1] * size_bytes / sizes[-1])
        return float(np.interp(size_bytes, sizes, times))


def measure_run(options: EngineOptions, instruments: Instruments) -> float:
    """Return the seconds of running a model that does nothing: what any run costs.

    Raises
    ------
    OnnxSplitError
        The engine can't run it.
    """
    model = _build("Identity", (1,), inputs=1)
    return _time(model, (1,), 1, options, instruments, runs=_RUNS_OF_NOTHING)


def measure_tracing(options: EngineOptions, instruments: Instruments, run_seconds: float) -> float:
    """Return what tracing adds to the time of a kernel: a chain of small ones, traced and plain.

    Raises
    ------
    OnnxSplitError
        The engine can't run or trace it.
    """
    content = _build_chain().SerializeToString()
    feeds = {"v0": np.ones(_CHAIN_SHAPE, dtype=np.float32)}
    with (
        instruments.open_session(content, options) as plain,
        instruments.open_session(content, options, trace=True) as traced,
    ):
        run_plain, run_traced = plain.bind(feeds), traced.bind(feeds)
        seconds = []
        for _ in range(_WARM_UPS + _RUNS):
            run_traced()
            seconds.append(_clock(run_plain, instruments))
        runs = list(split_runs(traced.end_profiling()).values())[_WARM_UPS:]
    kernels = len(runs[0]) if runs else 0
    if not kernels:
        return 0.0
    spent = low_quantile([sum(kernel.seconds for kernel in run) for run in runs]) / kernels
    plainly = max(0.0, low_quantile(seconds[_WARM_UPS:]) - run_seconds) / kernels
    return max(0.0, spent + TRUNCATED_SECONDS - plainly)


def measure_layout_rates(
    options: EngineOptions, instruments: Instruments, run_seconds: float
) -> WorkRates | None:
    """Time layout work at several sizes, less what any run costs.

    Returns None if the engine does not run it by itself.
    """
    seconds: dict[str, list[tuple[int, float]]] = {}
    for kind in ("ReorderInput", "ReorderOutput", "Add", "Relu"):
        for side in _SIDES:
            shape = (1, _CHANNELS, side, side)
            inputs = 2 if kind == "Add" else 1
            try:
                spent = _time(
                    _build(kind, shape, inputs=inputs), shape, inputs, options, instruments
                )
            except OnnxSplitError:
                return None
            size = _FLOAT_BYTES * int(np.prod(shape))
            seconds.setdefault(kind, []).append((size, max(0.0, spent - run_seconds)))
    return WorkRates(seconds=seconds)


def measure_copies(device: tuple[str, int], instruments: Instruments) -> WorkRates | None:
    """Time copies between host and device at several sizes, as ``to_device`` and ``to_host``.

    Returns None if the device can't be copied to.
    """
    seconds: dict[str, list[tuple[int, float]]] = {"to_device": [], "to_host": []}
    for side in _SIDES:
        array = np.ones((1, _CHANNELS, side, side), dtype=np.float32)
        try:
            copies = bind_copies(array, device)
        except OnnxSplitError:
            return None
        for kind, copy in zip(seconds, copies, strict=True):
            spent = [_clock(copy, instruments) for _ in range(_WARM_UPS + _RUNS)]
            seconds[kind].append((array.nbytes, low_quantile(spent[_WARM_UPS:])))
    return WorkRates(seconds=seconds)


def _build(op_type: str, shape: Sequence[int], *, inputs: int) -> onnx.ModelProto:
    """Build a model of a single operator."""
    names = [f"x{place}" for place in range(inputs)]
    node = helper.make_node(op_type, names, ["y"])
    if op_type.startswith("Reorder"):
        node.domain = BLOCKED_DOMAIN
    if op_type == "ReorderOutput":
        node.attribute.append(helper.make_attribute("channels", shape[1]))
    graph = helper.make_graph(
        [node],
        op_type,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=_OPSETS, ir_version=_IR_VERSION)


def _build_chain() -> onnx.ModelProto:
    """Build a chain of small operators that no engine makes one of."""
    nodes = [
        helper.make_node(_CHAIN_TYPES[place % 2], [f"v{place}"], [f"v{place + 1}"])
        for place in range(_CHAIN_LENGTH)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, _CHAIN_SHAPE)
        for name in ("v0", f"v{_CHAIN_LENGTH}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=_OPSETS[:1], ir_version=_IR_VERSION)


def _time(
    model: onnx.ModelProto,
    shape: Sequence[int],
    inputs: int,
    options: EngineOptions,
    instruments: Instruments,
    *,
    runs: int = _RUNS,
) -> float:
    """Return the 20th percentile of a small model's runs."""
    feeds = {f"x{place}": np.ones(shape, dtype=np.float32) for place in range(inputs)}
    with instruments.open_session(model.SerializeToString(), options) as session:
        run = session.bind(feeds)
        for _ in range(_WARM_UPS):
            run()
        return low_quantile([_clock(run, instruments) for _ in range(runs)])


def _clock(run: Callable[[], None], instruments: Instruments) -> float:
    """Return the seconds of one run."""
    before = instruments.clock()
    run()
    return instruments.clock() - before
