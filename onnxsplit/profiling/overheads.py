"""Small kernels timed by themselves: what any run costs, and what layout work costs by size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxsplit.engines.port import EngineOptions
from onnxsplit.errors import OnnxSplitError
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

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutRates:
    """Seconds of layout work by kind and size.

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


def measure_layout_rates(
    options: EngineOptions, instruments: Instruments, run_seconds: float
) -> LayoutRates | None:
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
    return LayoutRates(seconds=seconds)


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
